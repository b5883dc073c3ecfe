"""`vzgym compare`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.cli.progress import console, say
from vzgym.cli.publication import CsvOption, FiguresOption, LatexOption, check_publication, publish
from vzgym.episode.runs import without_views
from vzgym.evaluation.comparison import COMPARED, Comparison, Rows, compare_runs, metric_titles

__all__ = ["compare"]

_FORMS = {"correct": (100.0, ".1f"), "evidence_seen": (100.0, ".1f"), "evidence_iou": (100.0, ".1f")}


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders (vzgym eval --out), folders of runs, or record files."),
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(help="Also compare within groups: category, duration, metadata.KEY; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    latex: LatexOption = None,
    csv: CsvOption = None,
    figures: FiguresOption = None,
) -> None:
    """Compare runs on their shared tasks, with paired differences from the first run."""
    check_publication(latex, csv, figures)
    found = compare_runs(without_views(runs), by or ())
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        _show(found)
    if latex or csv or figures:
        from vzgym.evaluation.publication import comparison_figures, comparison_table

        publish(comparison_table(found), comparison_figures(found) if figures else {}, latex, csv, figures)


def _show(found: Comparison) -> None:
    console.print(_table(found))
    for key, groups in found.groups.items():
        console.print()
        console.print(_groups(found, key, groups))
    say(
        f"\n{len(found.tasks)} shared tasks. Paired differences from the first run, with "
        "95 % interval (accuracy: Newcombe's for paired shares, with one roll-out per task; else Student's). "
        "p: McNemar's exact test of the tasks that exactly one of the two runs answers correctly."
    )


def _new_table(*heads: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for head in heads:
        if head in ("run", "value", "tasks", "p") or head.startswith("difference"):
            table.add_column(head, justify="left" if head == "run" else "right", no_wrap=head != "run", overflow="fold")
        else:
            table.add_column(head, overflow="fold")
    return table


def _table(found: Comparison) -> Table:
    """One row per metric and run, so that any number of runs fits 80 columns."""
    titles = metric_titles()
    table = _new_table("", "run", "value", "difference [95 %]", "p")
    for name in COMPARED:
        if any(not math.isnan(row[name].value.value) for row in found.rows):
            _add_rows(table, [titles[name] + (" %" if name in _FORMS else "")], found, found.rows, name)
    return table


def _groups(found: Comparison, by: str, groups: Mapping[str, Rows]) -> Table:
    """The accuracy in each group of tasks."""
    table = _new_table(f"accuracy % by {by}", "tasks", "run", "value", "difference [95 %]", "p")
    for group, rows in groups.items():
        _add_rows(table, [group, str(rows[0]["frames"].value.n)], found, rows, "correct")
    return table


def _add_rows(table: Table, firsts: Sequence[str], found: Comparison, rows: Rows, name: str) -> None:
    scale, form = _FORMS.get(name, (1.0, ".2f"))
    for index, (run, row) in enumerate(zip(found.runs, rows, strict=True)):
        item = row[name]
        table.add_row(
            *(Text("" if index else first) for first in firsts),
            Text(run.name),
            _number(item.value.value * scale, form),
            item.difference.text(f"+{form}", scale) if index else "",
            "" if item.p is None else f"{item.p:.3g}",
            end_section=index == len(rows) - 1,
        )


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
