"""Tables of reports for terminals and Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vzgym.core.statistics import Estimate
from vzgym.episode.costs import SCORER_COSTS
from vzgym.evaluation.breakdown import break_down
from vzgym.evaluation.metrics import cost_quantiles
from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.taxonomy_tables import rich_quadrants, rich_taxonomy
from vzgym.rewards.statistics import TermStatistics

__all__ = [
    "markdown_costs",
    "markdown_table",
    "report_text",
    "rich_breakdown",
    "rich_costs",
    "rich_scorer_costs",
    "rich_table",
    "rich_terms",
    "term_cells",
]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column with its heading, meaning and values."""

    title: str
    meaning: str
    cell: Callable[[EvaluationReport, dict[str, Estimate]], str]
    brief: bool = True
    """Whether the column is in the terminal table, which must fit into 80 characters."""


def _mean(metric: str, form: str, scale: float = 1.0) -> Callable[[EvaluationReport, dict[str, Estimate]], str]:
    def cell(report: EvaluationReport, summary: dict[str, Estimate]) -> str:
        value = summary[metric].value
        return "-" if math.isnan(value) else format(value * scale, form)

    return cell


def _accuracy(report: EvaluationReport, summary: dict[str, Estimate]) -> str:
    estimate = summary["correct"]
    return estimate.text() if estimate.n else "unscored"


def _hit_rate(report: EvaluationReport, summary: dict[str, Estimate]) -> str:
    return "-" if report.hit_rate is None else f"{100 * report.hit_rate:.1f}"


def _scored(report: EvaluationReport, summary: dict[str, Estimate]) -> str:
    value = summary["frames_scored"].value
    return format(value, ".1f") if value > 0 else "-"


_COLUMNS = (
    _Column("policy", "* knows the evidence", lambda r, s: r.policy + (" *" if r.privileged else "")),
    _Column("n", "episodes", lambda r, s: str(len(r.episodes))),
    _Column("accuracy % [95 %]", "right answers with the 95 % interval", _accuracy),
    _Column("frames", "frames shown per episode, including the overview", _mean("frames", ".1f")),
    _Column("scored", "frames that a scorer scored to choose them", _scored),
    _Column("zooms", "executed zooms", _mean("zooms", ".2f")),
    _Column("lost", "rounds lost to refused zooms and unparsable text", _mean("refused", ".2f")),
    _Column("seen %", "evidence intervals with a shown frame", _mean("evidence_seen", ".1f", 100)),
    _Column("hit %", "chance that the frames show the evidence, over its possible placements", _hit_rate),
    _Column(
        "cover %", "share of the evidence inside zoomed windows", _mean("evidence_coverage", ".1f", 100), brief=False
    ),
    _Column("wall s", "wall time per episode in seconds", _mean("wall_seconds", ".3g")),
)


def _rows(reports: Sequence[EvaluationReport]) -> list[list[str]]:
    return [[column.cell(report, summary) for column in _COLUMNS] for report in reports for summary in [report.summary]]


def _new_table(**options: Any) -> Table:
    return Table(
        title_justify="left", caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
        show_edge=False, **options,
    )  # fmt: skip


def rich_breakdown(reports: Sequence[EvaluationReport], by: str) -> Table:
    """One row per group of tasks and report, for a terminal of 80 columns.

    Args:
        reports: The reports.
        by: See `EvaluationReport.by`.
    """
    columns = [column for column in _COLUMNS if column.title in ("policy", *_BREAKDOWN)]
    table = _new_table()
    table.add_column(by, overflow="fold")
    for column in columns:
        left = column.title == "policy"
        table.add_column(column.title, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    parts = [report.by(by) for report in reports]
    groups = break_down([item for report in reports for item in report.episodes], by)
    for group in groups:
        rows = [(part[group], part[group].summary) for part in parts if group in part]
        for place, (report, summary) in enumerate(rows):
            cells = [Text(column.cell(report, summary)) for column in columns]
            table.add_row(Text("" if place else group), *cells, end_section=place == len(rows) - 1 > 0)
    return table


_BREAKDOWN: Final = ("n", "accuracy % [95 %]", "frames", "zooms", "seen %")


def rich_costs(reports: Sequence[EvaluationReport]) -> Table:
    """One row per report: mean, median and 90th percentile of the costs per episode, for 80 columns."""
    table = _quantile_table("Cost", reports, _QUANTILES)
    assert table is not None  # every report has visual tokens
    return table


def rich_scorer_costs(reports: Sequence[EvaluationReport]) -> Table | None:
    """As `rich_costs`, for what scorers cost; None if no policy used one."""
    used = {
        name: title
        for name, title in _SCORER_QUANTILES.items()
        if any(report.summary[name].value > 0 for report in reports)
    }
    return _quantile_table("Scorer", reports, used) if used else None


def _quantile_table(
    title: str, reports: Sequence[EvaluationReport], columns: Mapping[str, tuple[str, str]]
) -> Table | None:
    known = [cost_quantiles(report.episodes) for report in reports]
    used = [name for name in columns if any(name in quantiles for quantiles in known)]
    if not used:
        return None
    table = _new_table(title=f"{title}: mean / median / p90")
    table.add_column("policy", overflow="fold")
    for name in used:
        table.add_column(columns[name][0], justify="right", no_wrap=True)
    for report, quantiles in zip(reports, known, strict=True):
        summary = report.summary
        cells = []
        for name in used:
            form = columns[name][1]
            values = [summary[name].value, *quantiles[name].values()] if name in quantiles else []
            cells.append(" / ".join(format(value, form) for value in values) or "-")
        table.add_row(Text(report.policy), *cells)
    return table


_QUANTILES: Final = {
    "visual_tokens": ("visual tokens", ".0f"),
    "wall_seconds": ("wall s", ".3g"),
    "output_tokens": ("output tokens", ".0f"),
    "price": ("price", ".3g"),
}
_SCORER_QUANTILES: Final = {
    "candidates_decoded": ("decoded", ".0f"),
    "frames_scored": ("scored", ".0f"),
    "scorer_passes": ("passes", ".0f"),
    "cached_passes": ("cached", ".0f"),
}


def report_text(report: EvaluationReport) -> str:
    """A report as text of at most 80 columns: the main table, the taxonomy, the quadrants and the costs."""
    text = StringIO()
    console = Console(file=text, width=80, color_system=None)
    title = f"{report.policy} on {report.tasks}, seed {report.seed}"
    tables = (
        rich_table([report], title),
        rich_taxonomy([report]),
        rich_quadrants([report]),
        rich_costs([report]),
        rich_scorer_costs([report]),
    )
    for table in tables:
        if table is not None:
            console.print(table, "\n")
    if report.trained_budget not in (None, report.budget):
        console.print("The budget differs from the training budget.")
    if report.failed:
        console.print(f"Tasks skipped because of video errors: {len(report.failed)}.")
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def rich_table(reports: Sequence[EvaluationReport], title: str | None = None) -> Table:
    """One row per report, for a terminal of 80 columns: the brief columns, without empty ones.

    Long policy names are wrapped; numbers are not.
    """
    rows = _rows(reports)
    used = [i for i, column in enumerate(_COLUMNS) if column.brief and any(row[i] not in ("-", "0.00") for row in rows)]
    caption = "; ".join(f"{_COLUMNS[i].title}: {_COLUMNS[i].meaning}" for i in used) + "."
    table = _new_table(title=title, caption=caption)
    for i in used:
        if i == 0:
            table.add_column(_COLUMNS[i].title, overflow="fold")
        else:
            table.add_column(_COLUMNS[i].title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[i]) for i in used))
    return table


def rich_terms(reports: Sequence[EvaluationReport]) -> Table:
    """One row per reward term and report: firing rate, contribution, share of the variance."""
    table = Table(
        title="reward terms",
        title_justify="left",
        caption="fires %: episodes in which it is not 0; mean: contribution to the reward, including the weight; "
        "variance %: share of the reward's variance.",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("policy", overflow="fold")
    table.add_column("term", overflow="fold")
    for title in ("fires %", "mean", "variance %"):
        table.add_column(title, justify="right", no_wrap=True)
    for report in reports:
        for name, term in report.reward_terms.items():
            cells = term_cells(term)
            table.add_row(Text(report.policy), Text(name), *map(Text, cells))
    return table


def term_cells(term: TermStatistics) -> list[str]:
    """Firing rate in %, mean, share of the variance in %, as text; "-" if unknown."""
    forms = ((term.firing_rate, 100, "z.1f"), (term.mean, 1, "z.3f"), (term.variance_share, 100, "z.1f"))
    return ["-" if math.isnan(value) else format(value * scale, form) for value, scale, form in forms]


def markdown_table(reports: Sequence[EvaluationReport]) -> str:
    """Markdown table with one row per report and all columns."""
    lines = [
        "| " + " | ".join(column.title for column in _COLUMNS) + " |",
        "|---|" + "---:|" * (len(_COLUMNS) - 1),
    ]
    rows = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in _rows(reports)]
    return "\n".join(lines + rows)


_COSTS: Final = {
    "visual_tokens": ("visual tokens", ".0f"),
    "text_tokens": ("text tokens", ".0f"),
    "written_tokens": ("written", ".0f"),
    "passes": ("passes", ".2f"),
    "frames": ("frames shown", ".1f"),
    "decoded": ("decoded", ".1f"),
    "candidates_decoded": ("candidates decoded", ".1f"),
    "frames_scored": ("frames scored", ".1f"),
    "scorer_passes": ("scorer passes", ".1f"),
    "text_passes": ("text passes", ".2f"),
    "cached_passes": ("cached passes", ".1f"),
    "decode_seconds": ("decode ms", ".1f"),
    "tool_seconds": ("tool ms", ".1f"),
    "model_seconds": ("model ms", ".1f"),
}


def markdown_costs(reports: Sequence[EvaluationReport]) -> str:
    """Markdown table with one row per report: mean costs per episode; those of scorers if a policy used one."""
    columns = {
        name: column
        for name, column in _COSTS.items()
        if name not in SCORER_COSTS or any(report.summary[name].value > 0 for report in reports)
    }
    lines = [
        "| policy | " + " | ".join(title for title, _ in columns.values()) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for report in reports:
        summary = report.summary
        cells = []
        for name, (_, form) in columns.items():
            value = summary[name].value
            cells.append("-" if math.isnan(value) else format(value * (1000 if name.endswith("seconds") else 1), form))
        lines.append(f"| {report.policy} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
