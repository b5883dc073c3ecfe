"""Frames in one picture, each with its time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_sheet"]

_PAPER, _INK = (250, 249, 246), (24, 26, 32)
_GAP, _LINE = 4, 16


def draw_sheet(frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], times: Sequence[float]) -> Image.Image:
    """Draw frames in rows, from left to right, each above its time.

    Args:
        frames: At least one; uint8 `(height, width, 3)`, all of one size. They are not scaled.
        times: The time of each frame in seconds.

    Returns:
        RGB; with `n` frames, `ceil(sqrt(n))` columns.
    """
    font = ImageFont.load_default(12)
    labels = [f"{time:.2f} s" for time in times]
    height, width = frames[0].shape[:2]
    cell = max(width, math.ceil(max(font.getlength(label) for label in labels)))
    columns = math.ceil(math.sqrt(len(labels)))
    rows = math.ceil(len(labels) / columns)
    sheet = Image.new("RGB", (columns * (cell + _GAP) + _GAP, rows * (height + _LINE + _GAP) + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        left = _GAP + place % columns * (cell + _GAP)
        top = _GAP + place // columns * (height + _LINE + _GAP)
        sheet.paste(Image.fromarray(frame), (left, top))
        pen.text((left, top + height + 1), label, _INK, font=font)
    return sheet
