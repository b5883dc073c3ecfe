"""Subtitles in JSON: lists of cues in the forms of common tools and benchmarks, and YouTube's json3."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vzgym.core.errors import SubtitleError
from vzgym.tasks.subtitles.cues import Cues, clock_seconds

__all__ = ["is_json_lines", "read_json_cues", "read_json_line_cues"]

# Each key by the number of its units in a second; None: that of the `unit` setting.
_STARTS = {"start": None, "start_time": None, "begin": None, "from": None, "start_ms": 1000, "startMs": 1000}
_ENDS = {"end": None, "end_time": None, "to": None, "end_ms": 1000, "endMs": 1000}
_LENGTHS = {"duration": None, "dur": None, "duration_ms": 1000, "durationMs": 1000}
_TEXTS = ("text", "line", "content", "utf8", "word")
_LISTS = ("segments", "subtitles", "cues", "captions", "results")
_FORMS = '{"start", "end", "text"}, {"timestamp": [start, end], "text"} or [start, end, text]'


class _BadCue(Exception):
    """A cue that is not of a known form; the message is the reason."""


def is_json_lines(text: str) -> bool:
    """Whether a text's first line is a JSON object by itself, and no list of cues."""
    if not text.startswith("{"):
        return False
    try:
        first = json.loads(text.partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return not any(isinstance(first.get(key), list) for key in (*_LISTS, "events"))


def read_json_cues(text: str, cues: Cues, unit: float) -> None:
    """Read a JSON list of cues, an object that holds one, or YouTube's json3.

    Args:
        text: The JSON.
        cues: Receives the cues.
        unit: Units of a number per second: 1, or 1000 for milliseconds.

    Raises:
        SubtitleError: If it is not JSON, or holds no such list; or, if `cues.strict`, a cue is malformed.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SubtitleError(f"{cues.source}: not JSON: {error}") from error
    if isinstance(data, Mapping) and isinstance(data.get("events"), list):
        _read_json3(data["events"], cues)
        return
    if isinstance(data, Mapping):
        data = next((data[key] for key in _LISTS if isinstance(data.get(key), list)), None)
    if not isinstance(data, list):
        raise SubtitleError(f"{cues.source}: no list of cues; expected a list of {_FORMS}")
    for number, item in enumerate(data, start=1):
        _add(item, cues, unit, number, None)


def read_json_line_cues(text: str, cues: Cues, unit: float) -> None:
    """Read one JSON cue a line; arguments and errors as `read_json_cues`."""
    block = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        block += 1
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            cues.fault(f"not JSON: {error}", block, number)
            continue
        _add(item, cues, unit, block, number)


def _add(item: object, cues: Cues, unit: float, block: int, line: int | None) -> None:
    try:
        start, end, text = _cue(item, unit)
    except _BadCue as error:
        cues.fault(str(error), block, line)
        return
    cues.add(start, end, text, block, line)


def _cue(item: object, unit: float) -> tuple[float, float | None, str]:
    if isinstance(item, list) and len(item) == 3 and isinstance(item[2], str):
        return _time(item[0], unit), _end(item[1], unit), item[2]
    if not isinstance(item, Mapping):
        raise _BadCue(f"expected {_FORMS}, got {item!r:.80}")
    key = next((key for key in _TEXTS if key in item), None)
    text = item[key] if key is not None else None
    if not isinstance(text, str):
        raise _BadCue(f"no text (under {', '.join(map(repr, _TEXTS))}), got {item!r:.80}")
    span = item.get("timestamp")
    if isinstance(span, list) and len(span) == 2:
        return _time(span[0], unit), _end(span[1], unit), text
    starts, ends, lengths = (list(_present(item, keys, unit)) for keys in (_STARTS, _ENDS, _LENGTHS))
    if not starts:
        raise _BadCue(f"no start (under {', '.join(map(repr, _STARTS))} or 'timestamp'), got {item!r:.80}")
    start = _time(*starts[0])
    if ends:
        return start, _end(*ends[0]), text
    if lengths:
        return start, start + _time(*lengths[0]), text
    raise _BadCue(f"no end (under {', '.join(map(repr, (*_ENDS, *_LENGTHS)))}), got {item!r:.80}")


def _present(item: Mapping[str, Any], keys: Mapping[str, int | None], unit: float) -> Iterator[tuple[Any, float]]:
    for key, own in keys.items():
        if key in item:
            yield item[key], float(own or unit)


def _end(value: object, unit: float) -> float | None:
    return None if value is None else _time(value, unit)


def _time(value: object, unit: float) -> float:
    """A number in its unit, or a clock time, as seconds."""
    if isinstance(value, str):
        clock = clock_seconds(value)
        if clock is not None:
            return clock
        try:
            value = float(value)
        except ValueError as error:
            raise _BadCue(f"expected seconds or 'HH:MM:SS.mmm', got {value!r:.60}") from error
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _BadCue(f"expected a number of seconds or 'HH:MM:SS.mmm', got {value!r:.60}")
    try:
        return float(value) / unit
    except OverflowError as error:
        raise _BadCue("a time is too large") from error


def _read_json3(events: list[Any], cues: Cues) -> None:
    """YouTube's json3: events of `tStartMs`, `dDurationMs` and segments of text; the others set up windows."""
    for number, event in enumerate(events, start=1):
        if not isinstance(event, Mapping) or not isinstance(event.get("segs", []), list):
            cues.fault(f"expected an event with 'tStartMs' and 'segs', got {event!r:.80}", number)
            continue
        segments = event.get("segs", [])
        pieces = [str(piece.get("utf8", "")) for piece in segments if isinstance(piece, Mapping)]
        if len(pieces) < len(segments):
            cues.fault(f"expected segments with 'utf8', got {event!r:.80}", number)
            continue
        text = "".join(pieces)
        if not text.strip():
            continue
        try:
            start, length = _time(event.get("tStartMs"), 1000), _time(event.get("dDurationMs", 0), 1000)
        except _BadCue as error:
            cues.fault(str(error), number)
            continue
        cues.add(start, start + length, text, number)
