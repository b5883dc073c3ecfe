"""The budget that a policy was trained with."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import vzgym
from vzgym.baselines import Blind
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.policy_evaluation import UntrainedBudget
from vzgym.tasks import load_tasks
from vzgym.tasks.budgets import WeakerProof, resolve_budget

TASKS = load_tasks("needle-micro/test")
TRAINED = resolve_budget({"max_zooms": 1}, TASKS)


class Trained(Blind):
    trained_budget = TRAINED


def test_evaluation_takes_the_budget_of_the_training(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = vzgym.evaluate(Trained(), TASKS, episodes=2, out=tmp_path)
        # The same budget, given by hand, is no other.
        assert vzgym.evaluate(Trained(), TASKS, episodes=2, budget={"max_zooms": 1}).budget == TRAINED
    assert report.budget == TRAINED
    assert json.loads((tmp_path / "run.json").read_text())["trained_budget"] == TRAINED.to_dict()


def test_another_budget_warns_and_is_in_the_report(tmp_path: Path) -> None:
    with pytest.warns(UntrainedBudget, match=r"'blind' is evaluated with max_zooms=2 \(trained with 1\)"):
        report = vzgym.evaluate(Trained(), TASKS, episodes=2, budget={"max_zooms": 2}, out=tmp_path)
    assert report.to_json()["trained_budget"]["max_zooms"] == 1
    run = json.loads((tmp_path / "run.json").read_text())
    assert (run["budget"]["max_zooms"], run["trained_budget"]["max_zooms"]) == (2, 1)


def test_tasks_that_were_built_for_another_overview_lose_their_proof() -> None:
    policy = Trained()
    policy.trained_budget = Budget()
    with pytest.warns(WeakerProof):
        assert vzgym.evaluate(policy, TASKS, episodes=1).proof_weakened_by


def test_something_else_than_a_budget_is_refused() -> None:
    policy = Trained()
    policy.trained_budget = {"max_zooms": 1}  # type: ignore[assignment]
    with pytest.raises(InvalidSetting, match="trained_budget of policy 'blind' must be a Budget"):
        vzgym.evaluate(policy, TASKS, episodes=1)
