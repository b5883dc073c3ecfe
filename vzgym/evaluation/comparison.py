"""Runs side by side: the same tasks, pair by pair, each run against the first."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.statistics import (
    Estimate,
    exact_mcnemar,
    mean,
    paired_difference,
    paired_proportions,
    proportion,
)
from vzgym.evaluation.metrics import METRICS, EpisodeMetrics
from vzgym.evaluation.runs import read_records

__all__ = ["COMPARED", "Comparison", "RunMetrics", "compare_runs", "read_run"]

COMPARED: Final = ("correct", "frames", "zooms", "visual_tokens", "said_tokens", "evidence_seen", "evidence_iou")
"""Metrics that are compared, by the names of `EpisodeMetrics`."""


@dataclass(frozen=True)
class RunMetrics:
    """A run's measures, task by task.

    Attributes:
        name: The run's policy, or its folder's name where two runs have the same policy.
        path: Its folder, or its file of records.
        values: For each metric the mean over a task's roll-outs, by task; tasks of which it cannot be said left out.
    """

    name: str
    path: Path
    values: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Difference:
    """How a run differs from the first in one metric.

    Attributes:
        value: The run's own value on the shared tasks.
        difference: From the first run, pair by pair; n is the number of pairs.
        p: Of accuracy with one roll-out a task: the exact p of McNemar's test. None otherwise.
    """

    value: Estimate
    difference: Estimate
    p: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Runs on the tasks that all of them have played.

    Attributes:
        runs: The runs, the first being what the others are held against.
        tasks: The shared tasks, in the first run's order.
        rows: For each run, each metric's difference from the first run (of the first itself: no difference).
    """

    runs: Sequence[RunMetrics]
    tasks: Sequence[str]
    rows: Sequence[Mapping[str, Difference]]

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "tasks": len(self.tasks),
            "runs": [
                {
                    "name": run.name,
                    "path": str(run.path),
                    "metrics": {
                        name: {
                            "value": found.value.to_json(),
                            "difference": found.difference.to_json(),
                            **({} if found.p is None else {"p": found.p}),
                        }
                        for name, found in row.items()
                    },
                }
                for run, row in zip(self.runs, self.rows, strict=True)
            ],
        }


def read_run(path: str | Path) -> RunMetrics:
    """The measures of a run that `vzgym eval --out`, or a cell of `vzgym ablate`, left.

    Args:
        path: A run's folder, a cell's folder, or a file of records.

    Raises:
        RecordError: If there are no records, or a line is none.
    """
    place = Path(path)
    if not (place / "records.jsonl").is_file() and (place / "out" / "records.jsonl").is_file():
        place = place / "out"
    values: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in COMPARED}
    name = ""
    for record in read_records(place):
        measured = EpisodeMetrics.of(record)
        name = name or record.info.policy
        for metric in COMPARED:
            value = getattr(measured, metric)
            if value is not None:
                values[metric][measured.task_id].append(float(value))
    if not values["frames"]:
        raise RecordError(f"{path}: there are no records in it")
    means = {
        metric: {task: math.fsum(each) / len(each) for task, each in tasks.items()} for metric, tasks in values.items()
    }
    return RunMetrics(name or place.name, Path(path), means)


def compare_runs(paths: Sequence[str | Path]) -> Comparison:
    """Compare runs on the tasks that all of them have played; the first is what the others are held against.

    The interval of a difference in accuracy is Newcombe's for paired shares where each task was played once, else
    Student's over the tasks' differences, as it is for every other metric.

    Raises:
        InvalidSetting: If there are fewer than two runs, or they share no task.
        RecordError: If one of them cannot be read.
    """
    if len(paths) < 2:
        raise InvalidSetting(f"a comparison takes two runs or more, got {len(paths)}")
    runs = _named_apart([read_run(path) for path in paths])
    shared = [task for task in runs[0].values["frames"] if all(task in run.values["frames"] for run in runs)]
    if not shared:
        raise InvalidSetting(
            f"{' and '.join(str(run.path) for run in runs)} share no task: only runs on the same tasks can be compared"
        )
    rows = [{name: _difference(name, run, runs[0], shared) for name in COMPARED} for run in runs]
    return Comparison(runs, shared, rows)


def _named_apart(runs: list[RunMetrics]) -> list[RunMetrics]:
    names = [run.name for run in runs]
    return [
        run if names.count(run.name) == 1 else RunMetrics(f"{run.name} ({run.path})", run.path, run.values)
        for run in runs
    ]


def _difference(name: str, run: RunMetrics, first: RunMetrics, tasks: Sequence[str]) -> Difference:
    mine, theirs = run.values[name], first.values[name]
    pairs = [(mine[task], theirs[task]) for task in tasks if task in mine and task in theirs]
    own, other = [a for a, _ in pairs], [b for _, b in pairs]
    if name == "correct" and set(own) | set(other) <= {0.0, 1.0}:
        flags = [[bool(value) for value in values] for values in (own, other)]
        if run is first:
            return Difference(proportion(flags[0]), Estimate(0.0, 0.0, 0.0, len(own)))
        return Difference(proportion(flags[0]), paired_proportions(*flags), exact_mcnemar(*flags))
    return Difference(mean(own), paired_difference(own, other))


def metric_titles() -> dict[str, str]:
    """Heads of columns, by metric."""
    return {metric.name: metric.title for metric in METRICS}
