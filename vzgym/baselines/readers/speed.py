"""The reader of the speed family: how far each colour's disc has come between two frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.look import bright_labels
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["SpeedReader"]

_LEAST_AREA = 0.002
# Of the picture's width: a shorter way than that is no motion.
_LEAST_WAY = 0.06


class SpeedReader(PictureReader):
    """Follows the disc of each colour through the frames of the scene asked about."""

    family: ClassVar[str] = "speed"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`. The confidence grows with the fastest's way, and is 1 from 40 % of the picture on."""
        labels = bright_labels(shown)
        labels[~self.in_place(question, shown)] = -1
        order = np.argsort(times, kind="stable")
        choices = {option.lower(): option for option in options} or {name: name for name in EVENT_COLORS}
        ways: dict[str, float] = {}
        for place, name in enumerate(EVENT_COLORS):
            here = labels[order] == place
            seen = here[here.mean(axis=(1, 2)) >= _LEAST_AREA]
            if name in choices and len(seen) >= 2:
                # The disc's rim may pass for another colour: the middle of most pixels stays where it is.
                first, last = (float(np.median(np.nonzero(one)[1])) for one in (seen[0], seen[-1]))
                ways[name] = abs(last - first) / labels.shape[2]
        best = max(ways, key=lambda name: ways[name], default=None)
        if best is None or ways[best] < _LEAST_WAY:
            return Reading(None, 0.0)
        return Reading(choices[best], min(1.0, ways[best] / 0.4))


READERS.register(SpeedReader.family, SpeedReader)
