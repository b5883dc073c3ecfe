"""A served model: `ServedPolicy` against a server on this machine that replies with the script's actions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from vzgym.agents.data.phrases import compose
from vzgym.core.actions import TurnRules
from vzgym.episode.record import EpisodeRecord
from vzgym.policies.traits import PolicyTraits
from vzgym.protocols.base import PROTOCOLS
from vzgym.rollout.rollout import EpisodeStart, Rollout
from vzgym.testing.parity.interfaces import message_of
from vzgym.testing.parity.pixels import Seen, data_of_url
from vzgym.testing.parity.script import Script

__all__ = ["ServedChatInterface", "seen_in_chat", "serving_chat"]


class ServedChatInterface:
    """A policy on an OpenAI-compatible server, over HTTP.

    Args:
        structured: Whether zooms are native tool calls; otherwise they are the paper's tags.
    """

    needs = ("openai",)
    has_grid = False
    shows_frames = True

    def __init__(self, *, structured: bool = False) -> None:
        self.structured = structured
        self.name = "served chat (native tool calls)" if structured else "served chat (tags)"

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.agents.served.policy import ServedPolicy

        protocol = {"name": "tool_calls", "structured": True} if self.structured else {"name": "tags"}
        rules = TurnRules(script.budget.zooms_per_turn, tuple(tool.name for tool in script.extras.tools))
        spoken = PROTOCOLS.make(protocol)
        replies = [
            {"role": "assistant", "reasoning_content": "Look, then say.", **message_of(action)}
            if self.structured
            else {"role": "assistant", "content": compose(spoken, action, "Look, then say.", rules)}
            for action in script.actions
        ]
        with serving_chat(replies) as (url, requests):
            policy = ServedPolicy("scripted", url, protocol=protocol, check_images=False, retries=0)
            traits = PolicyTraits.of(policy)
            traits.prepare(script.budget)
            traits.describe_tools(script.extras.tools)
            rollout = Rollout(policy, [script.task], script.budget, reward=script.reward, extras=script.extras)
            (played,) = rollout.play([EpisodeStart(script.task, 0)])
        if played is None:
            raise AssertionError(f"the task could not be played: {rollout.failed}")
        if seen is not None:
            seen += seen_in_chat(requests[-1]["messages"])
        return played.record


def seen_in_chat(messages: Sequence[dict[str, Any]]) -> list[Seen]:
    """Text and image files of messages in OpenAI's format."""
    found: list[Seen] = []
    for message in messages:
        content = message.get("content") or ""
        blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [
            block["text"] if block["type"] == "text" else data_of_url(block["image_url"]["url"]) for block in blocks
        ]
    return found


@contextmanager
def serving_chat(replies: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat server on loopback that gives these replies in turn, and the bodies of the requests that it got."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            choice = {"index": 0, "finish_reason": "stop", "message": replies[len(requests) - 1]}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            body = json.dumps(
                {"id": "1", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice],
                 "usage": usage}
            ).encode()  # fmt: skip
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", requests
        finally:
            server.shutdown()
            thread.join()
