"""OpenEnv: its client, over the loopback interface, against a server in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vzgym.agents.data.phrases import compose
from vzgym.core.actions import TurnRules
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.base import PROTOCOLS
from vzgym.tasks import TaskList
from vzgym.testing.parity.pixels import Seen
from vzgym.testing.parity.script import Script
from vzgym.testing.parity.served_chat import seen_in_chat

__all__ = ["OpenEnvInterface", "serving_app"]


class OpenEnvInterface:
    """A session of an OpenEnv server. The model sees what `VideoZoomObservation.chat` gives."""

    name = "openenv"
    needs = ("openenv",)
    has_grid = False
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.interfaces.openenv import Served, VideoZoomClient, make_app
        from vzgym.interfaces.rollouts import TextRollouts
        from vzgym.interfaces.tasks import ServedTasks

        rollouts = TextRollouts(
            "openenv", reward=script.reward, tools=script.extras.tools, subtitles=script.extras.subtitles
        )
        rules = TurnRules(script.budget.zooms_per_turn, tuple(tool.name for tool in script.extras.tools))
        spoken, kept = PROTOCOLS.make("tags"), _Kept()
        served = Served(ServedTasks([TaskList([script.task], "script", script.budget)]), rollouts, kept)
        with serving_app(make_app(served, sessions=1)) as url, VideoZoomClient(base_url=url).sync() as client:
            result = client.reset(index=0)
            chat = result.observation.chat()
            for action in script.actions:
                result = client.step(compose(spoken, action, "Look, then say.", rules))
                chat += result.observation.chat()
        if seen is not None:
            seen += seen_in_chat(chat)
        return kept.records[0]


class _Kept:
    def __init__(self) -> None:
        self.records: list[EpisodeRecord] = []

    def add(self, record: EpisodeRecord) -> None:
        self.records.append(record)

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def serving_app(app: Any, **options: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread, on a free port of the loopback interface; gives its address.

    Args:
        app: The application.
        options: Of `uvicorn.Config`.
    """
    import uvicorn

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
