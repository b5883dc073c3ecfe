"""Detailed results of an experiment: pairwise comparison of rewards, and accuracy by group of tasks."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from itertools import combinations
from pathlib import Path

from vzgym.core.statistics import Estimate, exact_mcnemar, paired_difference, paired_proportions, student_p
from vzgym.episode.runs import read_records
from vzgym.evaluation.breakdown import break_down
from vzgym.evaluation.experiments.results import Group, Results, Row, over_seeds
from vzgym.evaluation.experiments.stages import OUT
from vzgym.evaluation.metrics import EpisodeMetrics, summarise

__all__ = ["Pair", "breakdown_csv", "breakdown_table", "pair_table", "pairs_csv", "reward_pairs"]


@dataclass(frozen=True)
class Pair:
    """Two groups of cells that differ only in the reward.

    Attributes:
        first: The first group.
        second: The second group.
        difference: Difference in accuracy, first minus second: paired by seed, with Student's interval; paired by task
            if only one seed is done in both.
        p: p of Student's test over seeds, or of McNemar's exact test if only one seed is done. nan if all seeds agree,
            or with several roll-outs per task.
    """

    first: Group
    second: Group
    difference: Estimate
    p: float


def reward_pairs(results: Results) -> list[Pair]:
    """All pairs of rewards with the same tasks, budget and learner."""
    found = []
    for first, second in combinations(results.groups, 2):
        differing = [axis for axis, name in first.names.items() if second.names[axis] != name]
        if differing != ["reward"]:
            continue
        by_seed = first.differences(second)
        if len(by_seed) > 1:
            found.append(Pair(first, second, first.against(second), student_p(by_seed)))
        elif by_seed:
            found.append(Pair(first, second, *_by_task(first, second, results.root)))
    return found


def _by_task(first: Group, second: Group, root: Path) -> tuple[Estimate, float]:
    """Difference over the tasks of the only seed done in both, and its p."""
    seeds = {row.cell.seed: row for row in second.done}
    mine, theirs = next((_task_scores(row, root), _task_scores(seeds[row.cell.seed], root))
                        for row in first.done if row.cell.seed in seeds)  # fmt: skip
    shared = [task for task in mine if task in theirs]
    own, other = [mine[task] for task in shared], [theirs[task] for task in shared]
    if set(own) | set(other) <= {0.0, 1.0}:
        flags = [[bool(value) for value in values] for values in (own, other)]
        return paired_proportions(*flags), exact_mcnemar(*flags)
    found = paired_difference(own, other).within(-1.0, 1.0)
    # As in `compare_runs`: equal means of a few roll-outs do not show that the rewards are equal.
    return (replace(found, low=math.nan, high=math.nan) if found.low == found.high else found), math.nan


def _task_scores(row: Row, root: Path) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for item in _episodes(row.cell.stage.folder(root) / OUT):
        if item.correct is not None:
            scores.setdefault(item.task_id, []).append(float(item.correct))
    return {task: math.fsum(values) / len(values) for task, values in scores.items()}


@cache
def _episodes(folder: Path) -> list[EpisodeMetrics]:
    """Metrics of a finished cell (cached)."""
    return [EpisodeMetrics.of(record) for record in read_records(folder)]


def pair_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: one row for each pair of rewards."""
    rows = []
    for pair in reward_pairs(results):
        estimate = pair.difference
        p = "-" if math.isnan(pair.p) else f"{pair.p:.3g}"
        rows.append([pair.first.label, pair.second.label, estimate.text("+.1f"), p])
    return ["first", "second", "first - second, accuracy [95 %]", "p"], rows


def pairs_csv(results: Results) -> str:
    """One line for each pair of rewards."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["tasks", "budget", "learner", "first", "second", "difference", "low", "high", "n", "p"])
    for pair in reward_pairs(results):
        names, estimate = pair.first.names, pair.difference
        numbers = [estimate.value, estimate.low, estimate.high, float(estimate.n), pair.p]
        writer.writerow(
            [
                *(names[axis] for axis in ("tasks", "budget", "learner")), names["reward"], pair.second.names["reward"],
                *("" if math.isnan(number) else f"{number:.6g}" for number in numbers),
            ]
        )  # fmt: skip
    return text.getvalue()


def _parts(results: Results, by: str) -> Mapping[str, Sequence[str]]:
    """The groups of tasks of each cell's task set, in order, by the name of the task set."""
    items: dict[str, list[EpisodeMetrics]] = {}
    for row in results.rows:
        if row.status == "done":
            items.setdefault(row.cell.names["tasks"], []).extend(_episodes(row.cell.stage.folder(results.root) / OUT))
    return {tasks: list(break_down(found, by)) for tasks, found in items.items()}


def _accuracy(row: Row, by: str, root: Path) -> dict[str, Estimate]:
    parts = break_down(_episodes(row.cell.stage.folder(root) / OUT), by)
    return {
        name: summarise(items, by_task=len(items) > len({item.task_id for item in items}))["correct"]
        for name, items in parts.items()
    }


def breakdown_table(results: Results, by: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: one row per group of tasks and group of cells, with the accuracy over seeds.

    Args:
        results: The experiment's.
        by: See `vzgym.evaluation.breakdown.break_down`.
    """
    rows = []
    for tasks, names in _parts(results, by).items():
        found = [
            (group, [_accuracy(row, by, results.root) for row in group.done])
            for group in results.groups
            if group.names["tasks"] == tasks
        ]
        for name in names:
            for group, accuracies in found:
                known = [accuracy[name] for accuracy in accuracies if name in accuracy and accuracy[name].n]
                if not known:
                    continue
                estimate = over_seeds(known, share=True)
                rows.append([tasks, name, group.label, str(known[0].n), estimate.text()])
    return ["tasks", by, "cells", "n", "accuracy % [95 %]"], rows


def breakdown_csv(results: Results, keys: Sequence[str]) -> str:
    """One line for each cell, key and group of tasks."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["tasks", "budget", "learner", "reward", "seed", "by", "group", "n", "correct", "low", "high"])
    for key in keys:
        for row in results.rows:
            if row.status != "done":
                continue
            for name, estimate in _accuracy(row, key, results.root).items():
                numbers = [estimate.value, estimate.low, estimate.high]
                writer.writerow(
                    [
                        *row.cell.names.values(), row.cell.seed, key, name, estimate.n,
                        *("" if math.isnan(number) else f"{number:.6g}" for number in numbers),
                    ]
                )  # fmt: skip
    return text.getvalue()
