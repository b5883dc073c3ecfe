"""A small episode to put into words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vzgym.core.budget import Budget
from vzgym.episode import Episode, Wording
from vzgym.tasks.task import VideoTask
from vzgym.video import ArrayVideo


@pytest.fixture(scope="session")
def start() -> Callable[..., Episode]:
    """Starts an episode on a video of 10 s; the budget's fields may be replaced."""

    def make(wording: Wording | None = None, **budget: Any) -> Episode:
        pixels = np.zeros((40, 24, 32, 3), dtype=np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None, None]
        task = VideoTask("ramp/1", ArrayVideo(pixels, 4.0, "array:ramp"), "Which?", ("red", "blue", "green"), "blue")
        limits = {"overview_frames": 8, "clip_frames": 4, "max_zooms": 2, "min_pixels": 1, **budget}
        return Episode(task, Budget(**limits), wording)

    return make
