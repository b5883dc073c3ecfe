"""The reader of the state family: above which box the ball hangs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.look import bright_labels, near_mask
from vzgym.tasks.procedural.families.state import BOX_COLORS
from vzgym.tasks.procedural.render.palette import BALL, EVENT_COLORS

__all__ = ["StateReader"]

_LEAST_AREA = 0.0015
_LEAST_BOX = 0.002
_TOLERANCE = 48


class StateReader(PictureReader):
    """Finds a white ball in the frames of the scene asked about, and the colour of the box below it."""

    family: ClassVar[str] = "state"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`. Each frame with a ball votes for the nearest box; the confidence is its share."""
        ball = near_mask(shown, BALL, _TOLERANCE)
        votes: dict[str, int] = {}
        with_ball = (ball.mean(axis=(1, 2)) >= _LEAST_AREA) & self.in_place(question, shown)
        for index in np.flatnonzero(with_ball).tolist():
            boxes = _boxes(bright_labels(shown[index : index + 1])[0])
            if boxes:
                place = float(np.nonzero(ball[index])[1].mean())
                name = min(boxes, key=lambda box: abs(boxes[box] - place))
                votes[name] = votes.get(name, 0) + 1
        choices = {option: votes.get(option.lower(), 0) for option in options or BOX_COLORS}
        best = max(choices, key=lambda option: choices[option])
        return Reading(best, choices[best] / sum(votes.values())) if choices[best] else Reading(None, 0.0)


def _boxes(labels: NDArray[np.int8]) -> dict[str, float]:
    """Where each box stands: the mean column of its colour."""
    found = {}
    for place, name in enumerate(EVENT_COLORS):
        columns = np.nonzero(labels == place)[1]
        if name in BOX_COLORS and len(columns) >= _LEAST_BOX * labels.size:
            found[name] = float(columns.mean())
    return found


READERS.register(StateReader.family, StateReader)
