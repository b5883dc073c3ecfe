"""`vzgym eval --tool-modes`: names, tables, JSON and figures of the tool modes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from vzgym.cli.progress import console
from vzgym.core.budget import ToolMode
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation import EvaluationReport, ToolModes
from vzgym.evaluation.tool_mode_tables import ModeRows, group_rows, rich_effects, rich_modes
from vzgym.evaluation.tool_modes import MODE_TITLES

__all__ = [
    "ModeCurve",
    "Played",
    "check_tool_modes",
    "group_modes",
    "mode_name",
    "modes_to_json",
    "named_modes",
    "show_modes",
]

ModeCurve: TypeAlias = Mapping[str, Mapping[int, ToolModes]]
"""Tool modes by policy and number of overview frames; 0 where the number is the tasks' own."""


class Played(NamedTuple):
    """What a run played.

    Attributes:
        policy: The policy's label.
        frames: Number of overview frames; None for that of the tasks.
        mode: The tool mode.
    """

    policy: str
    frames: int | None
    mode: ToolMode


def check_tool_modes(*, no_zoom: bool, prompt: str | None) -> None:
    """Check `--tool-modes` against the other options.

    Raises:
        InvalidSetting: If zooms are forbidden, or the prompt has no zoom.
    """
    if no_zoom:
        raise InvalidSetting("--tool-modes plays without zooms too: leave out --no-zoom")
    if prompt not in (None, "agent"):
        raise InvalidSetting(f"--prompt {prompt} has no zoom, so --tool-modes cannot compare with it: leave out one")


def mode_name(label: str, mode: ToolMode) -> str:
    """Name of a policy's run in a tool mode."""
    return f"{label}, {MODE_TITLES[mode]}"


def group_modes(reports: Iterable[EvaluationReport], played: Mapping[str, Played]) -> ModeCurve:
    """The tool modes of each policy and number of frames of which all three were played.

    Args:
        reports: The reports.
        played: What each was of, by its name.
    """
    found: dict[str, dict[int, dict[ToolMode, EvaluationReport]]] = {}
    for report in reports:
        run = played[report.policy]
        found.setdefault(run.policy, {}).setdefault(run.frames or 0, {})[run.mode] = report
    curve = {
        policy: {count: ToolModes(policy, modes) for count, modes in counts.items() if len(modes) == len(MODE_TITLES)}
        for policy, counts in found.items()
    }
    return {policy: counts for policy, counts in curve.items() if counts}


def named_modes(curve: ModeCurve) -> dict[str, ToolModes]:
    """The tool modes by the name of their policy, with the number of frames if there are several."""
    several = any(len(counts) > 1 for counts in curve.values())
    return {
        f"{policy}, {count} frames" if several else policy: modes
        for policy, counts in curve.items()
        for count, modes in counts.items()
    }


def show_modes(curve: ModeCurve, by: Sequence[str]) -> None:
    """Print the modes and their effects: of all tasks, and by group.

    Args:
        curve: The modes.
        by: Grouping keys. The category is added if the tasks have several.
    """
    several = any(len(counts) > 1 for counts in curve.values())
    rows: ModeRows = [
        ([policy, f"{count} frames"] if several else [policy], modes)
        for policy, counts in curve.items()
        for count, modes in counts.items()
    ]
    if not rows:
        return
    console.print(rich_modes(rows))
    console.print()
    console.print(rich_effects(rows))
    for key in _group_keys(curve, by):
        parts = group_rows(rows, key)
        console.print(f"\nBy {key}:\n")
        console.print(rich_modes(parts))
        console.print()
        console.print(rich_effects(parts))


def _group_keys(curve: ModeCurve, by: Sequence[str]) -> list[str]:
    """The grouping keys of the tables: those asked for, and the category if the tasks have several."""
    categories = {
        item.category
        for counts in curve.values()
        for modes in counts.values()
        for item in modes.reports[ToolMode.FREE].episodes
    }
    return list(dict.fromkeys((*(["category"] if len(categories) > 1 else []), *by)))


def modes_to_json(curve: ModeCurve, by: Sequence[str]) -> list[dict[str, Any]]:
    """JSON form of the modes, one entry for each policy and number of frames."""
    keys = _group_keys(curve, by)
    return [
        {**modes.to_json(keys), **({"frames": count} if count else {})}
        for counts in curve.values()
        for count, modes in counts.items()
    ]
