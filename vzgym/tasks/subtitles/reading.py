"""Reading subtitle files."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final, Literal, get_args

from vzgym.core.errors import InvalidSetting, SubtitleError
from vzgym.tasks.subtitles.blocks import read_srt, read_vtt
from vzgym.tasks.subtitles.cues import Cues
from vzgym.tasks.subtitles.decoding import decode
from vzgym.tasks.subtitles.json_forms import is_json_lines, read_json_cues, read_json_line_cues
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.tasks.subtitles.xml_forms import read_xml

__all__ = ["FORMATS", "parse_subtitles", "read_subtitles"]

_Format = Literal["srt", "vtt", "json", "jsonl", "xml"]
FORMATS: Final[tuple[str, ...]] = get_args(_Format)
"""SubRip, WebVTT, JSON (also YouTube's json3), JSON lines, XML (TTML, YouTube's srv1 and srv3)."""
_UNITS = {"seconds": 1.0, "milliseconds": 1000.0}


def read_subtitles(
    path: str | os.PathLike[str],
    *,
    format: _Format | None = None,
    encoding: str | None = None,
    unit: Literal["seconds", "milliseconds"] = "seconds",
    offset: float = 0.0,
    duration: float | None = None,
    strict: bool = True,
) -> tuple[Subtitle, ...]:
    """Read a subtitle file.

    JSON is a list of cues: `{"start", "end", "text"}`, `{"start", "duration", "text"}`, `{"timestamp": [start, end],
    "text"}` or `{"start", "end", "line"}` (LongVideoBench), `[start, end, text]`, or an object with such a list under
    "segments" (Whisper). Times are numbers in `unit` or texts "HH:MM:SS.mmm"; keys such as `start_ms` name their unit.

    Args:
        path: The file.
        format: One of `FORMATS`; recognized from the content if None.
        encoding: The encoding of a file without byte order mark; UTF-8 if None.
        unit: The unit of numbers in JSON whose key names none.
        offset: Seconds to add to every time. Cues that then end before 0 are left out.
        duration: Length of the video in seconds: the end of cues without one. A cue that starts later is malformed.
        strict: Whether a malformed block is an error; if False, it is left out with a warning
            (`MalformedSubtitles`) that counts such blocks and names the first.

    Returns:
        The cues in order of their starts. Those without text are left out.

    Raises:
        SubtitleError: If the file cannot be read or decoded, is of no known format, or, if `strict`, a block is
            malformed. Names the file and the byte, or the block and line.
        InvalidSetting: If an argument is invalid.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SubtitleError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error
    text = decode(data, os.fspath(path), encoding)
    return parse_subtitles(
        text, os.fspath(path), format=format, unit=unit, offset=offset, duration=duration, strict=strict
    )


def parse_subtitles(
    text: str,
    source: str = "subtitles",
    *,
    format: _Format | None = None,
    unit: Literal["seconds", "milliseconds"] = "seconds",
    offset: float = 0.0,
    duration: float | None = None,
    strict: bool = True,
) -> tuple[Subtitle, ...]:
    """Read subtitles from a text.

    Args:
        text: The content of a subtitle file.
        source: Where it comes from, for messages.
        format: See `read_subtitles`, as the other arguments.
        unit: See `read_subtitles`.
        offset: See `read_subtitles`.
        duration: See `read_subtitles`.
        strict: See `read_subtitles`.

    Raises:
        SubtitleError: As `read_subtitles`.
        InvalidSetting: As `read_subtitles`.
    """
    if unit not in _UNITS:
        raise InvalidSetting(f"unit must be one of {', '.join(_UNITS)}, got {unit!r}")
    if format is not None and format not in FORMATS:
        raise InvalidSetting(f"subtitle format must be one of {', '.join(FORMATS)}, got {format!r}")
    if not math.isfinite(offset):
        raise InvalidSetting(f"offset must be a finite number of seconds, got {offset}")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise InvalidSetting(f"duration must be finite and > 0 seconds, got {duration}")
    text = text.removeprefix("\ufeff")
    cues = Cues(source, strict, offset, duration)
    if not text.strip():
        cues.fault("the file is empty")
        return cues.finish()
    match format or _recognize(text, source):
        case "srt":
            read_srt(text, cues)
        case "vtt":
            read_vtt(text, cues)
        case "json":
            read_json_cues(text, cues, _UNITS[unit])
        case "jsonl":
            read_json_line_cues(text, cues, _UNITS[unit])
        case _:
            read_xml(text, cues)
    return cues.finish()


def _recognize(text: str, source: str) -> str:
    """The format of a text, from its content: names of files are often wrong."""
    start = text.lstrip()
    if start.startswith("WEBVTT"):
        return "vtt"
    if start.startswith("<"):
        return "xml"
    if start.startswith(("[Script Info]", "[V4")):
        raise SubtitleError(f"{source}: SubStation Alpha (.ass, .ssa) is not read: convert it to .srt")
    if is_json_lines(start):
        return "jsonl"
    if start.startswith(("{", "[")):
        return "json"
    if "-->" in text:
        return "srt"
    raise SubtitleError(
        f"{source}: of no known format ({', '.join(FORMATS)}): no 'WEBVTT', '-->', JSON or XML; pass format= to name it"
    )
