from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vzgym.core import Budget
from vzgym.tasks import Subtitle, VideoTask
from vzgym.tools import ToolContext
from vzgym.video import ArrayVideo

LINES = (
    Subtitle(0.5, 2.0, "First, rinse the rice."),
    Subtitle(2.0, 3.5, "Rice needs twice the water."),
    Subtitle(4.0, 6.0, "Then add the water,\nand salt."),
    Subtitle(8.0, 9.0, "お米を洗います"),
    Subtitle(9.0, 9.5, "..."),
)


@pytest.fixture
def task() -> VideoTask:
    """A video of 10 s at 4 fps whose frame i has the brightness 6 i, 40x60 pixels."""
    pixels = np.repeat(np.arange(40, dtype=np.uint8) * 6, 40 * 60 * 3).reshape(40, 40, 60, 3)
    video = ArrayVideo(pixels, 4.0)
    return VideoTask("cook", video, "What is rinsed?", ("rice", "beans"), "rice", ((6.0, 6.75),), subtitles=LINES)


@pytest.fixture
def context(task: VideoTask) -> ToolContext:
    """What a tool knows of the task."""
    return ToolContext.of(task, 10.0, Budget(max_pixels=600, min_pixels=400, clip_frames=4))


@pytest.fixture
def told(task: VideoTask, context: ToolContext) -> ToolContext:
    """What a privileged tool knows."""
    return replace(context, evidence=task.evidence)
