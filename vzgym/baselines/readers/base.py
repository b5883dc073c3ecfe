"""What a frame reader is: eyes for policies that are no models."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.look import picture, scene_hues
from vzgym.core.registry import Registry
from vzgym.tasks.procedural.families import FAMILIES, Family
from vzgym.tasks.procedural.family import wording_patterns

__all__ = ["READERS", "FamilyReader", "FrameReader", "PictureReader", "Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of some frames.

    Args:
        option: The option that the frames speak for, one of those given; to an open question, the answer in the
            family's own words. None if they show nothing that matters.
        confidence: How sure it is, in [0, 1]; 0 where `option` is None.
    """

    option: str | None
    confidence: float


@runtime_checkable
class FrameReader(Protocol):
    """Answers from pixels alone. It never sees a task: neither its answer, nor its evidence, nor its metadata."""

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
    """A reader that knows one family's questions, and what that family draws.

    Attributes:
        family: The family's name.
    """

    family: ClassVar[str]

    @classmethod
    def matches(cls, question: str) -> bool:
        """Whether this is one of the family's questions."""
        return cls._match(question) is not None

    @classmethod
    def scene_asked(cls, question: str) -> str | None:
        """The hue of the one scene that the question names; None if it names none, or two."""
        scenes = cls.scenes_asked(question)
        return scenes[0] if len(scenes) == 1 else None

    @classmethod
    def scenes_asked(cls, question: str) -> tuple[str, ...]:
        """The hues of the scenes that the question names, in its order; empty if it names none."""
        found = cls._match(question)
        named = None if found is None else found.groupdict().get("scene")
        return () if named is None else tuple(named.lower().split(" or "))

    @classmethod
    def in_place(cls, question: str, shown: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which frames are of a scene that the question names; all of them if it names none.

        Args:
            question: The question.
            shown: uint8, shape `(n, height, width, 3)`, without bars.

        Returns:
            bool, shape `(n,)`.
        """
        scenes = cls.scenes_asked(question)
        if not scenes:
            return np.ones(len(shown), dtype=np.bool_)
        return np.array([hue in scenes for hue in scene_hues(shown)], dtype=np.bool_)

    @abstractmethod
    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`."""

    @classmethod
    def _match(cls, question: str) -> re.Match[str] | None:
        factory = FAMILIES.get(cls.family)
        assert isinstance(factory, type)
        assert issubclass(factory, Family)
        for pattern in wording_patterns(factory.wordings):
            found = pattern.search(question)
            if found is not None:
                return found
        return None


class PictureReader(FamilyReader):
    """A family reader of frames without their bars, thinned out; where nothing is left, it has read nothing."""

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`, and `read_picture` for the confidence."""
        shown = picture(frames)
        return self.read_picture(shown, times, question, options) if shown.size else Reading(None, 0.0)

    @abstractmethod
    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """Answer a question from what `picture` left of its frames.

        Args:
            shown: uint8, shape `(n, height, width, 3)`, not empty.
            times: See `FrameReader.read`.
            question: See there.
            options: See there.
        """


READERS: Registry[FrameReader] = Registry("frame reader", "vzgym.readers", "vzgym.baselines.readers")
"""Readers by name: each family's own by the family's name, and "auto", which picks among them."""
