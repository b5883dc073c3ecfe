"""One line of speech."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from vzgym.core.errors import TaskError

__all__ = ["SUBTITLE_MODES", "Subtitle", "SubtitleMode", "overlapping"]

SubtitleMode: TypeAlias = Literal["none", "overview", "clips", "all"]
"""Where dialogues show subtitles: nowhere, in the overview, in the clips of zooms and tools, or in both."""

SUBTITLE_MODES: Final[tuple[str, ...]] = get_args(SubtitleMode)
"""The values of `SubtitleMode`."""


@dataclass(frozen=True, slots=True)
class Subtitle:
    """A line of speech.

    Args:
        start: Seconds from the start of the video, >= 0.
        end: Seconds from the start of the video, >= `start`.
        text: What is said.

    Raises:
        TaskError: If a time is not a finite number, `start` is negative or `end` is before it, or the text is no text.
    """

    start: float
    end: float
    text: str

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise TaskError(f"a subtitle's {name} must be a number of seconds, got {value!r}")
            try:
                object.__setattr__(self, name, float(value))
            except OverflowError as error:
                raise TaskError(f"a subtitle's {name} is too large: a number of {len(str(value))} digits") from error
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise TaskError(f"a subtitle's times must be finite, got [{self.start}, {self.end}]")
        if self.start < 0:
            raise TaskError(f"a subtitle starts at {self.start:g} s, before the video")
        if self.end < self.start:
            raise TaskError(f"a subtitle ends at {self.end:g} s, before it starts at {self.start:g} s")
        if not isinstance(self.text, str):
            raise TaskError(f"a subtitle's text must be a text, got {self.text!r}")

    def overlaps(self, start: float, end: float) -> bool:
        """Whether a part of the line is spoken in `[start, end)`; at the time `start`, if the two are equal.

        A line without length counts at its start.
        """
        if start == end:
            return self.start <= start and (start < self.end or start == self.start)
        return self.start < end and (self.end > start or self.start == self.end == start)


def overlapping(subtitles: Sequence[Subtitle], start: float, end: float) -> list[Subtitle]:
    """The subtitles that overlap `[start, end)`, in order of their starts.

    Args:
        subtitles: In any order.
        start: Seconds from the start of the video.
        end: Seconds; if equal to `start`, the subtitles at that time.
    """
    found = (subtitle for subtitle in subtitles if subtitle.overlaps(start, end))
    return sorted(found, key=lambda subtitle: (subtitle.start, subtitle.end))
