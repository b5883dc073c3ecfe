"""Which budget tasks are played with: one rule for every interface and trainer."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import pytest

import vzgym
from vzgym.agents.data.collector import Collector
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.training.settings import GRPOSettings
from vzgym.core import Budget
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.envs.wrappers import fewer_frames
from vzgym.evaluation import evaluate
from vzgym.tasks import TaskList, load_tasks, resolve_budget
from vzgym.tasks.budgets import WeakerProof, _warn, built_for, prepared_by_policy, weakened_by

TINY = load_tasks("needle-tiny/test")


@pytest.fixture(autouse=True)
def fresh_warnings() -> Iterator[None]:
    """What was said before, in another test, is said again."""
    _warn.cache_clear()
    yield
    _warn.cache_clear()


def test_a_mapping_overrides_a_budget_or_a_name_replaces() -> None:
    assert resolve_budget(None, TINY) == TINY.budget
    assert resolve_budget({}, TINY) == TINY.budget
    assert resolve_budget({"max_zooms": 1}, TINY) == replace(TINY.budget, max_zooms=1)
    whole = replace(TINY.budget, clip_frames=2, max_zooms=7)
    assert resolve_budget(whole, TINY) is whole
    with pytest.warns(WeakerProof):
        assert resolve_budget("paper", TINY) == Budget()


@pytest.mark.parametrize("wrong", [{"zooms": 1}, {"max_zooms": -1}, 3, ["max_zooms"]])
def test_a_wrong_budget_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidSetting):
        resolve_budget(wrong, TINY)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="unknown budget 'generous'; valid: paper"):
        resolve_budget("generous", TINY)


@pytest.mark.parametrize("budget", [{"max_zooms": 1}, {"clip_frames": 3, "max_fps": 5.0}])
def test_every_interface_resolves_alike(budget: Mapping[str, Any]) -> None:
    tasks = "needle-tiny/train"
    wanted = resolve_budget(budget, load_tasks(tasks))
    assert vzgym.VideoZoomEnv(tasks, budget=budget).budget == wanted
    env = gymnasium.make("VideoZoomTiny-v0", tasks=tasks, budget=budget).unwrapped
    assert env.budget == wanted  # type: ignore[attr-defined]
    assert evaluate("blind", tasks, episodes=1, budget=budget).budget == wanted
    assert Collector(CollectSettings(tasks=tasks, episodes=1, budget=budget)).budget == wanted
    assert GRPOSettings(model="m", out="o", tasks=tasks, budget=budget).budget_for(load_tasks(tasks)) == wanted


def test_a_team_and_sb3_resolve_alike() -> None:
    sb3 = pytest.importorskip("vzgym.agents.sb3.settings")
    team = pytest.importorskip("vzgym.envs.pettingzoo_team")
    wanted = replace(TINY.budget, max_zooms=1)
    assert sb3.SB3Settings(tasks="needle-tiny/test", out="o", budget={"max_zooms": 1}).budget_for(TINY) == wanted
    made = team.TeamEnv("needle-tiny/test", budget={"max_zooms": 1})
    assert made._env.budget == wanted


def test_only_a_better_look_without_zooms_weakens_the_proof() -> None:
    built = TINY.budget
    assert weakened_by(built, built) == ()
    harmless = replace(built, max_zooms=9, clip_frames=99, max_fps=60.0, spatial=True)
    assert weakened_by(built, harmless) == ()
    assert weakened_by(built, replace(built, min_pixels=1, max_pixels=built.max_pixels - 1)) == ()
    assert weakened_by(built, replace(built, overview_frames=0, overview_fps=9.0)) == ()
    assert weakened_by(built, replace(built, overview_frames=built.overview_frames - 1)) == ("overview_frames",)
    assert weakened_by(built, replace(built, overview_fps=9.0)) == ("overview_fps",)
    more = replace(built, max_pixels=built.max_pixels + 1, min_pixels=built.min_pixels + 1)
    assert weakened_by(built, more) == ("max_pixels", "min_pixels")


def test_a_weaker_proof_warns_once_and_names_tasks_and_fields() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            vzgym.VideoZoomEnv("needle-tiny/test", budget={"overview_frames": 20})
    assert len(caught) == 1
    expected = "tasks 'needle-tiny/test' are played with overview_frames=20 (built for 16)"
    assert str(caught[0].message).startswith(expected)
    # Attributed to the line that called vzgym, whatever lies between.
    assert caught[0].filename == __file__


def test_tasks_that_prove_nothing_never_warn() -> None:
    found = replace(TINY[0], metadata={})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_budget({"overview_frames": 3}, TaskList([found])).overview_frames == 3
    assert built_for(found) is None
    assert built_for(replace(found, metadata={"budget": {"dollars": 3}})) is None


def test_a_file_of_procedural_tasks_warns_as_the_suite_does() -> None:
    with pytest.warns(WeakerProof, match="'mine'"):
        resolve_budget({"min_pixels": TINY.budget.min_pixels + 1}, TaskList([TINY[0], TINY[1]], name="mine"))


def test_a_control_that_sees_more_on_purpose_draws_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate("uniform", "needle-tiny/test", episodes=1)
        with prepared_by_policy():
            resolve_budget("paper", TINY)
    # The report says so all the same.
    assert "overview_frames" in report.proof_weakened_by


def test_fewer_frames_than_built_for_warn_too() -> None:
    with pytest.warns(WeakerProof, match="overview_frames=8"):
        fewer_frames(vzgym.VideoZoomEnv("needle-tiny/test"), overview=8)


def test_the_command_says_it_in_one_line() -> None:
    command = [sys.executable, "-m", "vzgym", "eval", "--policy", "blind", "--tasks", "needle-tiny/test"]
    done = subprocess.run(
        [*command, "--episodes", "1", "--budget", "paper", "--json"], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if "proven" in line]
    assert len(lines) == 1
    assert lines[0].startswith("Warning: tasks 'needle-tiny/test' are played with overview_fps=0.5 (built for 0.25)")
    assert '"proof_weakened_by": [' in done.stdout
