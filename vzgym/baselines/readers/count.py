"""The reader of the count family: follows a lamp's glass through its burst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.look import near
from vzgym.tasks.procedural.render.palette import LAMP_LIT, LAMP_RING

__all__ = ["CountReader"]

_LEAST_AREA = 0.004
_TOLERANCE = 52


class CountReader(PictureReader):
    """Counts how often a lamp's glass goes bright, in the frames of the scene asked about, in order of time."""

    family: ClassVar[str] = "count"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`.

        The confidence grows with the number of frames in the burst, up to two for each pulse of the largest option;
        it is small if the count is no option (then the nearest one is given).
        """
        counts = {option: int(option) for option in options if option.strip().isdecimal()}
        if options and not counts:
            return Reading(None, 0.0)
        rim, glass = near(shown, LAMP_RING, _TOLERANCE), near(shown, LAMP_LIT, _TOLERANCE)
        burst = (rim + glass >= _LEAST_AREA) & self.in_place(question, shown)
        if not burst.any():
            return Reading(None, 0.0)
        lit = burst & (glass >= 0.25 * (rim + glass))
        ordered = lit[np.argsort(times, kind="stable")]
        pulses = int(ordered[0]) + int((ordered[1:] & ~ordered[:-1]).sum())
        if pulses == 0:
            # A frame between two pulses shows that there is a burst, but of how many it says nothing.
            return Reading(None, 0.0)
        if not counts:
            return Reading(str(pulses), min(1.0, int(burst.sum()) / (2 * pulses)))
        best = min(counts, key=lambda option: abs(counts[option] - pulses))
        seen = min(1.0, int(burst.sum()) / (2 * max(counts.values()) - 1))
        return Reading(best, seen if counts[best] == pulses else 0.25 * seen)


READERS.register(CountReader.family, CountReader)
