"""Readers for families that ask for a colour: needle and control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, FamilyReader, Reading
from vzgym.baselines.readers.look import bright_colors, picture, scene_hues
from vzgym.tasks.palette import EVENT_COLORS

__all__ = ["ControlReader", "NeedleReader"]

# Smallest share of the picture that counts as a shape rather than a stray pixel.
_LEAST_AREA = 0.004


class _ColorReader(FamilyReader):
    """Votes for the bright colour that covers most of the frames of the scene asked about."""

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`. The confidence is the winner's share of all votes."""
        shown = picture(frames)
        if shown.size == 0:
            return Reading(None, 0.0)
        area = bright_colors(shown)
        scene = self.scene_asked(question)
        if scene is not None:
            area = area[np.array([hue == scene for hue in scene_hues(shown)], dtype=bool)]
        area = np.where(area >= _LEAST_AREA, area, 0.0)
        votes = {name: float(total) for name, total in zip(EVENT_COLORS, area.sum(axis=0), strict=True)}
        cast = {option: votes[option.lower()] for option in options if votes.get(option.lower(), 0.0) > 0.0}
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
