"""`vzgym eval --frames`: the number of overview frames, and accuracy against frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation import EvaluationReport
from vzgym.evaluation.comparison import RunMetrics, compare_metrics
from vzgym.tasks import BUDGETS, BudgetSpec

__all__ = ["conditions", "curve_name", "curve_table", "frame_budget", "parse_frames"]

Curve = Mapping[str, Mapping[int, EvaluationReport]]
"""Reports by policy and number of overview frames."""


def parse_frames(text: str) -> list[int]:
    """Read `--frames 64` or `--frames 32,64,128`.

    Raises:
        InvalidSetting: If an entry is not a whole number >= 0, or occurs twice.
    """
    found = []
    for part in text.split(",") if text else ():
        if not part.strip().isdecimal():
            raise InvalidSetting(f"--frames takes whole numbers, as in 64 or 32,64,128, got {text!r}")
        if int(part) in found:
            raise InvalidSetting(f"--frames has {int(part)} twice: {text}")
        found.append(int(part))
    return found


def frame_budget(budget: BudgetSpec, frames: int | None, no_zoom: bool) -> BudgetSpec:
    """A budget with `frames` evenly spaced overview frames, and without zooms if `no_zoom`.

    Args:
        budget: Fields that override those of the tasks' budget, a budget, or a budget's name.
        frames: Number of overview frames; None keeps those of `budget`.
        no_zoom: Whether zooms are forbidden.

    Raises:
        InvalidSetting: If `budget` sets the same fields.
    """
    fields: dict[str, Any] = {}
    if frames is not None:
        fields |= {"overview_frames": frames, "overview_fps": math.inf}
    if no_zoom:
        fields["max_zooms"] = 0
    if not fields:
        return budget
    if budget is None or isinstance(budget, Mapping):
        both = sorted(set(fields) & set(budget or {}))
        if both:
            raise InvalidSetting(f"--budget {both[0]} and --frames or --no-zoom set the same field: give one of them")
        return {**(budget or {}), **fields}
    found = budget if isinstance(budget, Budget) else BUDGETS.make(budget)
    return replace(found, **fields)


def curve_name(label: str, frames: int) -> str:
    """Name of a policy's run with a number of overview frames."""
    return f"{label}, {frames} frames"


def curve_table(curve: Curve) -> Table:
    """Accuracy of each policy by number of overview frames, and its paired difference from the first policy."""
    policies = list(curve)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("frames", justify="right")
    for policy in policies:
        table.add_column(Text(f"{policy} [95 %]"))
        table.add_column("shown", justify="right")
    for policy in policies[1:]:
        table.add_column(Text(f"{policy} - {policies[0]}"))
    for frames in dict.fromkeys(count for reports in curve.values() for count in reports):
        cells = [str(frames)]
        found = {policy: reports[frames] for policy, reports in curve.items() if frames in reports}
        for policy in policies:
            report = found.get(policy)
            cells.append("-" if report is None else report.summary["correct"].text())
            cells.append("-" if report is None else f"{report.summary['frames'].value:.0f}")
        cells += [_difference(found, policies[0], policy) for policy in policies[1:]]
        table.add_row(*cells)
    return table


def _difference(found: Mapping[str, EvaluationReport], first: str, policy: str) -> str:
    if first not in found or policy not in found:
        return "-"
    runs = [RunMetrics.of(name, Path(name), found[name].episodes) for name in (first, policy)]
    return compare_metrics(runs).rows[1]["correct"].difference.text("+.1f")


def conditions(budget: Budget, *, subtitles: str, prompt: str) -> str:
    """The conditions under which a benchmark was asked, which belong beside its score."""
    overview = f"{budget.overview_frames} overview frames"
    if math.isfinite(budget.overview_fps):
        overview += f" at most, at {budget.overview_fps:g} fps"
    zooms = "no zooms"
    if budget.max_zooms:
        rates = f"{budget.min_fps:g} to {budget.max_fps:g} fps"
        zooms = f"{budget.max_zooms} zooms of at most {budget.clip_frames} frames at {rates}"
    return (
        f"{overview}; {zooms}; at most {budget.max_pixels:,} pixels a frame; subtitles: {subtitles}; prompt: {prompt}; "
        "answers read by: vzgym (vzgym bench score RUN compares conventions)"
    )
