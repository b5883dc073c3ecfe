"""Tables of evaluation reports and comparisons for papers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from vzgym.core.statistics import Estimate
from vzgym.evaluation.comparison import COMPARED, Comparison, metric_titles
from vzgym.evaluation.metrics import METRICS
from vzgym.evaluation.publication.table import Cell, Column, DataTable
from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.tool_modes import EFFECT_TITLES, EFFECTS, MODE_TITLES, SHOWN, ToolModes

__all__ = ["comparison_table", "evaluation_table", "metric_column", "tool_modes_table"]

_SHARES = frozenset(metric.name for metric in METRICS if metric.unit == "share")
_SHOWN = ("correct", "frames", "zooms", "evidence_seen", "evidence_iou", "visual_tokens", "reward")
_FORMS = {"correct": ".1f", "frames": ".1f", "zooms": ".2f", "evidence_seen": ".1f", "evidence_iou": ".1f",
          "visual_tokens": ".0f", "written_tokens": ".0f", "reward": ".2f"}  # fmt: skip


def metric_column(metric: str) -> Column:
    """The column of a metric; shares are shown in %."""
    share = metric in _SHARES
    heading = metric_titles()[metric] + (" %" if share else "")
    return Column(metric, heading, _FORMS[metric], 100.0 if share else 1.0)


def evaluation_table(reports: Sequence[EvaluationReport], by: str | None = None) -> DataTable:
    """One row per report, with 95 % intervals of all metrics; with `by`, one row per group of tasks and report.

    Args:
        reports: The reports.
        by: See `EvaluationReport.by`.
    """
    rows: list[list[Cell]] = []
    parts = [report.by(by) if by else {"": report} for report in reports]
    groups = dict.fromkeys(group for part in parts for group in part)
    for group in groups:
        for part in parts:
            if group in part:
                report = part[group]
                summary = report.summary
                lead: list[Cell] = [report.policy, "*" if report.privileged else ""]
                lead = [group, *lead] if by else lead
                rows.append([*lead, len(report.episodes), *(summary[metric] for metric in _SHOWN)])
    used = [place for place, metric in enumerate(_SHOWN) if any(_known(row[place - len(_SHOWN)]) for row in rows)]
    columns = [
        Column("policy", "policy", text=True), Column("privileged", "", text=True), Column("episodes", "n"),
    ]  # fmt: skip
    if by:
        columns.insert(0, Column(by, by, text=True))
    lead_count = len(columns)
    columns += [metric_column(_SHOWN[place]) for place in used]
    rows = [[*row[:lead_count], *(row[lead_count + place] for place in used)] for row in rows]
    tasks = ", ".join(dict.fromkeys(report.tasks for report in reports))
    privileged = " * knows the evidence." if any(report.privileged for report in reports) else ""
    return DataTable(
        f"Evaluation on {tasks}",
        columns,
        rows,
        f"Means per episode with 95 % intervals (accuracy: Wilson's).{privileged}",
        groups=1 if by else 0,
    )


def comparison_table(found: Comparison) -> DataTable:
    """One row per metric and run: its value and the paired difference from the first run, with 95 % intervals."""
    titles = metric_titles()
    rows: list[list[Cell]] = []
    for metric in COMPARED:
        if all(math.isnan(row[metric].value.value) for row in found.rows):
            continue
        share = metric in _SHARES
        scale = 100.0 if share else 1.0
        for place, (run, row) in enumerate(zip(found.runs, found.rows, strict=True)):
            item = row[metric]
            difference = _scaled(item.difference, scale) if place else None
            title = titles[metric] + (" %" if share else "")
            rows.append([title, run.name, _scaled(item.value, scale), difference, item.p])
    return DataTable(
        f"Comparison on {len(found.tasks)} shared tasks",
        [
            Column("metric", "metric", text=True),
            Column("run", "run", text=True),
            Column("value", "value", ".2f"),
            Column("difference", "difference", "+.2f"),
            Column("p", "p", ".3g"),
        ],
        rows,
        "Paired differences from the first run with 95 % intervals (accuracy: Newcombe's for paired shares, with one "
        "roll-out per task; else Student's). p: McNemar's exact test.",
        groups=1,
    )


def tool_modes_table(found: Mapping[str, ToolModes]) -> DataTable:
    """One row per policy and tool mode: accuracy, zooms, frames; and the effect of the mode on accuracy.

    Args:
        found: Modes by the name of the run: the policy, with the number of overview frames if there are several.
    """
    rows: list[list[Cell]] = []
    for run, modes in found.items():
        for mode, title in MODE_TITLES.items():
            summary = modes.reports[mode].summary
            row: list[Cell] = [run, title, len(modes.reports[mode].episodes), *(summary[metric] for metric in SHOWN)]
            name = next((name for name, (first, _) in EFFECTS.items() if first is mode), None)
            if name is None:
                rows.append([*row, "", None, None, None, None])
                continue
            effect = modes.effects[name]
            rows.append([*row, EFFECT_TITLES[name], effect.difference, effect.corrected, effect.spoiled, effect.p])
    tasks = ", ".join(dict.fromkeys(report.tasks for modes in found.values() for report in modes.reports.values()))
    return DataTable(
        f"Tool modes on {tasks}",
        [
            Column("policy", "policy", text=True),
            Column("mode", "mode", text=True),
            Column("episodes", "n"),
            *(metric_column(metric) for metric in SHOWN),
            Column("effect", "effect", text=True),
            Column("difference", "difference", "+.1f", 100.0),
            Column("corrected", "corrected %", ".1f", 100.0),
            Column("spoiled", "spoiled %", ".1f", 100.0),
            Column("p", "p", ".3g"),
        ],
        rows,
        "Paired differences in accuracy with 95 % intervals (Newcombe's, with one roll-out per task; else Student's). "
        "corrected: wrong in the second mode of the effect, right in the first; spoiled: the reverse. p: McNemar's "
        "exact test.",
        groups=1,
    )


def _known(value: Cell) -> bool:
    return isinstance(value, Estimate) and value.n > 0


def _scaled(value: Estimate, scale: float) -> Estimate:
    return Estimate(value.value * scale, value.low * scale, value.high * scale, value.n)
