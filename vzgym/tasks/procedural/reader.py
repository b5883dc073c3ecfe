"""Frame readers: answers from pixels only, for scripted policies and for the verification of suites."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.procedural.pixels import bright_colors, crop_bars, in_scenes
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["NO_READING", "ColorReader", "FamilyReader", "FrameReader", "PictureReader", "Reading", "vote"]

# Smallest share of the picture that counts as a shape rather than a stray pixel.
_LEAST_AREA = 0.004


@dataclass(frozen=True, slots=True)
class Reading:
    """A reader's result.

    Args:
        option: The option that the frames support, one of those given; for an open question, the answer as the family
            words it. None if they show nothing relevant.
        confidence: In [0, 1]; 0 if `option` is None.
    """

    option: str | None
    confidence: float


NO_READING = Reading(None, 0.0)
"""The result for frames that show nothing relevant."""


@runtime_checkable
class FrameReader(Protocol):
    """Answers from pixels only. It never receives a task's answer, evidence or metadata."""

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """Answer a question from frames.

        Args:
            frames: uint8, shape `(n, height, width, 3)`, in any order; black bars around the picture are ignored.
            times: The frames' times in seconds, shape `(n,)`.
            question: The question.
            options: The choices, as text; none if the question is open.
        """
        ...


class FamilyReader(ABC):
    """Stateless reader of one family's videos; the `reader` of a `Family`."""

    @abstractmethod
    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], scenes: Sequence[str], options: Sequence[str]
    ) -> Reading:
        """Answer a question of the family.

        Args:
            frames: See `FrameReader.read`.
            times: See `FrameReader.read`.
            scenes: Hues of the scenes that the question names; empty if it names none.
            options: See `FrameReader.read`.
        """


class PictureReader(FamilyReader):
    """A family reader that crops black bars first. It reads nothing from frames that are all black."""

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], scenes: Sequence[str], options: Sequence[str]
    ) -> Reading:
        """See `FamilyReader.read`, and `read_picture` for the confidence."""
        shown = crop_bars(frames)
        return self.read_picture(shown, times, in_scenes(shown, scenes), options) if shown.size else NO_READING

    @abstractmethod
    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """Answer a question from frames cropped by `crop_bars`.

        Args:
            shown: uint8, shape `(n, height, width, 3)`, not empty.
            times: Seconds, shape `(n,)`, in any order.
            asked: bool, shape `(n,)`: which frames are of a scene that the question names; all if it names none.
            options: See `FrameReader.read`.
        """


class ColorReader(PictureReader):
    """Votes for the bright color that covers most of the frames of the queried scenes."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`. The confidence is the winner's share of all votes."""
        return vote(bright_colors(shown)[asked], options)


def vote(area: NDArray[np.float64], options: Sequence[str]) -> Reading:
    """The option whose color covers the largest area.

    Args:
        area: The share of each frame that shows each color, shape `(n, len(EVENT_COLORS))`.
        options: Colors; none for an open question.

    Returns:
        The confidence is the winner's share of all votes.
    """
    area = np.where(area >= _LEAST_AREA, area, 0.0)
    votes = {name: float(total) for name, total in zip(EVENT_COLORS, area.sum(axis=0), strict=True)}
    choices = options or tuple(EVENT_COLORS)
    cast = {option: votes[option.lower()] for option in choices if votes.get(option.lower(), 0.0) > 0.0}
    if not cast:
        return NO_READING
    best = max(cast, key=lambda option: cast[option])
    return Reading(best, cast[best] / sum(votes.values()))
