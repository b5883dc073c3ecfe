"""Small videos and tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.budget import Budget
from vzgym.core.errors import VideoError
from vzgym.core.interval import Interval
from vzgym.tasks.task import VideoTask
from vzgym.video import ArrayVideo, Frames


class FailingVideo(ArrayVideo):
    """Can be read up to a time and no further, as a file that is cut short."""

    def __init__(self, pixels: NDArray[np.uint8], fps: float, good_until: float) -> None:
        super().__init__(pixels, fps, "array:failing")
        self.good_until = good_until

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        bad = [time for time in times if time > self.good_until]
        if bad:
            raise VideoError("the data ends here", path=self.uri, time=float(bad[0]), backend="array")
        return super().read(times, size=size, region=region)


def _pixels() -> NDArray[np.uint8]:
    """40 frames of 24 x 32, frame i of brightness i on the left half and 200 on the right."""
    pixels = np.full((40, 24, 32, 3), 200, dtype=np.uint8)
    pixels[:, :, :16] = np.arange(40, dtype=np.uint8)[:, None, None, None]
    return pixels


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    return _pixels()


@pytest.fixture(scope="session")
def budget() -> Budget:
    """Overview of 8 frames at 0.5 fps, clips of 4, 2 zooms, pictures shown as they are."""
    return Budget(overview_frames=8, clip_frames=4, max_zooms=2, min_pixels=1)


@pytest.fixture(scope="session")
def make_task() -> Callable[..., VideoTask]:
    """A question about a video of 10 s at 4 fps; `good_until` cuts the video short, other facts may be replaced."""

    def make(good_until: float | None = None, **facts: Any) -> VideoTask:
        video = ArrayVideo(_pixels(), 4.0, "array:ramp")
        if good_until is not None:
            video = FailingVideo(_pixels(), 4.0, good_until)
        defaults: dict[str, Any] = {
            "id": "ramp/1",
            "video": video,
            "question": "Which colour flashes?",
            "options": ("red", "blue", "green"),
            "answer": "blue",
            "evidence": (Interval(4.0, 5.0),),
            "category": "needle",
            "source": "tests",
        }
        return VideoTask(**{**defaults, **facts})

    return make
