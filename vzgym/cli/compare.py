"""`vzgym compare`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.cli.progress import console, say
from vzgym.core.statistics import Estimate
from vzgym.evaluation.comparison import COMPARED, Comparison, compare_runs, metric_titles

__all__ = ["compare"]

_FORMS = {"correct": (100.0, ".1f"), "evidence_seen": (100.0, ".1f"), "evidence_iou": (100.0, ".1f")}


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs (vzgym eval --out) or of an experiment's cells; two or more.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Put runs side by side, on the tasks that all of them have played; differences from the first, pair by pair."""
    found = compare_runs(runs)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    console.print(_table(found))
    say(
        f"{len(found.tasks)} tasks that all have played; below each value its difference from the first run, pair by "
        "pair, with its 95 % interval (accuracy: Newcombe's for paired shares, where each task was played once; else "
        "Student's). p: McNemar's exact test of the tasks that only one of the two answers rightly."
    )


def _table(found: Comparison) -> Table:
    """One row a metric, one column a run: for a terminal of 80 columns and two or three runs."""
    titles = metric_titles()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for run in found.runs:
        table.add_column(Text(run.name), justify="right", overflow="fold")
    for name in COMPARED:
        scale, form = _FORMS.get(name, (1.0, ".2f"))
        values = [row[name] for row in found.rows]
        if all(math.isnan(value.value.value) for value in values):
            continue
        unit = " %" if name in _FORMS else ""
        table.add_row(titles[name] + unit, *(_number(value.value.value * scale, form) for value in values))
        table.add_row("", "", *(_interval(value.difference, scale, form) for value in values[1:]))
        if name == "correct":
            tests = ["" if value.p is None else f"p {value.p:.3g}" for value in values[1:]]
            table.add_row("", "", *tests)
    return table


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _interval(estimate: Estimate, scale: float, form: str) -> str:
    if math.isnan(estimate.value):
        return "-"
    text = format(estimate.value * scale, "+" + form)
    if math.isnan(estimate.low):
        return text
    return f"{text} [{format(estimate.low * scale, '+' + form)}, {format(estimate.high * scale, '+' + form)}]"
