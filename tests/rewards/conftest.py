"""Small episodes to score."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core import Action, Budget, Interval, Malformed, Region, Zoom
from vzgym.core.errors import VideoError
from vzgym.episode import Episode, EpisodeRecord
from vzgym.tasks.task import VideoTask
from vzgym.video import ArrayVideo, Frames


class HalfVideo(ArrayVideo):
    """Breaks when a zoom goes beyond 9 s; the overview does not."""

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        if times.max(initial=0.0) > 9.0:
            raise VideoError("the data ends here", path=self.uri, time=9.0)
        return super().read(times, size=size, region=region)


@pytest.fixture(scope="session")
def start() -> Callable[..., Episode]:
    """Starts an episode: 10 s, evidence [4, 5), answer "blue" of three, 4 zooms of at most 4 frames."""

    def make(**facts: Any) -> Episode:
        defaults: dict[str, Any] = {
            "id": "flash/1",
            "video": HalfVideo(np.zeros((40, 8, 8, 3), dtype=np.uint8), 4.0, "array:flash"),
            "question": "Which?",
            "options": ("red", "blue", "green"),
            "answer": "blue",
            "evidence": (Interval(4.0, 5.0),),
        }
        budget = Budget(overview_frames=5, clip_frames=4, max_zooms=4, min_pixels=1)
        return Episode(VideoTask(**{**defaults, **facts}), budget)

    return make


@pytest.fixture(scope="session")
def play(start: Callable[..., Episode]) -> Callable[..., EpisodeRecord]:
    """The record after some actions; one given as `(action, well_formed)` says how its text was formed."""

    def run(actions: Iterable[Action | tuple[Action, bool]], **facts: Any) -> EpisodeRecord:
        episode = start(**facts)
        for item in actions:
            action, well_formed = item if isinstance(item, tuple) else (item, not isinstance(item, Malformed))
            episode.step(action, well_formed=well_formed)
        return episode.record

    return run


@pytest.fixture(scope="session")
def long_search() -> list[Action]:
    """Four turns of all kinds that use no answer: 4 frames, a malformed call, a reversed zoom, 2 frames."""
    return [
        Zoom(3.0, 5.0, 2.0),
        Malformed("the zoom is not JSON: Expecting value."),
        Zoom(5.0, 4.0, 1.0),
        Zoom(4.0, 6.0, 1.0),
    ]
