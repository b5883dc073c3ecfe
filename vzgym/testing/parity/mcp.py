"""A server of the Model Context Protocol and its client, in one process."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from vzgym.core.actions import Action, Answer, ToolCall, Zoom, Zooms
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.making import make_reward
from vzgym.tasks import TaskList
from vzgym.testing.parity.openenv import serving_app
from vzgym.testing.parity.pixels import Seen
from vzgym.testing.parity.script import Script

__all__ = ["MCPInterface"]


class MCPInterface:
    """An agent that calls the tools of `vzgym serve mcp`.

    Args:
        http: Over HTTP on loopback; otherwise in memory, without a transport.
    """

    needs = ("mcp_types",)  # version 1 of mcp has no such module
    has_grid = False
    shows_frames = True

    def __init__(self, *, http: bool = False) -> None:
        self.http = http
        self.name = "mcp (HTTP)" if http else "mcp"

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        import anyio
        from mcp import Client

        from vzgym.interfaces.mcp import AgentEpisodes, http_app, make_server
        from vzgym.interfaces.tasks import ServedTasks

        records: list[EpisodeRecord] = []
        episodes = AgentEpisodes(
            ServedTasks([TaskList([script.task], budget=script.budget)]),
            extras=script.extras,
            reward=make_reward(script.reward),
            keep=lambda record, **_: records.append(record),
        )

        async def run(server: Any) -> None:
            async with Client(server) as client:
                opening: Any = await client.call_tool("start", {"task": 0})
                _add(opening.content, seen)
                handle = handle_in(opening.content[0].text)
                for action in script.actions:
                    name, arguments = call_of(action)
                    result = await client.call_tool(name, {"episode": handle, **arguments})
                    assert not result.is_error, result
                    _add(result.content, seen)

        if self.http:
            with serving_app(http_app(episodes)) as url:
                anyio.run(run, f"{url}/mcp")
        else:
            anyio.run(run, make_server(episodes))
        (record,) = records
        return record


def handle_in(text: str) -> str:
    """The handle in the first text of a result of `start`.

    Raises:
        ValueError: If there is none.
    """
    found = re.match(r"episode: (\S+)", text)
    if found is None:
        raise ValueError(f"no handle in {text[:60]!r}")
    return found[1]


def call_of(action: Action) -> tuple[str, dict[str, Any]]:
    """The tool and its arguments for an action, without the handle.

    Raises:
        ValueError: If there is none.
    """
    match action:
        case Answer(text):
            return "answer", {"text": text}
        case ToolCall(name, arguments):
            return name, dict(arguments)
        case Zoom():
            return "zoom", _window(action)
        case Zooms(zooms):
            return "zooms", {"zooms": [_window(zoom) for zoom in zooms]}
    raise ValueError(f"no tool makes the action {action}")


def _window(zoom: Zoom) -> dict[str, Any]:
    window: dict[str, Any] = {"start": zoom.start, "end": zoom.end, "fps": zoom.fps}
    region: Mapping[str, Any] = {} if zoom.region is None else {"region": zoom.region.to_list()}
    size = {} if zoom.max_pixels is None else {"max_pixels": zoom.max_pixels}
    return {**window, **region, **size}


def _add(content: list[Any], seen: list[Seen] | None) -> None:
    """Add the text and pictures of a result to what was seen."""
    if seen is not None:
        seen += [
            block.text if block.type == "text" else base64.b64decode(block.data, validate=True) for block in content
        ]
