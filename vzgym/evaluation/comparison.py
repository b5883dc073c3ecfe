"""Paired comparison of runs on their shared tasks, each with the first run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.registry import import_object
from vzgym.core.statistics import (
    Estimate,
    exact_mcnemar,
    mean,
    paired_difference,
    paired_proportions,
    proportion,
)
from vzgym.episode.runs import RECORDS, read_records, record_files
from vzgym.evaluation.breakdown import break_down
from vzgym.evaluation.metrics import METRICS, EpisodeMetrics, share

__all__ = ["COMPARED", "Comparison", "RunMetrics", "compare_metrics", "compare_runs", "read_runs"]

COMPARED: Final = ("correct", "frames", "zooms", "visual_tokens", "written_tokens", "evidence_seen", "evidence_iou")
"""Compared metrics, by the names of `EpisodeMetrics`."""
_SHARES: Final = frozenset(metric.name for metric in METRICS if metric.unit == "share")


@dataclass(frozen=True)
class RunMetrics:
    """Metrics of a run by task.

    Attributes:
        name: The run's policy, with its path if two runs have the same policy.
        path: Its folder, or its file of records.
        values: For each metric, the mean over the roll-outs of each task in which it is known.
        tasks: One episode of each task.
    """

    name: str
    path: Path
    values: Mapping[str, Mapping[str, float]]
    tasks: Mapping[str, EpisodeMetrics]

    @classmethod
    def of(cls, name: str, path: Path, episodes: Iterable[EpisodeMetrics]) -> RunMetrics:
        """The metrics of a run's episodes."""
        tasks: dict[str, EpisodeMetrics] = {}
        values: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in COMPARED}
        for item in episodes:
            tasks.setdefault(item.task_id, item)
            for metric in COMPARED:
                value = getattr(item, metric)
                if value is not None:
                    values[metric][item.task_id].append(float(value))
        means = {
            metric: {task: math.fsum(each) / len(each) for task, each in by_task.items()}
            for metric, by_task in values.items()
        }
        return cls(name, path, means, tasks)


@dataclass(frozen=True)
class Difference:
    """Difference of a run from the first in one metric.

    Attributes:
        value: The run's own value on the shared tasks.
        difference: Paired difference from the first run; n is the number of pairs.
        p: For accuracy with one roll-out per task: exact p of McNemar's test. None otherwise.
    """

    value: Estimate
    difference: Estimate
    p: float | None = None


Rows = Sequence[Mapping[str, Difference]]
"""For each run, each metric's difference from the first run."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of runs on their shared tasks.

    Attributes:
        runs: The runs; the first is the reference.
        tasks: The shared tasks, in the first run's order.
        rows: For each run, each metric's difference from the first run (of the first itself: no difference).
        groups: The same for each group of tasks, by grouping key.
    """

    runs: Sequence[RunMetrics]
    tasks: Sequence[str]
    rows: Rows
    groups: Mapping[str, Mapping[str, Rows]] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """The comparison as a table, for notebooks."""
        # Imported here, since the notebook module imports comparisons.
        text: str = import_object("vzgym.evaluation.notebook.results:comparison_html")(self)
        return text

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        found: dict[str, Any] = {"tasks": len(self.tasks), "runs": _runs_to_json(self.runs, self.rows)}
        if self.groups:
            found["by"] = {
                by: {group: _runs_to_json(self.runs, rows) for group, rows in groups.items()}
                for by, groups in self.groups.items()
            }
        return found


def _runs_to_json(runs: Sequence[RunMetrics], rows: Rows) -> list[dict[str, Any]]:
    return [
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
        for run, row in zip(runs, rows, strict=True)
    ]


def read_runs(path: str | Path) -> list[RunMetrics]:
    """Read the metrics of the runs at a path; a file of records holds a run for each policy.

    Args:
        path: The folder of a run or of a cell of an experiment, a folder of runs, or a file of records.

    Raises:
        RecordError: If there are no records, or a line is not a record.
    """
    found = []
    for file in record_files(path):
        place = file.parent if file.name == RECORDS else file
        episodes: dict[str, list[EpisodeMetrics]] = defaultdict(list)
        for record in read_records(file):
            episodes[record.info.policy or file.parent.name].append(EpisodeMetrics.of(record))
        found += [RunMetrics.of(policy, place, items) for policy, items in episodes.items()]
    if not found:
        raise RecordError(f"{path}: there are no records in it")
    return found


def compare_runs(paths: Sequence[str | Path], by: Sequence[str] = ()) -> Comparison:
    """Compare runs on their shared tasks, with the first run as the reference.

    The interval of a difference in accuracy is Newcombe's for paired shares with one roll-out per task, else Student's
    over the tasks' differences, as for every other metric; it is unknown if all tasks differ by the same. Intervals of
    shares are cut to [0, 1], those of their differences to [-1, 1].

    Args:
        paths: Folders of runs, folders of several runs, or files of records.
        by: Also compare within groups of tasks: "category", "duration", "metadata.KEY".

    Raises:
        InvalidSetting: If there are fewer than two runs, they share no task, or the grouping is not possible.
        RecordError: If one of them cannot be read.
    """
    return compare_metrics(_named_apart([run for path in paths for run in read_runs(path)]), by)


def compare_metrics(runs: Sequence[RunMetrics], by: Sequence[str] = ()) -> Comparison:
    """Compare runs whose metrics are known; see `compare_runs`.

    Raises:
        InvalidSetting: If there are fewer than two runs, they share no task, or the grouping is not possible.
    """
    if len(runs) < 2:
        raise InvalidSetting(f"a comparison takes two runs or more, got {len(runs)}")
    first = runs[0]
    shared = list(first.tasks)
    for run in runs[1:]:
        shared = [task for task in shared if task in run.tasks]
        if not shared:
            mine, theirs = next(iter(run.tasks)), next(iter(first.tasks))
            raise InvalidSetting(
                f"{run.path} shares no task with the runs before it: it has played tasks such as {mine!r}, and "
                f"{first.path} such as {theirs!r}; only runs on the same tasks can be compared"
            )
    groups = {}
    for key in by:
        parts = break_down([first.tasks[task] for task in shared], key)
        groups[key] = {group: _rows(runs, [item.task_id for item in items]) for group, items in parts.items()}
    return Comparison(runs, shared, _rows(runs, shared), groups)


def _rows(runs: Sequence[RunMetrics], tasks: Sequence[str]) -> Rows:
    return [{name: _difference(name, run, runs[0], tasks) for name in COMPARED} for run in runs]


def _named_apart(runs: list[RunMetrics]) -> list[RunMetrics]:
    names = [run.name for run in runs]
    return [run if names.count(run.name) == 1 else replace(run, name=f"{run.name} ({run.path})") for run in runs]


def _difference(name: str, run: RunMetrics, first: RunMetrics, tasks: Sequence[str]) -> Difference:
    mine, theirs = run.values[name], first.values[name]
    pairs = [(mine[task], theirs[task]) for task in tasks if task in mine and task in theirs]
    own, other = [a for a, _ in pairs], [b for _, b in pairs]
    if name == "correct" and set(own) | set(other) <= {0.0, 1.0}:
        flags = [[bool(value) for value in values] for values in (own, other)]
        if run is first:
            return Difference(proportion(flags[0]), Estimate(0.0, 0.0, 0.0, len(own)))
        p = exact_mcnemar(*flags) if pairs else None
        return Difference(proportion(flags[0]), paired_proportions(*flags), p)
    difference = paired_difference(own, other)
    if name == "correct" and run is not first and difference.low == difference.high:
        # Equal means of a few roll-outs do not show that the runs are equal.
        difference = replace(difference, low=math.nan, high=math.nan)
    return (
        Difference(share(own), difference.within(-1.0, 1.0)) if name in _SHARES else Difference(mean(own), difference)
    )


def metric_titles() -> dict[str, str]:
    """Column headings by metric."""
    return {metric.name: metric.title for metric in METRICS}
