"""Players that follow a script, and sessions in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vzgym.core.actions import Answer, Zoom
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.play import PlayerView, PlayStopped, play
from vzgym.evaluation.play.browser import BrowserPlayer
from vzgym.tasks import VideoTask, load_tasks
from vzgym.video import ArrayVideo


class Scripted:
    """A person whose actions are given; stops when they run out."""

    def __init__(self, actions: Sequence[Zoom | Answer]) -> None:
        self.actions = list(actions)
        self.views: list[PlayerView] = []
        self.numbers: list[int] = []
        self.ends: list[EpisodeRecord | None] = []

    def act(self, view: PlayerView, number: int) -> Zoom | Answer:
        if not self.actions:
            raise PlayStopped
        self.views.append(view)
        self.numbers.append(number)
        return self.actions.pop(0)

    def end(self, record: EpisodeRecord | None) -> None:
        self.ends.append(record)


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Callable[..., BrowserPlayer]]:
    """Starts a session in the browser, whose run goes on in a thread: `session("needle-micro", episodes=2)`."""
    started: list[tuple[BrowserPlayer, threading.Thread]] = []

    def start(tasks: Any = "needle-micro", episodes: int = 2, feedback: bool = False, **options: Any) -> BrowserPlayer:
        task_set = load_tasks(tasks, split="test")
        player = BrowserPlayer(task_set.name, episodes, feedback=feedback)
        player.server.start()

        def run() -> None:
            try:
                play(
                    player, task_set, tmp_path / "run", interface="browser", feedback=feedback, episodes=episodes,
                    **options,
                )  # fmt: skip
                player.finish()
            except PlayStopped:
                player.__exit__(PlayStopped, PlayStopped(), None)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        started.append((player, thread))
        return player

    yield start
    for player, thread in started:
        with player._changed:
            player._stop = True
            player._changed.notify_all()
        thread.join(30)
        player.server.close()


@pytest.fixture
def hostile_task() -> VideoTask:
    """A question whose texts try to be more than texts."""
    pixels = np.random.default_rng(0).integers(0, 255, (80, 36, 64, 3), dtype=np.uint8)
    evil = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1> \"'&amp; \u202eabc\u202c"
    return VideoTask(
        id="evil", video=ArrayVideo(pixels, fps=4.0), question=evil + " long" * 20_000, options=(evil, "two"),
        answer="two",
    )  # fmt: skip
