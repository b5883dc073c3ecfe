"""Reports as tables, for terminals and for Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.core.statistics import Estimate
from vzgym.evaluation.report import EvaluationReport
from vzgym.rewards.statistics import TermStatistics

__all__ = ["markdown_costs", "markdown_table", "rich_table", "rich_terms", "term_cells"]


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: its head, what it means, and how a report fills it."""

    title: str
    meaning: str
    cell: Callable[[EvaluationReport, dict[str, Estimate]], str]
    brief: bool = True
    """Whether it stands in the terminal's table too, which must fit into 80 characters."""


def _mean(metric: str, form: str, scale: float = 1.0) -> Callable[[EvaluationReport, dict[str, Estimate]], str]:
    def cell(report: EvaluationReport, summary: dict[str, Estimate]) -> str:
        value = summary[metric].value
        return "-" if math.isnan(value) else format(value * scale, form)

    return cell


def _accuracy(report: EvaluationReport, summary: dict[str, Estimate]) -> str:
    estimate = summary["correct"]
    if not estimate.n:
        return "unscored"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _hit_rate(report: EvaluationReport, summary: dict[str, Estimate]) -> str:
    return "-" if report.hit_rate is None else f"{100 * report.hit_rate:.1f}"


_COLUMNS = (
    _Column("policy", "* is told where the evidence lies", lambda r, s: r.policy + (" *" if r.privileged else "")),
    _Column("n", "episodes", lambda r, s: str(len(r.episodes))),
    _Column("accuracy % [95 %]", "right answers, with the 95 % interval", _accuracy),
    _Column("frames", "frames shown an episode, overview included", _mean("frames", ".1f")),
    _Column("zooms", "zooms carried out", _mean("zooms", ".2f")),
    _Column("lost", "rounds lost to refused zooms and unreadable text", _mean("refused", ".2f")),
    _Column("seen %", "evidence intervals with a shown frame", _mean("evidence_seen", ".1f", 100)),
    _Column("hit %", "chance that these frames show enough, over all places where the task may hide it", _hit_rate),
    _Column(
        "cover %", "share of the evidence inside zoomed windows", _mean("evidence_coverage", ".1f", 100), brief=False
    ),
    _Column("wall s", "seconds an episode, all included", _mean("wall_seconds", ".3g")),
)


def _rows(reports: Sequence[EvaluationReport]) -> list[list[str]]:
    return [[column.cell(report, summary) for column in _COLUMNS] for report in reports for summary in [report.summary]]


def rich_table(reports: Sequence[EvaluationReport], title: str | None = None) -> Table:
    """One row a report, for a terminal of 80 columns: the brief columns, without those in which nothing stands.

    A policy's name is broken where there is no room for it; numbers never are.
    """
    rows = _rows(reports)
    used = [i for i, column in enumerate(_COLUMNS) if column.brief and any(row[i] not in ("-", "0.00") for row in rows)]
    table = Table(
        title=title,
        title_justify="left",
        caption="; ".join(f"{_COLUMNS[i].title}: {_COLUMNS[i].meaning}" for i in used) + ".",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for i in used:
        if i == 0:
            table.add_column(_COLUMNS[i].title, overflow="fold")
        else:
            table.add_column(_COLUMNS[i].title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[i]) for i in used))
    return table


def rich_terms(reports: Sequence[EvaluationReport]) -> Table:
    """One row a term of the reward and report: how often it fired, what it added, its share of the variance."""
    table = Table(
        title="reward terms",
        title_justify="left",
        caption="fires %: episodes in which it is not 0; mean: added to the reward, weight included; variance %: share "
        "of the reward's variance.",
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
    """Firing rate in %, mean, share of the variance in %, as text; "-" for what is unknown."""
    forms = ((term.firing_rate, 100, ".1f"), (term.mean, 1, ".3f"), (term.variance_share, 100, ".1f"))
    return ["-" if math.isnan(value) else format(value * scale, form) for value, scale, form in forms]


def markdown_table(reports: Sequence[EvaluationReport]) -> str:
    """One row a report, as a Markdown table with every column."""
    lines = [
        "| " + " | ".join(column.title for column in _COLUMNS) + " |",
        "|---|" + "---:|" * (len(_COLUMNS) - 1),
    ]
    rows = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in _rows(reports)]
    return "\n".join(lines + rows)


_COSTS: Final = {
    "visual_tokens": ("visual tokens", ".0f"),
    "text_tokens": ("text tokens", ".0f"),
    "said_tokens": ("said", ".0f"),
    "passes": ("passes", ".2f"),
    "frames": ("frames shown", ".1f"),
    "decoded": ("decoded", ".1f"),
    "decode_seconds": ("decode ms", ".1f"),
    "tool_seconds": ("tool ms", ".1f"),
    "model_seconds": ("model ms", ".1f"),
}


def markdown_costs(reports: Sequence[EvaluationReport]) -> str:
    """One row a report, as a Markdown table: what an episode cost on average."""
    lines = [
        "| policy | " + " | ".join(title for title, _ in _COSTS.values()) + " |",
        "|---|" + "---:|" * len(_COSTS),
    ]
    for report in reports:
        summary = report.summary
        cells = []
        for name, (_, form) in _COSTS.items():
            value = summary[name].value
            cells.append("-" if math.isnan(value) else format(value * (1000 if name.endswith("seconds") else 1), form))
        lines.append(f"| {report.policy} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
