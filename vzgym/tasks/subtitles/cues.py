"""Collecting the cues of a file: validation, and what is done with malformed blocks."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, field

from vzgym.core.errors import SubtitleError
from vzgym.core.text import find_surrogate
from vzgym.tasks.subtitles.subtitle import Subtitle

__all__ = ["Cues", "MalformedSubtitles", "clock_seconds"]

_LISTED = 3
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?")


class MalformedSubtitles(UserWarning):
    """Blocks of a subtitle file were malformed and left out."""


def clock_seconds(text: str) -> float | None:
    """Convert `[hours:]minutes:seconds[.fraction]` to seconds; None if the text is no such time.

    The fraction may follow a comma. Minutes and seconds are below 60; without hours, minutes may exceed 59.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3])
    if seconds > 59 or (found[1] is not None and minutes > 59):
        return None
    return hours * 3600 + minutes * 60 + seconds + (float(f"0.{found[4]}") if found[4] else 0.0)


@dataclass
class Cues:
    """The cues of one file as they are read.

    Attributes:
        source: The file, for messages.
        strict: Whether a malformed block is an error; otherwise it is left out, and `finish` warns.
        offset: Seconds to add to every time.
        duration: Length of the video in seconds; None if unknown.
    """

    source: str
    strict: bool = True
    offset: float = 0.0
    duration: float | None = None
    found: list[Subtitle] = field(default_factory=list)
    _faults: list[str] = field(default_factory=list)
    _blocks: int = 0

    def fault(self, reason: str, block: int | None = None, line: int | None = None) -> None:
        """Report a malformed block.

        Args:
            reason: The reason.
            block: Its number, from 1.
            line: Its line in the file, from 1.

        Raises:
            SubtitleError: If `strict`.
        """
        places = [f"block {block}"] if block is not None else []
        places += [f"line {line}"] if line is not None else []
        where = ", ".join(places)
        if self.strict:
            raise SubtitleError(f"{self.source}{', ' if where else ''}{where}: {reason}")
        self._faults.append(f"{where}: {reason}" if where else reason)

    def add(self, start: float | None, end: float | None, text: str, block: int, line: int | None = None) -> None:
        """Add a cue; one without text is left out.

        Args:
            start: Seconds; None if the block's start is not a time.
            end: Seconds; None if it is open, which takes the video's duration.
            text: Its white space is collapsed, line by line.
            block: Number of the block, from 1.
            line: Line in the file, from 1.

        Raises:
            SubtitleError: If `strict` and the cue is malformed.
        """
        self._blocks += 1
        lines = [" ".join(part.split()) for part in text.splitlines()]
        text = "\n".join(part for part in lines if part)
        if not text:
            return
        if end is None:
            if self.duration is None:
                self.fault("no end: pass duration= (the video's length in seconds) to end it there", block, line)
                return
            end = self.duration - self.offset
        if start is None or not (math.isfinite(start) and math.isfinite(end)):
            self.fault(f"its times are not finite numbers: {start}, {end}", block, line)
            return
        if start < 0:
            self.fault(f"it starts at {start:g} s, before 0", block, line)
            return
        if end < start:
            self.fault(f"it ends at {end:g} s, before it starts at {start:g} s", block, line)
            return
        if find_surrogate(text) is not None:
            self.fault("its text has a lone surrogate, which is no character", block, line)
            return
        self._place(start + self.offset, end + self.offset, text, block, line)

    def _place(self, start: float, end: float, text: str, block: int, line: int | None) -> None:
        if end <= 0 and start < 0:
            return  # Before the part of the recording that the video is, as the offset says.
        if self.duration is not None and start >= self.duration:
            self.fault(f"it starts at {start:g} s, but the video ends at {self.duration:g} s", block, line)
            return
        self.found.append(Subtitle(max(0.0, start), end, text))

    def finish(self) -> tuple[Subtitle, ...]:
        """The cues in order of their starts. Warns (`MalformedSubtitles`) of blocks that were left out."""
        if self._faults:
            count, shown = len(self._faults), "; ".join(self._faults[:_LISTED])
            more = f"; and {count - _LISTED} more" if count > _LISTED else ""
            message = f"{self.source}: {count} malformed blocks beside {len(self.found)} good ones: {shown}{more}"
            warnings.warn(message, MalformedSubtitles, stacklevel=4)
        return tuple(sorted(self.found, key=lambda subtitle: (subtitle.start, subtitle.end)))
