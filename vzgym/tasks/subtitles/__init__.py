"""Subtitles: lines of speech with their times, and a reader for the usual files."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.tasks.subtitles.cues import MalformedSubtitles
    from vzgym.tasks.subtitles.reading import FORMATS, parse_subtitles, read_subtitles
    from vzgym.tasks.subtitles.subtitle import Subtitle, overlapping
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "cues: MalformedSubtitles",
        "reading: FORMATS parse_subtitles read_subtitles",
        "subtitle: Subtitle overlapping",
    )

__all__ = ["FORMATS", "MalformedSubtitles", "Subtitle", "overlapping", "parse_subtitles", "read_subtitles"]
