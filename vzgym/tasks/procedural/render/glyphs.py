"""Digits of 5 by 7 dots, and their coverage of pixels. Exact arithmetic only (see `scenery`)."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIGITS", "box_cover", "cover", "dots", "ink_cover", "spread"]

Floats: TypeAlias = NDArray[np.float32]

DIGITS: dict[str, tuple[int, ...]] = {
    "0": (0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110),
    "1": (0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110),
    "2": (0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111),
    "3": (0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110),
    "4": (0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010),
    "5": (0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110),
    "6": (0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110),
    "7": (0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000),
    "8": (0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110),
    "9": (0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100),
}
"""Rows of each digit from the top, the leftmost dot in the highest bit."""


@cache
def dots(text: str) -> Floats:
    """A text as dots: float32 0 or 1, shape `(7, 6 * len(text) - 1)`, read-only; `(7, 0)` for an empty one."""
    made = np.zeros((7, max(0, 6 * len(text) - 1)), dtype=np.float32)
    for place, character in enumerate(text):
        for row, bits in enumerate(DIGITS[character]):
            for column in range(5):
                made[row, 6 * place + column] = bits >> (4 - column) & 1
    made.setflags(write=False)
    return made


def cover(low: float, high: float, edges: NDArray[np.float64]) -> Floats:
    """The share of each cell between neighboring `edges` in `[low, high]`: float32, shape `(len(edges) - 1,)`."""
    inside = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    share: Floats = (np.maximum(inside, 0.0) / np.diff(edges)).astype(np.float32)
    return share


def box_cover(
    box: tuple[float, float, float, float], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> Floats:
    """The share of each cell that a rectangle `(left, top, right, bottom)` covers: float32, shape `(h, w)`."""
    shares: Floats = cover(box[1], box[3], rows)[:, None] * cover(box[0], box[2], columns)[None, :]
    return shares


def ink_cover(
    text: str, x: float, y: float, dot: float, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> Floats:
    """The share of each cell that a text's dots cover.

    Args:
        text: Digits.
        x: Center of the text.
        y: Center of the text.
        dot: Side of a dot.
        rows: Edges of the cells from top to bottom, shape `(h + 1,)`.
        columns: Edges of the cells from left to right, shape `(w + 1,)`.

    Returns:
        float32, shape `(h, w)`.
    """
    mask = dots(text)
    x0, y0 = x - mask.shape[1] * dot / 2, y - mask.shape[0] * dot / 2
    ink = np.zeros((len(rows) - 1, len(columns) - 1), dtype=np.float32)
    # Fixed order of additions; that of a matrix product depends on the processor.
    for i in range(mask.shape[0]):
        line = np.zeros(len(columns) - 1, dtype=np.float32)
        for j in np.flatnonzero(mask[i]).tolist():
            line += cover(x0 + j * dot, x0 + (j + 1) * dot, columns)
        ink += cover(y0 + i * dot, y0 + (i + 1) * dot, rows)[:, None] * line[None, :]
    return ink


def spread(
    values: Floats,
    cells: tuple[NDArray[np.float64], NDArray[np.float64]],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> Floats:
    """Resample values from another grid: the mean over each cell of a picture.

    Args:
        values: float32, shape `(a, b)`: one for each cell of the other grid; 0 outside.
        cells: Edges of the other grid: rows `(a + 1,)` and columns `(b + 1,)`.
        rows: Edges of the picture's cells, shape `(h + 1,)`.
        columns: Edges of the picture's cells, shape `(w + 1,)`.

    Returns:
        float32, shape `(h, w)`.
    """
    mean = np.zeros((len(rows) - 1, len(columns) - 1), dtype=np.float32)
    across = [cover(float(low), float(high), columns) for low, high in pairwise(cells[1].tolist())]
    for i, (low, high) in enumerate(pairwise(cells[0].tolist())):
        line = np.zeros(len(columns) - 1, dtype=np.float32)
        for value, share in zip(values[i], across, strict=True):
            line += value * share
        mean += cover(low, high, rows)[:, None] * line[None, :]
    return mean
