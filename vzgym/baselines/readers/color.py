"""Readers for families that ask for a colour: needle and control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.look import bright_colors
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["ControlReader", "NeedleReader", "vote"]

# Smallest share of the picture that counts as a shape rather than a stray pixel.
_LEAST_AREA = 0.004


class _ColorReader(PictureReader):
    """Votes for the bright colour that covers most of the frames of the scene asked about."""

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`. The confidence is the winner's share of all votes."""
        return vote(bright_colors(shown)[self.in_place(question, shown)], options)


def vote(area: NDArray[np.float64], options: Sequence[str]) -> Reading:
    """The option whose colour covers most.

    Args:
        area: The share of each frame that shows each colour, shape `(n, len(EVENT_COLORS))`.
        options: Colours; none for an open question.

    Returns:
        The confidence is the winner's share of all votes.
    """
    area = np.where(area >= _LEAST_AREA, area, 0.0)
    votes = {name: float(total) for name, total in zip(EVENT_COLORS, area.sum(axis=0), strict=True)}
    choices = options or tuple(EVENT_COLORS)
    cast = {option: votes[option.lower()] for option in choices if votes.get(option.lower(), 0.0) > 0.0}
    if not cast:
        return Reading(None, 0.0)
    best = max(cast, key=lambda option: cast[option])
    return Reading(best, cast[best] / sum(votes.values()))


class NeedleReader(_ColorReader):
    """Reads the colour of a flash."""

    family: ClassVar[str] = "needle"


class ControlReader(_ColorReader):
    """Reads the colour of a balloon."""

    family: ClassVar[str] = "control"


READERS.register(NeedleReader.family, NeedleReader)
READERS.register(ControlReader.family, ControlReader)
