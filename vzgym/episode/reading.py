"""Reading of clips: frames of a video, at the size that a budget allows."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.budget import Budget
from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.video.base import Video, crop_box

__all__ = ["read_clip"]


def read_clip(
    video: Video,
    times: NDArray[np.float64],
    budget: Budget,
    *,
    window: Interval | None = None,
    fps: float | None = None,
    region: Region | None = None,
    max_pixels: int | None = None,
) -> Clip:
    """Read the frames shown at `times`, and measure the cost.

    Args:
        video: The video.
        times: float64, shape `(n,)`, seconds, each in `[0, duration]`. Made read-only.
        budget: Its pixel limits give the size of the frames.
        window: The zoom's interval; None for other clips.
        fps: The zoom's frames per second; None for other clips.
        region: Part of the frame; None for the whole frame.
        max_pixels: Maximum pixels of a frame in place of the budget's.

    Raises:
        VideoError: If the video cannot be read.
    """
    started = time.perf_counter()
    size = budget.fit(*_shape(video.height, video.width, region), max_pixels)
    frames = video.read(times, size=size, region=region)
    took = time.perf_counter() - started
    # Policies receive these arrays; read-only, so that none changes what others see or what the record hashes.
    own_times = frames.times.copy()
    for array in (frames.pixels, own_times, times):
        array.flags.writeable = False
    return Clip(
        requested=times,
        times=own_times,
        size=size,
        window=window,
        fps=fps,
        region=region,
        max_pixels=max_pixels,
        decoded=frames.decoded,
        seconds=took,
        pixels=frames.pixels,
    )


def _shape(height: int, width: int, region: Region | None) -> tuple[int, int]:
    """Size in pixels of a region of a frame."""
    if region is None:
        return height, width
    top, bottom, left, right = crop_box(region, height, width)
    return bottom - top, right - left
