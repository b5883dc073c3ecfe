"""Small tasks with known frames, for all tests of the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.budget import Budget
from vzgym.core.errors import VideoError
from vzgym.core.interval import Interval
from vzgym.envs import VideoZoomEnv
from vzgym.tasks import VideoTask
from vzgym.video import ArrayVideo, Frames

MakeTask: TypeAlias = Callable[..., VideoTask]


class BreakingVideo(ArrayVideo):
    """Breaks at its n-th read: 0 is the overview, 1 the first zoom."""

    def __init__(self, pixels: NDArray[np.uint8], fps: float, uri: str, breaks_at: int) -> None:
        super().__init__(pixels, fps, uri)
        self.breaks_at = breaks_at
        self.reads = 0

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        self.reads += 1
        if self.reads > self.breaks_at:
            raise VideoError("the data ends too early", path=self.uri, time=float(times[0]), backend="test")
        return super().read(times, size=size, region=region)


def draw(height: int, width: int) -> NDArray[np.uint8]:
    """48 frames; every pixel of frame i is (i, 255 - i, 7)."""
    frames = np.empty((48, height, width, 3), dtype=np.uint8)
    frames[..., 0] = np.arange(48)[:, None, None]
    frames[..., 1] = 255 - frames[..., 0]
    frames[..., 2] = 7
    return frames


@pytest.fixture
def small() -> Budget:
    """Six overview frames, three zooms of four."""
    return Budget(
        overview_fps=0.5, overview_frames=6, clip_frames=4, max_zooms=3, max_fps=8.0, min_pixels=64, max_pixels=4096
    )


@pytest.fixture
def make_task() -> MakeTask:
    """Makes multiple-choice questions about 12 s of video at 4 fps; the answer is B."""

    def make(
        id: str = "small", *, height: int = 12, width: int = 20, breaks_at: int | None = None, **changes: Any
    ) -> VideoTask:
        facts: dict[str, Any] = {
            "question": "Où est l'été? 日本",
            "options": ("à gauche", "à droite", "nowhere"),
            "answer": "à droite",
            "evidence": (Interval(4.0, 5.0),),
            "category": "test",
        }
        frames, uri = draw(height, width), f"array:{id}"
        video = ArrayVideo(frames, 4.0, uri) if breaks_at is None else BreakingVideo(frames, 4.0, uri, breaks_at)
        return VideoTask(id=id, video=video, **{**facts, **changes})

    return make


@pytest.fixture
def task(make_task: MakeTask) -> VideoTask:
    return make_task()


@pytest.fixture
def env(task: VideoTask, small: Budget) -> Iterator[VideoZoomEnv]:
    made = VideoZoomEnv(task, budget=small)
    yield made
    made.close()
