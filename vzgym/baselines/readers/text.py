"""The reader of the text family: digits on a framed panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, FamilyReader, Reading
from vzgym.baselines.readers.look import near_mask, nearest_hue, picture
from vzgym.tasks.procedural.render.glyphs import DIGITS, cover, dots
from vzgym.tasks.procedural.render.palette import PLATE

__all__ = ["TextReader", "find_sign"]

_TOLERANCE = 60
_LEAST_PIXELS = 6
# Dots around a glyph on each side: three of paper, two of frame.
_AROUND = 5
_PANEL_ROWS = 7 + 2 * _AROUND
_LEAST_CONTRAST = 8.0


def find_sign(frame: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Where the panel of a frame is: top, bottom, left, right in pixels; None if there is none.

    Args:
        frame: uint8, shape `(height, width, 3)`.
    """
    mask = near_mask(frame[None], PLATE, _TOLERANCE)[0]
    rows, columns = np.nonzero(mask)
    if len(rows) < _LEAST_PIXELS:
        return None
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


class TextReader(FamilyReader):
    """Matches the dark dots of a panel with those of each digit, where there are any to be seen."""

    family: ClassVar[str] = "text"

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`. The confidence is how well the best number matches, in [0, 1]."""
        numbers = [option for option in options if option.isdecimal()]
        digits = {len(number) for number in numbers}
        if (options and len(digits) != 1) or frames.size == 0:
            return Reading(None, 0.0)
        scores: list[tuple[float, str]] = []
        scenes = self.scenes_asked(question)
        for frame in frames:
            # Crops and whole pictures differ in their bars.
            shown = picture(frame[None], thin=False)[0]
            sign = find_sign(shown) if shown.size else None
            if sign is None or (scenes and _hue(shown) not in scenes):
                continue
            count = digits.copy().pop() if digits else _count_digits(sign)
            ink = _ink(shown, sign, count)
            if ink.std() >= _LEAST_CONTRAST:
                scores.append(_best(ink, numbers, count))
        if not scores:
            return Reading(None, 0.0)
        score, number = max(scores)
        return Reading(number, max(0.0, min(1.0, score)))


def _hue(shown: NDArray[np.uint8]) -> str:
    """The scene's hue, from most of a frame's rim: something may stand in a corner of a small crop."""
    rim = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    return nearest_hue(np.median(rim, axis=0).astype(np.uint8))


def _count_digits(sign: tuple[int, int, int, int]) -> int:
    """How many digits fit a panel of this form: it is `6 n + 9` dots wide and 17 high."""
    wide = _PANEL_ROWS * (sign[3] - sign[2]) / (sign[1] - sign[0])
    return max(1, round((wide - 2 * _AROUND + 1) / 6))


def _ink(shown: NDArray[np.uint8], sign: tuple[int, int, int, int], count: int) -> NDArray[np.float32]:
    """How much darker than its surroundings each dot of the text is: float32, shape `(7, 6 * count - 1)`."""
    top, bottom, left, right = sign
    light = shown[top:bottom, left:right].astype(np.float32).mean(axis=2)
    down = _averages(bottom - top, _PANEL_ROWS)
    across = _averages(right - left, 6 * count - 1 + 2 * _AROUND)
    edge = _AROUND - 1
    cells = (down @ light @ across.T)[edge:-edge, edge:-edge]
    return -_detail(cells)[1:-1, 1:-1]


def _detail(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each cell less the mean of the nine around it."""
    padded = np.pad(cells, 1, mode="edge")
    around = sum(padded[y : y + cells.shape[0], x : x + cells.shape[1]] for y in range(3) for x in range(3))
    detail: NDArray[np.float32] = cells - np.asarray(around, dtype=np.float32) / np.float32(9)
    return detail


def _template(text: str) -> NDArray[np.float32]:
    """The detail of a text's dots on blank paper: float32, shape `(7, 6 * len(text) - 1)`."""
    return _detail(np.pad(dots(text), 1))[1:-1, 1:-1]


def _averages(pixels: int, cells: int) -> NDArray[np.float32]:
    """A matrix that averages a line of pixels over equal cells: shape `(cells, pixels)`."""
    edges = np.arange(pixels + 1) / pixels
    return np.stack([cover(i / cells, (i + 1) / cells, edges) * np.float32(cells / pixels) for i in range(cells)])


def _best(ink: NDArray[np.float32], numbers: Sequence[str], count: int) -> tuple[float, str]:
    """The number whose dots agree best with the ink, and the correlation."""
    if numbers:
        return max((_correlation(ink, _template(number)), number) for number in numbers)
    text = ""
    for place in range(count):
        cell = ink[:, 6 * place : 6 * place + 5]
        text += max(DIGITS, key=lambda digit: _correlation(cell, _template(digit)))
    return _correlation(ink, _template(text)), text


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = a - a.mean(), b - b.mean()
    return float((x * y).sum() / max(1e-6, float(np.sqrt((x * x).sum() * (y * y).sum()))))


READERS.register(TextReader.family, TextReader)
