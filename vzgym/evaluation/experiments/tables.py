"""Markdown tables of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vzgym.core.statistics import Estimate
from vzgym.evaluation.experiments.breakdowns import breakdown_table, pair_table
from vzgym.evaluation.experiments.contrasts import RULE, contrast_table
from vzgym.evaluation.experiments.results import Group, Results
from vzgym.evaluation.publication.results import metric_column
from vzgym.evaluation.publication.table import Cell, Column, DataTable
from vzgym.evaluation.tables import term_cells

__all__ = [
    "TERM_NOTE",
    "FinerTable",
    "experiment_table",
    "interval_note",
    "markdown_results",
    "table_rows",
    "term_rows",
]

_COLUMNS = (
    ("frames", "frames", ".1f", 1.0),
    ("zooms", "zooms", ".2f", 1.0),
    ("refused", "lost", ".2f", 1.0),
    ("evidence_seen", "seen %", ".1f", 100.0),
    ("evidence_iou", "IoU %", ".1f", 100.0),
    ("visual_tokens", "visual tokens", ".0f", 1.0),
    ("written_tokens", "written", ".0f", 1.0),
)


def _number(value: float, form: str, scale: float = 1.0) -> str:
    return "-" if math.isnan(value) else format(value * scale, form)


def table_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the main table, with one row per group."""
    referred = any(results.reference_of(group) for group in results.groups)
    heads = [*results.grid.axes, "seeds", "accuracy % [95 %]"]
    if referred:
        heads.append("difference [95 %]")
    heads += [title for _, title, _, _ in _COLUMNS]
    rows = []
    for group in results.groups:
        row = [group.names[axis] or "-" for axis in results.grid.axes]
        row += [_seeds(group), group.metric("correct").text()]
        if referred:
            other = results.reference_of(group)
            row.append("" if other is None else _signed(group.against(other)))
        row += [_number(group.metric(name).value, form, scale) for name, _, form, scale in _COLUMNS]
        rows.append(row)
    return heads, rows


def experiment_table(results: Results) -> DataTable:
    """The main table with intervals of all numbers, for LaTeX and CSV."""
    axes = results.grid.axes
    metrics = ("frames", "zooms", "evidence_seen", "evidence_iou", "visual_tokens", "written_tokens")
    referred = any(results.reference_of(group) for group in results.groups)
    rows: list[list[Cell]] = []
    for group in results.groups:
        row: list[Cell] = [*(group.names[axis] or "-" for axis in axes), len(group.done), group.metric("correct")]
        if referred:
            other = results.reference_of(group)
            row.append(None if other is None else group.against(other))
        rows.append([*row, *(group.metric(metric) for metric in metrics)])
    settings = results.grid.experiment.settings
    return DataTable(
        settings.title or settings.name,
        [
            *(Column(axis, axis, text=True) for axis in axes),
            Column("seeds", "seeds"),
            metric_column("correct"),
            *([Column("difference", "difference", "+.1f", 100.0)] if referred else []),
            *(metric_column(metric) for metric in metrics),
        ],
        rows,
        interval_note(results),
    )


def _seeds(group: Group) -> str:
    count = len(group.done)
    return str(count) if count == len(group.rows) else f"{count} of {len(group.rows)}"


def _signed(estimate: Estimate) -> str:
    return estimate.text("+.1f")


def interval_note(results: Results, *, differences: bool = True) -> str:
    """Note on the computation of the intervals.

    Args:
        results: The experiment's.
        differences: Whether the table has the differences from the reference.
    """
    most = max((len(group.done) for group in results.groups), default=0)
    if most == 0:
        return "Nothing is finished yet."
    episodes = {cell.stage.settings["episodes"] for cell in results.grid.cells}
    note = f"{' to '.join(map(str, sorted({min(episodes), max(episodes)})))} held-out tasks per cell. "
    if most == 1:
        note += "Intervals: one seed, over its tasks (accuracy: Wilson's)."
    else:
        note += (
            "Intervals: over seeds, mean +- t s / sqrt(seeds) (Student's, 95 %); over tasks (Wilson's) if only one "
            "seed is done or all agree."
        )
    if differences and any(results.reference_of(group) for group in results.groups):
        names = ", ".join(f"{axis} {name!r}" for axis, name in results.grid.experiment.settings.reference.items())
        note += (
            f" The reference is {names}; differences in points of accuracy, paired by seed (Student's, 95 %; none "
            "where it is the same for all)."
        )
    return note


_TERM_HEADS = ("term", "measured in", "fires %", "mean", "variance %", "note")


def term_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table of reward terms, with one row per group and term."""
    axes = results.grid.axes
    rows = []
    for group in results.groups:
        for row in results.terms(group):
            note = ""
            if row.silent:
                note = f"NEVER CHANGED AN ADVANTAGE in {row.silent} of {len(group.done)} seeds"
            where = "training" if row.trained else "evaluation"
            names = [group.names[axis] or "-" for axis in axes]
            rows.append([*names, row.term, where, *term_cells(row.statistics), note if row.trained else ""])
    return [*axes, *_TERM_HEADS], rows


TERM_NOTE = (
    "Reward terms. Fires: share of the episodes in which the term is not 0; mean: contribution to the reward, "
    "including the weight; variance: its share of the reward's variance, in GRPO within groups of roll-outs. A run in "
    "which a term never changed an advantage shows nothing about this term."
)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A Markdown table: `left` columns of text, then columns of numbers."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * left + "---:|" * (len(heads) - left)]
    lines += ["| " + " | ".join(_line(cell).replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _line(text: str) -> str:
    """A text in one line, as a cell or an item of Markdown needs it."""
    return " ".join(text.splitlines())


class FinerTable(NamedTuple):
    """A table beside the main one.

    Attributes:
        title: Its title.
        heads: Headings.
        rows: Rows of cells.
        left: Number of columns of text, from the first.
        note: A note below it; "" for none.
    """

    title: str
    heads: list[str]
    rows: list[list[str]]
    left: int
    note: str = ""


def finer_tables(results: Results, by: Sequence[str]) -> list[FinerTable]:
    """Expectations with their verdicts, pairs of rewards, and accuracy by group of tasks."""
    found = []
    if results.grid.experiment.settings.contrasts:
        found.append(FinerTable("Expectations", *contrast_table(results), 3, RULE))
    if (pairs := pair_table(results))[1]:
        found.append(FinerTable("Pairs of rewards: paired by seed, or by task if one seed is done", *pairs, 2))
    return found + [FinerTable(f"Accuracy by {key}", *breakdown_table(results, key), 3) for key in by]


def markdown_results(results: Results, by: Sequence[str] = ()) -> str:
    """The main table, a note on its intervals, the finer tables, and failures."""
    settings = results.grid.experiment.settings
    heads, rows = table_rows(results)
    parts = [f"# {settings.title or settings.name}"]
    if settings.about:
        parts.append(settings.about.strip())
    parts += [markdown(heads, rows, len(results.grid.axes)), interval_note(results)]
    heads, rows = term_rows(results)
    if rows:
        parts += [markdown(heads, rows, len(results.grid.axes) + 2), TERM_NOTE]
    for table in finer_tables(results, by):
        parts += [f"## {table.title}", markdown(table.heads, table.rows, table.left), *filter(None, [table.note])]
    broken = [row for row in results.rows if row.status == "failed"]
    if broken:
        parts.append("Failed:\n\n" + "\n".join(f"- {_line(f'{row.cell.name}: {row.error}')}" for row in broken))
    return "\n\n".join(parts) + "\n"
