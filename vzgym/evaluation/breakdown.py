"""Groups episodes by category, video duration, or a key of the tasks' metadata."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.metrics import EpisodeMetrics
from vzgym.tasks import TaskSet

__all__ = ["break_down", "check_by", "check_keys"]

_EDGES: Final = (15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
_DURATIONS: Final = ("< 15 s", "15 s to 1 min", "1 to 3 min", "3 to 10 min", "10 to 30 min", "30 to 60 min", ">= 1 h")

_NONE: Final = "(none)"
_METADATA: Final = "metadata."


def check_by(by: str) -> None:
    """Check a grouping key.

    Raises:
        InvalidSetting: If it is not "category", "duration" or "metadata.KEY".
    """
    if by not in ("category", "duration") and not (by.startswith(_METADATA) and by != _METADATA):
        raise InvalidSetting(f"results are broken down by category, duration or metadata.KEY, got {by!r}")


def check_keys(by: Sequence[str], tasks: TaskSet, episodes: int | None = None) -> None:
    """Check before a run that some task has each key; see `break_down`.

    Args:
        by: Grouping keys.
        tasks: The tasks that will be played.
        episodes: Number of tasks played, from the first; all if None.

    Raises:
        InvalidSetting: If a key is none of these, or no task has it; the message lists the available keys.
    """
    for key in by:
        check_by(key)
    wanted = {key.removeprefix(_METADATA) for key in by if key.startswith(_METADATA)}
    known: set[str] = set()
    for index in range(min(len(tasks), episodes or len(tasks)) if wanted else 0):
        found = set(tasks[index].metadata)
        wanted -= found
        known |= found
        if not wanted:
            return
    for key in sorted(wanted):
        raise _no_such_key(key, known)


def _no_such_key(key: str, known: Iterable[str]) -> InvalidSetting:
    keys = ", ".join(sorted(known)) or "no keys"
    return InvalidSetting(f"no task has {key!r} in its metadata; there are: {keys}")


def break_down(episodes: Sequence[EpisodeMetrics], by: str) -> dict[str, list[EpisodeMetrics]]:
    """Group episodes, with the groups in order: of their size if all are numbers, else of their text.

    Args:
        episodes: The episodes.
        by: "category"; "duration", with bounds of 15 s and 1, 3, 10, 30 and 60 min; or "metadata.KEY". Episodes
            without a category, or without the key, are the group "(none)".

    Raises:
        InvalidSetting: If `by` is none of these, or no task has the key; the message lists the available keys.
    """
    check_by(by)
    groups: dict[str, list[EpisodeMetrics]] = {}
    if by == "duration":
        places: dict[int, list[EpisodeMetrics]] = {}
        for item in episodes:
            places.setdefault(bisect_right(_EDGES, item.duration), []).append(item)
        return {_DURATIONS[place]: places[place] for place in sorted(places)}
    key = by.removeprefix(_METADATA)
    if by != "category" and not any(key in item.metadata for item in episodes):
        raise _no_such_key(key, {name for item in episodes for name in item.metadata})
    values: dict[str, object] = {}
    for item in episodes:
        value = item.category if by == "category" else item.metadata.get(key)
        text = _NONE if value in (None, "") else value if isinstance(value, str) else json.dumps(value)
        values[text] = value
        groups.setdefault(text, []).append(item)
    numbers = {text: _number(value) for text, value in values.items() if text != _NONE}
    numeric = None not in numbers.values()

    def order(text: str) -> tuple[bool, float, str]:
        return text == _NONE, (numbers.get(text) or 0.0) if numeric else 0.0, text

    return {text: groups[text] for text in sorted(groups, key=order)}


def _number(value: object) -> float | None:
    """A number, also as the text of a table's cell; None for anything else."""
    try:
        found = float(value) if isinstance(value, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
