"""Expected differences: how they are decided, and how they are named in a file."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.core.statistics import Estimate
from vzgym.evaluation.experiments import Grid, write_results
from vzgym.evaluation.experiments.contrasts import _difference, contrasts, verdict
from vzgym.evaluation.experiments.grid import Cell
from vzgym.evaluation.experiments.results import Group, Row
from vzgym.evaluation.experiments.stages import Stage, run_stage

TEXT = """
title: Who sees
tasks: [needle-micro]
seeds: 4
evaluate: {episodes: 8}
learners:
  blind: {kind: policy, policy: blind}
  expert: {kind: policy, policy: expert}
contrasts:
  zooming answers more:
    {of: {learner: expert}, against: {learner: blind}, expect: more, margin: 0.1, source: by construction}
  blind viewers zoom:
    {of: {learner: blind}, against: {learner: expert}, metric: zooms, expect: more, margin: 0.5}
  luck:
    {of: {learner: expert}, against: {learner: blind}, metric: right_by_luck, expect: same, margin: 0.1}
"""


@pytest.mark.parametrize(
    ("low", "high", "more", "less", "same"),
    [
        (0.01, 0.3, "reproduced", "not reproduced", "undecided"),
        (-0.05, 0.3, "undecided", "not reproduced", "undecided"),
        (-0.05, 0.05, "not reproduced", "not reproduced", "reproduced"),
        (0.01, 0.05, "reproduced", "not reproduced", "reproduced"),
        (0.2, 0.3, "reproduced", "not reproduced", "not reproduced"),
        (-0.3, -0.2, "not reproduced", "reproduced", "not reproduced"),
        (-0.3, 0.3, "undecided", "undecided", "undecided"),
        (math.nan, math.nan, "undecided", "undecided", "undecided"),
    ],
)
def test_verdicts(low: float, high: float, more: str, less: str, same: str) -> None:
    found = Estimate((low + high) / 2, low, high, 5)
    assert [verdict(found, expect, 0.1) for expect in ("more", "less", "same")] == [more, less, same]
    assert verdict(Estimate(low, low, high, 1), "more", 0.1) == "unfinished"


def _group(name: str, found: Mapping[int, tuple[float, float, float, int] | None]) -> Group:
    """Done cells with a metric `evidence_iou` (value, low, high, n) by seed; None: unknown."""
    rows = []
    for seed, numbers in found.items():
        stage = Stage("evaluate", name, seed, {})
        value = dict(zip(("value", "low", "high", "n"), numbers or (None, None, None, 0), strict=True))
        rows.append(
            Row(Cell({"learner": name}, seed, stage), {"report": {"metrics": {"evidence_iou": value}}}, "done", "", 0)
        )
    return Group({"learner": name}, name, rows)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_seeds_that_agree_have_the_interval_over_their_tasks(order: tuple[int, ...]) -> None:
    # All seeds differ by 0.2, up to rounding. One is unknown, and one is done on one side only.
    mine = {0: (0.9, 0.8, 1.0, 20), 1: (0.3, 0.25, 0.35, 20), 2: None, 3: (0.4, 0.0, 1.0, 20)}
    theirs = {0: (0.7, 0.4, 1.0, 20), 1: (0.1, 0.05, 0.15, 20), 2: (0.5, 0.0, 1.0, 20)}
    first = _group("a", {seed: mine[seed] for seed in order})
    second = _group("b", {seed: theirs[seed] for seed in order if seed in theirs})
    found = _difference(first, second, "evidence_iou")
    half = math.hypot(0.1, 0.3)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert found.n == 2


def test_a_difference_of_shares_lies_between_minus_1_and_1() -> None:
    first, second = (
        _group("a", dict.fromkeys((0, 1), (1.0, 0.7, 1.0, 9))),
        _group("b", dict.fromkeys((0, 1), (0.1, 0.0, 0.5, 9))),
    )
    found = _difference(first, second, "evidence_iou")
    assert found.low == pytest.approx(0.9 - math.hypot(0.15, 0.25))
    assert found.high == 1.0


def test_a_learner_without_rewards_is_compared_with_one_that_has_them(grid_of: Callable[[str], Grid]) -> None:
    text = """
tasks: [needle-micro]
rewards: {plain: {accuracy: 1.0}, bonus: {accuracy: 1.0, tool_bonus: 0.5}}
learners: {trained: {kind: sb3, sb3: {algo: ppo}}, expert: {kind: policy, policy: expert}}
contrasts:
  gap: {of: {learner: trained, reward: bonus}, against: {learner: expert}, expect: less, margin: 0.1}
"""
    experiment = grid_of(text).experiment
    of, against = experiment.sides(experiment.settings.contrasts["gap"])
    assert (of, against) == ({"learner": "trained", "reward": "bonus"}, {"learner": "expert", "reward": ""})


def test_an_experiment_reports_its_contrasts(grid_of: Callable[[str], Grid], tmp_path: Path) -> None:
    grid = grid_of(TEXT)
    assert [item.verdict for item in contrasts(write_results(grid, tmp_path))] == ["unfinished"] * 3
    for stage in grid.stages:
        run_stage(stage, tmp_path)
    results = write_results(grid, tmp_path)
    right, zooms, luck = contrasts(results)
    assert right.first.names["learner"] == "expert"
    assert right.difference.value > 0.5
    assert right.verdict == "reproduced"
    assert zooms.difference.value < -0.5
    assert zooms.verdict == "not reproduced"
    assert luck.difference.value == pytest.approx(-(1.0 - right.difference.value))  # the blind are right by luck only
    folder = tmp_path / "trial"
    rows = list(csv.DictReader(StringIO((folder / "contrasts.csv").read_text(encoding="utf-8"))))
    assert [row["name"] for row in rows] == ["zooming answers more", "blind viewers zoom", "luck"]
    assert float(rows[0]["difference"]) == pytest.approx(right.difference.value, abs=1e-5)
    assert rows[0]["verdict"] == "reproduced"
    assert rows[0]["source"] == "by construction"
    for file in ("table.md", "index.html"):
        text = (folder / file).read_text(encoding="utf-8")
        assert "zooming answers more" in text
        assert "not reproduced if it excludes" in text
    assert (folder / "contrasts.png").stat().st_size > 5000
    assert "Expected differences in units of their margins" in (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{learner: expert}, against: {learner: blind}, expect", "{learner: exprt}, against: {learner: blind}, expect",
         "there is no 'exprt' in learners"),
        ("expect: more, margin: 0.1", "expect: better, margin: 0.1", "expect must be"),
        ("margin: 0.1, source", "margin: 0, source", "margin must be"),
        ("metric: zooms", "metric: zoom", "there is no metric 'zoom'; did you mean 'zooms'? Valid: correct, frames"),
        ("metric: zooms", "metric: accuracy", "there is no metric 'accuracy'; did you mean 'correct'? Valid: correct,"),
        ("of: {learner: blind}", "of: {tasks: needle-micro}", "tasks 'needle-micro' names 2 groups of cells"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(grid_of: Callable[[str], Grid], old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidSetting, match=re.escape(message)) as raised:
        grid_of(TEXT.replace(old, new, 1))
    assert "trial.yaml:" in str(raised.value)
