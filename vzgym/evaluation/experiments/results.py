"""Current results of an experiment, read from disk: one row per cell, and groups of rows over seeds."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any, Final

from vzgym.core.files import read_json_lines
from vzgym.core.registry import import_object
from vzgym.core.statistics import Estimate, student
from vzgym.evaluation.experiments.grid import Cell, Grid
from vzgym.evaluation.experiments.stages import OUT
from vzgym.evaluation.metrics import METRICS, TOTALS
from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES
from vzgym.rewards.statistics import TermStatistics, logged_statistics, mean_statistics, silent_terms

__all__ = ["Curve", "Group", "Results", "Row", "TermRow", "cells_csv", "over_seeds"]

_SHARES: Final = frozenset(metric.name for metric in METRICS if metric.unit == "share")
_CLASSES: Final = frozenset(map(str, TAXONOMY_CLASSES))
_PARTS: Final = ("median", "p90")
NAN: Final = Estimate(math.nan, math.nan, math.nan, 0)


def over_seeds(found: Sequence[Estimate], *, share: bool = False) -> Estimate:
    """Mean over seeds with Student's interval, within [0, 1] for a share.

    For a single seed: its interval over episodes. If all seeds agree, Student's interval has no width, and the widest
    interval of the seeds is used.

    Args:
        found: Estimate of each seed.
        share: Whether the metric is a share.
    """
    if len(found) == 1:
        return found[0]
    if not found:
        return NAN
    over = student([estimate.value for estimate in found])
    if over.low == over.high:
        return replace(over, low=min(one.low for one in found), high=max(one.high for one in found))
    return over.within(0.0, 1.0) if share else over


@dataclass(frozen=True)
class Row:
    """A cell and its result.

    Attributes:
        cell: The cell.
        facts: The content of its `done.json`, with the `report`; None unless it is done.
        status: "done", "failed" (the evaluation or a required stage), or "to do".
        error: The error, if it failed.
        seconds: Time of its evaluation and training stages, including shared ones.
    """

    cell: Cell
    facts: Mapping[str, Any] | None
    status: str
    error: str
    seconds: float

    def metric(self, name: str) -> Estimate:
        """A metric over the cell's episodes with its interval; nan if unknown."""
        found = (self.facts or {}).get("report", {}).get("metrics", {}).get(name)
        if found is None or found["value"] is None:
            return NAN
        low, high = (math.nan if found[end] is None else float(found[end]) for end in ("low", "high"))
        return Estimate(found["value"], low, high, found["n"])

    def value(self, name: str) -> float:
        """A metric's mean over the cell's episodes, or the share of a class of the taxonomy; nan if unknown."""
        return self.share(name) if name in _CLASSES else self.metric(name).value

    def quantile(self, name: str, part: str) -> float:
        """The "median" or "p90" of a cost over the cell's episodes; nan if unknown."""
        found = (self.facts or {}).get("report", {}).get("quantiles", {}).get(name)
        return math.nan if found is None else float(found[part])

    def share(self, kind: str) -> float:
        """Share of episodes in a class of the taxonomy."""
        taxonomy = (self.facts or {}).get("report", {}).get("taxonomy", {})
        total = sum(taxonomy.values())
        return taxonomy.get(kind, 0) / total if total else math.nan


@dataclass(frozen=True)
class TermRow:
    """A term of a group's reward in training, or in the evaluation if the group was not trained on rewards.

    Attributes:
        term: Its name.
        statistics: Means over the seeds.
        trained: Whether they are over training roll-outs, with variance within groups.
        silent: Number of seeds in which it never changed an advantage.
    """

    term: str
    statistics: TermStatistics
    trained: bool
    silent: int


@dataclass(frozen=True)
class Group:
    """Cells that differ only in the seed.

    Attributes:
        names: Name on each axis.
        label: Name on the axes on which cells differ.
        rows: One row per seed, including unfinished ones.
    """

    names: Mapping[str, str]
    label: str
    rows: Sequence[Row]

    @property
    def done(self) -> list[Row]:
        """Finished rows."""
        return [row for row in self.rows if row.status == "done"]

    def metric(self, name: str) -> Estimate:
        """Mean of a metric over seeds with its interval; see `over_seeds`."""
        found = [estimate for row in self.done if (estimate := row.metric(name)).n]
        return over_seeds(found, share=name in _SHARES)

    def share(self, kind: str) -> float:
        """Mean share of a class of the taxonomy."""
        rows = self.done
        return math.fsum(row.share(kind) for row in rows) / len(rows) if rows else math.nan

    def against(self, other: Group, name: str = "correct") -> Estimate:
        """Mean difference of a metric or class of the taxonomy from another group, paired by seed (Student's interval).

        The interval is unknown if the difference is equal for all seeds.
        """
        found = student(self.differences(other, name))
        found = found.within(-1.0, 1.0) if name in _SHARES else found
        return replace(found, low=math.nan, high=math.nan) if found.low == found.high else found

    def differences(self, other: Group, name: str = "correct") -> list[float]:
        """Difference of a metric from another group, for each seed done in both with a known value."""
        theirs = {row.cell.seed: row.value(name) for row in other.done}
        found = [row.value(name) - theirs[row.cell.seed] for row in self.done if row.cell.seed in theirs]
        return [difference for difference in found if not math.isnan(difference)]


@dataclass(frozen=True)
class Curve:
    """A learning curve.

    Attributes:
        steps: Training steps.
        accuracy: Share of right answers at each step.
        zooms: Zooms per question at each step.
    """

    steps: list[float]
    accuracy: list[float]
    zooms: list[float]


class Results:
    """Current results of an experiment.

    Args:
        grid: The experiment's grid.
        root: The folder of all experiments.
    """

    def __init__(self, grid: Grid, root: Path) -> None:
        self.grid = grid
        self.root = root
        self.rows = [self._row(cell) for cell in grid.cells]

    def _repr_html_(self) -> str:
        """The current results as a table, for notebooks."""
        # Imported here, since the notebook module imports results.
        text: str = import_object("vzgym.evaluation.notebook.results:experiment_html")(self)
        return text

    @cached_property
    def groups(self) -> list[Group]:
        """Groups of cells, in the order of the file."""
        axes = self.grid.axes
        found: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(row.cell.names.values()), []).append(row)
        groups = []
        for rows in found.values():
            names = rows[0].cell.names
            groups.append(Group(names, ", ".join(names[axis] for axis in axes if names[axis]), rows))
        return groups

    def reference_of(self, group: Group) -> Group | None:
        """Return the reference of a group: equal except for the names in the experiment's `reference`.

        A reference that is not trained on rewards applies to all rewards. None for the reference itself.
        """
        wanted = self.grid.experiment.settings.reference
        names: dict[str, str] = {**group.names, **{str(axis): name for axis, name in wanted.items()}}
        for sought in (names, {**names, "reward": ""}) if wanted else ():
            for other in self.groups:
                if dict(other.names) == sought:
                    return None if other is group else other
        return None

    def curve(self, row: Row) -> Curve | None:
        """The learning curve of a cell's last training stage; None if it is not trained on rewards."""
        stage = row.cell.stage.parents.get("model")
        if stage is None or stage.kind not in ("grpo", "sb3"):
            return None
        out = stage.folder(self.root) / OUT
        if stage.kind == "sb3":
            lines = _lines(out / "curve.jsonl")
            keys = ("steps", "accuracy", "zooms")
        else:
            lines = [line for line in _lines(out / "log.jsonl") if "episode/correct" in line]
            keys = ("step", "episode/correct", "episode/zooms")
        if not lines:
            return None
        columns = [[float(line[key]) for line in lines] for key in keys]
        return Curve(*columns)

    def terms(self, group: Group) -> list[TermRow]:
        """Reward terms of a group."""
        runs = [terms for row in group.done if (terms := self._training_terms(row))]
        trained = bool(runs)
        if not runs:
            reports = [(row.facts or {}).get("report", {}).get("reward_terms", {}) for row in group.done]
            runs = [
                {name: TermStatistics.from_json(data) for name, data in terms.items()} for terms in reports if terms
            ]
        rows = []
        for name in dict.fromkeys(name for run in runs for name in run):
            found = [run[name] for run in runs if name in run]
            silent = sum(bool(silent_terms({name: term})) for term in found)
            rows.append(TermRow(name, mean_statistics(found), trained, silent))
        return rows

    def _training_terms(self, row: Row) -> dict[str, TermStatistics]:
        """Statistics of the reward's terms in a cell's last training stage; empty if it is not trained on rewards."""
        stage = row.cell.stage.parents.get("model")
        if stage is None or stage.kind not in ("grpo", "sb3"):
            return {}
        log = "log.jsonl" if stage.kind == "grpo" else "curve.jsonl"
        return logged_statistics(_lines(stage.folder(self.root) / OUT / log))

    def _row(self, cell: Cell) -> Row:
        stages = list(cell.stage.lineage())
        facts = cell.stage.done(self.root)
        error = ""
        for stage in stages:
            failure = stage.failed(self.root)
            if failure is not None:
                error = f"{stage.label}: {failure['error']}"
        status = "done" if facts is not None else "failed" if error else "to do"
        seconds = math.fsum(found["seconds"] for stage in stages if (found := stage.done(self.root)) is not None)
        return Row(cell, facts, status, "" if facts is not None else error, seconds)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [line for _, line in read_json_lines(path, torn="skip")]


def cells_csv(results: Results) -> str:
    """One line per cell: names, metrics (accuracy with Wilson's interval), shares of classes, quantiles of costs."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = [metric.name for metric in METRICS]
    writer.writerow(
        [
            "tasks", "budget", "learner", "reward", "seed", "status", "episodes", "correct", "correct_low",
            "correct_high", *("mean_reward" if name == "reward" else name for name in metrics[1:]),
            *map(str, TAXONOMY_CLASSES), *(f"{name}_{part}" for name in TOTALS for part in _PARTS), "seconds",
            "folder", "error",
        ]
    )  # fmt: skip
    for row in results.rows:
        accuracy = row.metric("correct")
        values: list[float] = [accuracy.value, accuracy.low, accuracy.high]
        values += [row.metric(name).value for name in metrics[1:]]
        values += [row.share(str(kind)) for kind in TAXONOMY_CLASSES]
        values += [row.quantile(name, part) for name in TOTALS for part in _PARTS]
        written = ["" if math.isnan(value) else f"{value:.6g}" for value in values]
        folder = row.cell.stage.folder(results.root).relative_to(results.root)
        writer.writerow(
            [
                *row.cell.names.values(), row.cell.seed, row.status, accuracy.n or "", *written,
                f"{row.seconds:.1f}", folder.as_posix(), row.error,
            ]
        )  # fmt: skip
    return text.getvalue()
