"""The reader of the anomaly family: a ball that is gone, white or double."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.look import bright_labels
from vzgym.tasks.procedural.families.anomaly import NORMAL, ODDITIES
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["AnomalyReader", "find_oddities"]

_LEAST_AREA = 0.004
_WHITE = tuple(EVENT_COLORS).index("white")


def find_oddities(shown: NDArray[np.uint8]) -> list[str | None]:
    """What each frame shows the ball do, as an option says it; None for a ball that behaves.

    Args:
        shown: uint8, shape `(n, height, width, 3)`, without bars.
    """
    labels = bright_labels(shown)
    found: list[str | None] = []
    for frame in labels:
        lit = frame >= 0
        if lit.mean() < _LEAST_AREA:
            found.append("it vanishes")
        elif (frame == _WHITE).sum() > 0.6 * lit.sum():
            found.append("it turns white")
        else:
            columns = lit.sum(axis=0) >= 2
            pieces = int(columns[0]) + int((columns[1:] & ~columns[:-1]).sum())
            found.append("it splits in two" if pieces >= 2 else None)
    return found


class AnomalyReader(PictureReader):
    """Judges each frame of the scene asked about; where all are normal, it says that nothing unusual happens."""

    family: ClassVar[str] = "anomaly"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`.

        The confidence of an oddity is its share of the odd frames. That of nothing unusual is n / (n + 8) for n
        frames: it grows with what was looked at, and never reaches 1.
        """
        shown = shown[self.in_place(question, shown)]
        if len(shown) == 0:
            return Reading(None, 0.0)
        odd = [oddity for oddity in find_oddities(shown) if oddity is not None]
        choices = {option.lower(): option for option in options or (NORMAL, *ODDITIES)}
        if not odd:
            return Reading(choices[NORMAL], len(shown) / (len(shown) + 8)) if NORMAL in choices else Reading(None, 0.0)
        best = max(sorted(set(odd)), key=odd.count)
        return Reading(choices[best], odd.count(best) / len(odd)) if best in choices else Reading(None, 0.0)


READERS.register(AnomalyReader.family, AnomalyReader)
