"""One policy free, without its tool and forced to use it, on the same tasks."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

import vzgym
from vzgym.baselines.base import Baseline
from vzgym.core import Answer, Budget, ToolMode, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Refusal
from vzgym.evaluation import EvaluationReport, ToolModes, evaluate_tool_modes, read_records
from vzgym.evaluation.metrics import EpisodeMetrics
from vzgym.tasks import load_tasks, resolve_budget

TASKS = load_tasks("control-tiny/test")


def report(right: list[list[bool | None]], zooms: int = 0) -> EvaluationReport:
    """A report of one category per two tasks; for each task whether each of its roll-outs was right."""
    episodes = [
        EpisodeMetrics(f"task {task}", f"category {task // 2}", value, 8, zooms, 0, None, None, None, None, 8, 0.0, 0.0)
        for task, values in enumerate(right)
        for value in values
    ]
    return EvaluationReport("mine", "tasks", 0, Budget(), False, episodes, samples=len(right[0]))


def modes(free: list[Any], no_tool: list[Any], forced: list[Any]) -> ToolModes:
    reports = zip(ToolMode, (free, no_tool, forced), strict=True)
    return ToolModes(
        "mine", {mode: report([v if isinstance(v, list) else [v] for v in right]) for mode, right in reports}
    )


FOUND = modes([True, True, True, False, True], [False, True, False, True, True], [True, True, False, False, True])


def test_corrected_and_spoiled_answers_are_counted() -> None:
    benefit = FOUND.benefit
    assert (benefit.corrected.value, benefit.spoiled.value) == pytest.approx((2 / 5, 1 / 5))
    assert benefit.difference.value == pytest.approx(1 / 5)
    assert benefit.difference.n == 5
    assert benefit.p == 1.0
    forcing = FOUND.forcing
    assert (forcing.corrected.value, forcing.spoiled.value) == pytest.approx((0.0, 1 / 5))
    assert forcing.difference.value == pytest.approx(-1 / 5)
    assert benefit.difference.low < 1 / 5 < benefit.difference.high


def test_unscored_tasks_are_in_no_pair() -> None:
    found = modes([True, None, True], [False, True, None], [True, True, True])
    assert found.benefit.difference.n == 1
    assert found.benefit.corrected.n == 1
    assert found.forcing.difference.n == 2


def test_several_roll_outs_of_a_task_are_one_observation() -> None:
    found = modes([[True, True], [True, False]], [[False, True], [True, False]], [[True, True], [True, True]])
    benefit = found.benefit
    assert benefit.difference.n == 2
    assert benefit.difference.value == pytest.approx(1 / 4)
    # All pairs of a roll-out with and one without: 2 of 4 and 1 of 4.
    assert benefit.corrected.value == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert benefit.spoiled.value == pytest.approx((0 + 1 / 4) / 2)
    assert benefit.corrected.value - benefit.spoiled.value == pytest.approx(benefit.difference.value)
    assert benefit.p is None


def test_groups() -> None:
    groups = FOUND.by("category")
    assert list(groups) == ["category 0", "category 1", "category 2"]
    assert groups["category 0"].benefit.corrected.value == pytest.approx(1 / 2)
    assert groups["category 1"].benefit.spoiled.value == pytest.approx(1 / 2)
    assert math.isclose(groups["category 2"].benefit.difference.value, 0.0)


def test_json_and_text() -> None:
    data = json.loads(json.dumps(FOUND.to_json(["category"])))
    assert list(data["modes"]) == ["free", "no_tool", "forced"]
    assert data["modes"]["free"]["correct"]["value"] == pytest.approx(4 / 5)
    assert data["effects"]["benefit"]["corrected"]["value"] == pytest.approx(2 / 5)
    assert data["by"]["category"]["category 1"]["effects"]["benefit"]["spoiled"]["value"] == pytest.approx(1 / 2)
    text = str(FOUND)
    assert "2 of 5" in text
    assert "free - no tool" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "forced - free" in FOUND._repr_html_()


def test_a_missing_mode_is_named() -> None:
    with pytest.raises(InvalidSetting, match=r"lack the report of: no tool, forced"):
        ToolModes("mine", {ToolMode.FREE: report([[True]])})


def test_the_overview_is_played_three_ways(tmp_path: Path) -> None:
    found = evaluate_tool_modes("overview", TASKS, episodes=3, out=tmp_path)
    budgets = {mode: (part.budget.max_zooms, part.budget.min_zooms) for mode, part in found.reports.items()}
    most = TASKS.budget.max_zooms
    assert budgets == {ToolMode.FREE: (most, 0), ToolMode.NO_TOOL: (0, 0), ToolMode.FORCED: (most, 1)}
    # It never zooms: each early answer is refused, and the last round takes it.
    for record in read_records(tmp_path / "forced"):
        assert [turn.refusal for turn in record.turns] == [Refusal.ZOOM_FIRST] * most + [None]
        assert record.zooms == 0
    assert all(item.refused == 0 for item in found.reports[ToolMode.NO_TOOL].episodes)
    again = evaluate_tool_modes("overview", TASKS, episodes=3, out=tmp_path)
    assert again.to_json() == found.to_json()


def test_the_expert_zooms_where_it_must() -> None:
    reports = {mode: vzgym.evaluate("expert", TASKS, episodes=4, tool_mode=mode) for mode in ("free", "forced")}
    assert [item.zooms for item in reports["free"].episodes] == [0] * 4
    assert [item.zooms for item in reports["forced"].episodes] == [1] * 4
    assert all(item.refused == 0 and item.correct for item in reports["forced"].episodes)
    twice = vzgym.evaluate("expert", TASKS, episodes=2, budget={"min_zooms": 2})
    assert [item.zooms for item in twice.episodes] == [2, 2]


@pytest.mark.parametrize("policy", ["blind", "random", "uniform", "sliding", "aks:scorer=histogram", "bolt:play=zoom"])
def test_every_baseline_plays_all_modes(policy: str) -> None:
    name, _, option = policy.partition(":")
    key, _, value = option.partition("=")
    spec = {"name": name, "scorer": "histogram", **({key: value} if key else {})} if option else name
    found = evaluate_tool_modes(spec, "needle-tiny", episodes=1)
    assert all(part.accuracy.n == 1 for part in found.reports.values())


class Trained(Baseline):
    """Zooms once, then answers; it was trained with one zoom."""

    name = "trained"
    trained_budget = resolve_budget({"max_zooms": 1}, TASKS)

    def act(self, observation: Any, info: dict[str, Any]) -> Zoom | Answer:
        return Zoom(0.0, 1.0, 2.0) if observation["budget_left"][0] else self.guess(info)


def test_the_modes_change_the_budget_of_the_training() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_tool_modes(Trained(), TASKS, episodes=1)
    budgets = {mode: (part.budget.max_zooms, part.budget.min_zooms) for mode, part in found.reports.items()}
    assert budgets == {ToolMode.FREE: (1, 0), ToolMode.NO_TOOL: (0, 0), ToolMode.FORCED: (1, 1)}


def test_bad_modes_are_named() -> None:
    with pytest.raises(InvalidSetting, match="one of free, no_tool, forced, got 'never'"):
        vzgym.evaluate("blind", TASKS, episodes=1, tool_mode="never")
    with pytest.raises(InvalidSetting, match="the budget has no zooms"):
        vzgym.evaluate("blind", TASKS, episodes=1, tool_mode="forced", budget={"max_zooms": 0})
