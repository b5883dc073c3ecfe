"""Learning curves of a training run, from the log that its trainer writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from vzgym.core.errors import RecordError
from vzgym.core.files import read_json_lines

__all__ = ["learning_curves", "log_state"]

_LOGS: Final = (("log.jsonl", "step"), ("curve.jsonl", "steps"))
"""Logs of TRL's and of Stable-Baselines3's trainers, and the key of their steps."""

_SERIES: Final = (
    ("reward", "Reward", ("reward",)),
    ("right", "Right", ("episode/correct", "accuracy")),
    ("zooms", "Zooms", ("episode/zooms", "zooms")),
    ("frames", "Frames", ("episode/frames",)),
    ("coverage", "Evidence coverage", ("episode/evidence_coverage",)),
    ("loss", "Loss", ("loss",)),
)
"""Name, title, and the keys that hold it; the first key that is present counts."""


def learning_curves(folder: Path) -> list[dict[str, Any]]:
    """Read the curves of a run.

    Args:
        folder: The run's folder.

    Returns:
        For each known series `{"name", "title", "points": [[step, value], ...]}`. Empty without a log.

    Raises:
        RecordError: If a line of a log is not JSON; an unfinished last line is left out.
    """
    for name, key in _LOGS:
        file = folder / name
        if file.is_file():
            lines = [line for _, line in read_json_lines(file, torn="skip")]
            return [found for series in _SERIES if (found := _curve(lines, key, *series)) is not None]
    return []


def log_state(folder: Path) -> list[tuple[int, int]]:
    """Sizes and times of a run's logs, which change with its curves."""
    files = [folder / name for name, _ in _LOGS]
    return [(status.st_size, status.st_mtime_ns) for file in files if file.is_file() for status in [file.stat()]]


def _curve(lines: list[Any], step: str, name: str, title: str, keys: tuple[str, ...]) -> dict[str, Any] | None:
    points = []
    for line in lines:
        if not isinstance(line, dict):
            raise RecordError(f"a line of a training log is {line!r:.100}, not an object")
        value = next((line[key] for key in keys if _is_number(line.get(key))), None)
        if value is not None and _is_number(line.get(step)):
            points.append([line[step], value])
    return {"name": name, "title": title, "points": points} if points else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
