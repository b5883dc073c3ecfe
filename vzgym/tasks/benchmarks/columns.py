"""Values of annotation columns as they occur: texts, lists written as Python literals, times."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.core.interval import Interval
from vzgym.core.text import comparable

__all__ = [
    "around",
    "gold_by_text",
    "json_number",
    "literal",
    "merged",
    "number_of",
    "options_of",
    "pairs_of",
    "parse_clock",
    "split_stem",
    "text_of",
]

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)")
_LONGEST_LITERAL = 1_000_000


def text_of(value: Any) -> str:
    """A cell as text: None becomes "", a number its digits, other values an error."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TaskError(f"expected a text, got {value!r:.100}")
    if isinstance(value, float) and math.isnan(value):
        return ""
    return value if isinstance(value, str) else f"{value:.15g}" if isinstance(value, float) else str(value)


def number_of(value: Any) -> float:
    """A cell as a finite number.

    Raises:
        TaskError: If it is none.
    """
    try:
        found = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise TaskError(f"expected a number, got {value!r:.100}")
    return found


def json_number(value: Any) -> int | float | None:
    """A cell as a number for metadata, whole numbers as such; None if it is none."""
    try:
        found = number_of(value)
    except TaskError:
        return None
    return int(found) if found == int(found) else found


def literal(value: Any) -> Any:
    """A cell that may be a list written as a Python literal, as VLMEvalKit's tables have it.

    Raises:
        TaskError: If a text that begins with a bracket is no literal.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{", "(")):
        return value
    if len(value) > _LONGEST_LITERAL:
        raise TaskError(f"a list written as text has {len(value)} characters")
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise TaskError(f"a list written as text cannot be read: {value!r:.100}") from error


def options_of(value: Any) -> tuple[str, ...]:
    """A cell with options: a list of texts, or one written as a Python literal; None gives none.

    Raises:
        TaskError: If it is anything else.
    """
    found = literal(value)
    if found is None or found == "":
        return ()
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise TaskError(f"expected a list of options, got {value!r:.100}")
    return tuple(text_of(option) for option in found)


def gold_by_text(options: Sequence[str], answer: str) -> int | None:
    """Position of the option whose text is the answer, the first of several; None if there is none."""
    if answer in options:
        return list(options).index(answer)
    plain = [comparable(option) for option in options]
    asked = comparable(answer)
    return plain.index(asked) if asked and asked in plain else None


def pairs_of(value: Any) -> list[tuple[float, float]]:
    """A cell with intervals: `[[start, end], ...]`, or one as a Python literal.

    Raises:
        TaskError: If it is anything else.
    """
    found = literal(value)
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise TaskError(f"expected intervals [[start, end], ...], got {value!r:.100}")
    if len(found) == 2 and not any(isinstance(part, Sequence) for part in found):
        found = [found]
    pairs = []
    for part in found:
        if not isinstance(part, Sequence) or isinstance(part, str) or len(part) != 2:
            raise TaskError(f"expected an interval [start, end], got {part!r:.100}")
        pairs.append((number_of(part[0]), number_of(part[1])))
    return pairs


def merged(pairs: Sequence[tuple[float, float]]) -> tuple[Interval, ...]:
    """Intervals in order, with those that overlap or touch made one."""
    found: list[list[float]] = []
    for start, end in sorted(pairs):
        if found and start <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([start, end])
    return tuple(Interval(start, end) for start, end in found)


def around(moment: float, duration: float | None = None, half: float = 0.5) -> tuple[float, float]:
    """An interval of a second around a moment, within a video of `duration` seconds."""
    start, end = max(0.0, moment - half), moment + half
    if duration is not None and end > duration:
        end = max(duration, half)
        start = min(start, end - half)
    return start, end


def parse_clock(text: str) -> float | None:
    """Seconds of a time "MM:SS", "HH:MM:SS" or "MM:SS.sss", whose minutes may exceed 59; None if it is none."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)


def split_stem(text: str) -> tuple[str, tuple[str, ...]]:
    """A question and its options, which follow on lines of their own with letters "(A)", "A." or "A)".

    Unlike `split_options` of the RL rows, empty options are kept.
    """
    lines = text.rstrip("\n").split("\n")
    marks = [(place, _OPTION_LINE.match(line)) for place, line in enumerate(lines)]
    found = [(place, mark) for place, mark in marks if mark is not None]
    # The last run of letters in order from A.
    for start in range(len(found) - 1, -1, -1):
        run = found[start:]
        if (run[0][1][1] or run[0][1][2]) == "A":
            kept: list[tuple[int, re.Match[str]]] = []
            for place, mark in run:
                if (mark[1] or mark[2]) == chr(ord("A") + len(kept)):
                    kept.append((place, mark))
            if len(kept) > 1:
                places = [place for place, _ in kept] + [len(lines)]
                options = []
                for (place, mark), after in zip(kept, places[1:], strict=True):
                    rest = [lines[place][mark.end() :], *lines[place + 1 : after]]
                    options.append("\n".join(rest).strip())
                return "\n".join(lines[: places[0]]).strip(), tuple(options)
    return text.strip(), ()


_OPTION_LINE = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])[.):])(?:\s|$)\s*")
