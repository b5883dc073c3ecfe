"""Snapping the times of a clip to a grid, so that clips of several roll-outs coincide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vzgym.video.base import FRAME_SLACK

__all__ = ["grid_step", "snap", "spacing"]


def spacing(times: NDArray[np.float64]) -> float | None:
    """Smallest distance between two different times, in seconds; None for fewer than two."""
    gaps = np.diff(np.unique(times))
    return float(gaps.min()) if len(gaps) else None


def grid_step(times: NDArray[np.float64], grid_fps: float, fps: float) -> float | None:
    """The grid for a clip: `1 / grid_fps` seconds, halved until it is at most half the clip's spacing.

    Grids of clips with different spacings are thus nested, and their frames still coincide in part.

    Args:
        times: Requested times, in seconds.
        grid_fps: Points of the coarsest grid per second.
        fps: Frame rate of the video.

    Returns:
        Seconds between points; None if a grid has no use: for a single time, or if it would be as fine as the frames
        themselves.
    """
    gap = spacing(times)
    if gap is None:
        return None
    step = 1.0 / grid_fps
    while step > gap / 2 + FRAME_SLACK:
        step /= 2
    return step if step * fps > 1 else None


def snap(times: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Move each time back to a multiple of `step`, by less than `step`."""
    return np.floor((times + FRAME_SLACK) / step) * step
