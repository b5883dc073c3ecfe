"""Pairwise comparison of rewards, and accuracy by group of tasks."""

from __future__ import annotations

import csv
import math
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vzgym
from vzgym.core.errors import InvalidSetting
from vzgym.core.statistics import student, student_p
from vzgym.evaluation.experiments import Grid, Results, load_experiment, make_grid, write_results
from vzgym.evaluation.experiments.breakdowns import breakdown_csv, breakdown_table, pair_table, pairs_csv, reward_pairs
from vzgym.evaluation.experiments.results import Group, Row
from vzgym.evaluation.experiments.stages import run_stage

TEXT = """
tasks: [needle-micro]
seeds: 2
evaluate: {episodes: 6}
learners:
  blind: {kind: policy, policy: blind}
  expert: {kind: policy, policy: expert}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, Path]:
    root = tmp_path_factory.mktemp("experiments")
    (root / "controls.yaml").write_text(TEXT, encoding="utf-8")
    grid = make_grid(load_experiment(root / "controls.yaml"))
    for stage in grid.stages:
        run_stage(stage, root)
    return grid, root


def groups(root: Path, scores: dict[str, list[float]], **names: str) -> Any:
    """Results with a group for each reward, with the accuracy of each seed."""
    found = []
    for reward, values in scores.items():
        rows = []
        for seed, value in enumerate(values):
            metrics = {"correct": {"value": value, "low": None, "high": None, "n": 10}}
            stage = SimpleNamespace(folder=lambda root, reward=reward: root / reward)
            cell: Any = SimpleNamespace(seed=seed, stage=stage)
            rows.append(Row(cell, {"report": {"metrics": metrics}}, "done", "", 0.0))
        found.append(Group({"tasks": "t", "budget": "", "learner": "l", **names, "reward": reward}, reward, rows))
    return SimpleNamespace(groups=found, root=root)


def test_every_two_rewards_are_paired_by_seed(tmp_path: Path) -> None:
    results = groups(tmp_path, {"a": [0.5, 0.75, 0.625], "b": [0.25, 0.25, 0.5], "c": [0.5, 0.75, 0.625]})
    pairs = reward_pairs(results)
    assert [(pair.first.label, pair.second.label) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    differences = [0.25, 0.5, 0.125]
    assert pairs[0].difference == student(differences)
    assert pairs[0].p == student_p(differences)
    # Nothing is known of the spread where all seeds agree.
    assert pairs[1].difference.value == 0.0
    assert math.isnan(pairs[1].p)
    assert [row[3] for row in pair_table(results)[1]][1] == "-"
    lines = list(csv.DictReader(StringIO(pairs_csv(results))))
    assert next((line["first"], line["second"], line["n"]) for line in lines) == ("a", "b", "3")
    assert not reward_pairs(SimpleNamespace(groups=[*groups(tmp_path, {"a": [0.5]}).groups,
                            *groups(tmp_path, {"b": [0.5]}, learner="other").groups], root=tmp_path))  # fmt: skip


def test_rewards_with_one_seed_are_paired_by_task(tmp_path: Path) -> None:
    for reward, policy in (("a", "expert"), ("b", "blind")):
        vzgym.evaluate(policy, "needle-micro", episodes=8, out=tmp_path / reward / "out")
    (pair,) = reward_pairs(groups(tmp_path, {"a": [1.0], "b": [0.25]}))
    assert pair.difference.n == 8
    assert pair.difference.low > 0
    assert 0 < pair.p < 0.1


def test_accuracy_is_broken_down_in_table_csv_and_page(finished: tuple[Grid, Path]) -> None:
    grid, root = finished
    results = Results(grid, root)
    heads, rows = breakdown_table(results, "metadata.cue")
    assert heads == ["tasks", "metadata.cue", "cells", "n", "accuracy % [95 %]"]
    assert {row[2] for row in rows} == {"blind", "expert"}
    expert = [row for row in rows if row[2] == "expert"]
    assert all(row[4].startswith("100.0 [") for row in expert)
    assert sum(int(row[3]) for row in expert) == 6
    lines = list(csv.DictReader(StringIO(breakdown_csv(results, ["category", "metadata.cue"]))))
    whole = [line for line in lines if line["by"] == "category"]
    assert [(line["learner"], line["group"], line["n"]) for line in whole] == [
        (row.cell.names["learner"], "needle", "6") for row in results.rows
    ]
    write_results(grid, root, ["metadata.cue"])
    folder = root / grid.experiment.settings.name
    assert "## Accuracy by metadata.cue" in (folder / "table.md").read_text()
    assert "<h2>Accuracy by metadata.cue</h2>" in (folder / "index.html").read_text()
    assert (folder / "by.csv").read_text() == breakdown_csv(results, ["metadata.cue"])
    cells = list(csv.DictReader(StringIO((folder / "cells.csv").read_text())))
    assert all(float(line["frames_p90"]) >= float(line["frames_median"]) > 0 for line in cells)
    with pytest.raises(InvalidSetting, match="no task has 'colour'"):
        write_results(grid, root, ["metadata.colour"])


def test_students_p_is_that_of_the_tables() -> None:
    # t = 2.776 is the two-sided 5 % point of 4 degrees of freedom.
    values = [2.776 / math.sqrt(5) + each for each in (-1.2649110640673518, -0.6324555320336759, 0.0,
              0.6324555320336759, 1.2649110640673518)]  # fmt: skip
    assert student_p(values) == pytest.approx(0.05, abs=1e-4)
    assert math.isnan(student_p([1.0]))
