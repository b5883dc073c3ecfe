"""The reader of the decoy family: the colour of what is full in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.color import vote
from vzgym.baselines.readers.look import bright_labels
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["DecoyReader", "find_discs"]

_LEAST_AREA = 0.004
_WHITE = tuple(EVENT_COLORS).index("white")


def find_discs(shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The share of each frame that a full disc of each colour covers; 0 for rings.

    Args:
        shown: uint8, shape `(n, height, width, 3)`, without bars.

    Returns:
        float64, shape `(n, len(EVENT_COLORS))`.
    """
    area = np.zeros((len(shown), len(EVENT_COLORS)))
    for index, labels in enumerate(bright_labels(shown)):
        counts = np.bincount(labels[labels >= 0], minlength=len(EVENT_COLORS))
        counts[_WHITE] = 0
        color = int(counts.argmax())
        if counts[color] < _LEAST_AREA * labels.size:
            continue
        mask = labels == color
        rows, columns = np.nonzero(mask)
        # The median is not moved by stray pixels far away.
        y, x = int(np.median(rows)), int(np.median(columns))
        reach = max(1, int(0.15 * np.sqrt(counts[color])))
        if mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].mean() > 0.6:
            area[index, color] = counts[color] / labels.size
    return area


class DecoyReader(PictureReader):
    """Votes for the colour of full discs in the frames of the scene asked about, and ignores rings and lights."""

    family: ClassVar[str] = "decoy"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`. The confidence is the winner's share of all votes."""
        return vote(find_discs(shown)[self.in_place(question, shown)], options)


READERS.register(DecoyReader.family, DecoyReader)
