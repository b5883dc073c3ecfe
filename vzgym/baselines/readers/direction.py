"""The reader of the direction family: where a disc is in the first and in the last frame that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.look import bright_labels
from vzgym.tasks.procedural.families.direction import WAYS

__all__ = ["DirectionReader"]

_LEAST_AREA = 0.004
# Of the picture's width or height: a shorter way than that is no motion.
_LEAST_WAY = 0.12


class DirectionReader(PictureReader):
    """Follows a bright disc through the frames of the scene asked about, in order of time."""

    family: ClassVar[str] = "direction"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`. The confidence grows with the way seen, and is 1 from 40 % of the picture on."""
        lit = bright_labels(shown) >= 0
        seen = np.flatnonzero((lit.mean(axis=(1, 2)) >= _LEAST_AREA) & self.in_place(question, shown))
        if len(seen) < 2:
            return Reading(None, 0.0)
        ordered = seen[np.argsort(times[seen], kind="stable")]
        (x0, y0), (x1, y1) = (_center(lit[index]) for index in (ordered[0], ordered[-1]))
        across, down = x1 - x0, y1 - y0
        way = max(abs(across), abs(down))
        if way < _LEAST_WAY:
            return Reading(None, 0.0)
        step = (int(np.sign(across)), 0) if abs(across) > abs(down) else (0, int(np.sign(down)))
        name = next(name for name, value in WAYS.items() if value == step)
        choice = next((option for option in options or WAYS if option.lower() == name), None)
        return Reading(choice, min(1.0, way / 0.4)) if choice is not None else Reading(None, 0.0)


def _center(lit: NDArray[np.bool_]) -> tuple[float, float]:
    """The middle of what is lit, in shares of width and height."""
    y, x = np.nonzero(lit)
    return float(x.mean()) / lit.shape[1], float(y.mean()) / lit.shape[0]


READERS.register(DirectionReader.family, DirectionReader)
