"""A scorer of cuts between shots: change of the picture in HSV."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.scorers.base import OptionsByName, Query
from vzgym.video.base import Frames

__all__ = ["HsvChange", "hsv", "hsv_change"]

_SHIFT = 12
"""Bits of OpenCV's fixed-point conversion to HSV."""


def hsv(frames: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Frames in HSV, bit for bit as OpenCV's `COLOR_RGB2HSV` for uint8: H in 0 to 179, S and V in 0 to 255.

    Args:
        frames: uint8 RGB, shape `(..., 3)`.
    """
    red, green, blue = (frames[..., channel].astype(np.int64) for channel in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    levels = np.arange(256)
    per_value = np.rint((255 << _SHIFT) / np.maximum(levels, 1)).astype(np.int64) * (levels > 0)
    per_spread = np.rint((180 << _SHIFT) / (6.0 * np.maximum(levels, 1))).astype(np.int64) * (levels > 0)
    half = 1 << (_SHIFT - 1)
    saturation = (spread * per_value[value] + half) >> _SHIFT
    sector = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = (sector * per_spread[spread] + half) >> _SHIFT
    return np.stack([hue + 180 * (hue < 0), saturation, value], axis=-1)


def hsv_change(frames: NDArray[np.uint8], before: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
    """PySceneDetect's content value: the mean of the mean |dH|, |dS| and |dV| between successive frames.

    Args:
        frames: uint8 RGB, shape `(n, height, width, 3)`.
        before: The frame before the first one, shape `(height, width, 3)`.

    Returns:
        Shape `(n,)`; 0 for the first frame if `before` is not given.
    """
    if not len(frames):
        return np.empty(0)
    first = frames[:1] if before is None else before[None]
    changes = np.empty(len(frames))
    last = hsv(first)[0]
    for index, frame in enumerate(frames):
        current = hsv(frame)
        changes[index] = np.abs(current - last).mean()
        last = current
    return changes


class HsvChange(OptionsByName):
    """Scores each frame by its change from the frame before it in hue, saturation and value, whatever the query.

    Formula: the mean of the mean |dH|, |dS| and |dV| (`hsv_change`); 0 for the first frame.
    Range: [0, 255].
    Source: PySceneDetect's ContentDetector, whose threshold of a cut is 27.
    Known to break: fast motion looks like a cut, a fade does not.
    """

    name: ClassVar[str] = "hsv-change"
    uses_model: ClassVar[bool] = False
    lookback: ClassVar[int] = 1
    identity: ClassVar[Any] = {"version": 1}

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`."""
        return hsv_change(frames.pixels)
