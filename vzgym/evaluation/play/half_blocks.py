"""Pictures in a terminal: two pixels in each character cell, as upper half blocks with two colors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["contact_sheet", "draw", "fit"]

_BLOCK, _RESET = "\u2580", "\x1b[0m"
_LEVELS: Final = np.array([0, 95, 135, 175, 215, 255])
"""Levels of a channel in the color cube of 256-colour terminals (colors 16 to 231)."""


def fit(height: int, width: int, columns: int, rows: int) -> tuple[int, int]:
    """The largest size in pixels at which a picture fits into a part of a terminal.

    Args:
        height: Of the picture.
        width: Of the picture.
        columns: Character columns.
        rows: Character rows, of two pixels each.

    Returns:
        `(height, width)`, the height even.
    """
    scale = min(columns / width, 2 * rows / height)
    tall = max(2, 2 * round(height * scale / 2))
    return min(tall, 2 * rows), max(1, min(columns, round(width * scale)))


def draw(pixels: NDArray[np.uint8], size: tuple[int, int], *, true_color: bool) -> list[str]:
    """Draw a picture.

    Args:
        pixels: uint8, shape `(height, width, 3)`.
        size: From `fit`.
        true_color: Whether the terminal shows 24-bit colors; else 256 colors are used.

    Returns:
        One text for each character row, with escape sequences.
    """
    tall, wide = size
    resized = np.asarray(Image.fromarray(pixels).resize((wide, tall), Image.Resampling.BOX))
    codes = _true_color(resized) if true_color else _palette(resized)
    lines = []
    for row in range(0, tall, 2):
        parts, before = [], ""
        for upper, lower in zip(codes[row], codes[row + 1], strict=True):
            code = f"\x1b[38;{upper};48;{lower}m"
            parts.append(_BLOCK if code == before else code + _BLOCK)
            before = code
        lines.append("".join(parts) + _RESET)
    return lines


def contact_sheet(
    frames: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    columns: int,
    frame_columns: int,
    *,
    true_color: bool,
) -> list[str]:
    """Draw frames side by side, each above its caption.

    Args:
        frames: uint8 arrays of one shape, `(height, width, 3)`.
        captions: A short text for each.
        columns: Character columns of the terminal.
        frame_columns: Wanted columns of a frame; reduced to `columns`.
        true_color: See `draw`.

    Returns:
        The lines.
    """
    if not frames:
        return []
    wide = max(1, min(frame_columns, columns))
    height, width, _ = frames[0].shape
    size = fit(height, width, wide, 200)
    across = max(1, (columns + 1) // (wide + 1))
    lines: list[str] = []
    for first in range(0, len(frames), across):
        chosen = slice(first, first + across)
        drawn = [draw(frame, size, true_color=true_color) for frame in frames[chosen]]
        pad = " " * (wide - size[1])
        lines += [" ".join(row + pad for row in rows).rstrip() for rows in zip(*drawn, strict=True)]
        lines.append(" ".join(caption[:wide].ljust(wide) for caption in captions[chosen]).rstrip())
    return lines


def _true_color(pixels: NDArray[np.uint8]) -> list[list[str]]:
    return [[f"2;{red};{green};{blue}" for red, green, blue in row] for row in pixels.tolist()]


def _palette(pixels: NDArray[np.uint8]) -> list[list[str]]:
    """The nearest color of the 6x6x6 cube, or of the 24 grays."""
    values = pixels.astype(int)
    cube = np.abs(values[..., None] - _LEVELS).argmin(-1)
    cube_error = ((_LEVELS[cube] - values) ** 2).sum(-1)
    grey = ((values.mean(-1) - 8) / 10).round().clip(0, 23).astype(int)
    grey_error = (((8 + 10 * grey)[..., None] - values) ** 2).sum(-1)
    codes = np.where(grey_error < cube_error, 232 + grey, 16 + cube @ np.array([36, 6, 1]))
    return [[f"5;{code}" for code in row] for row in codes.tolist()]
