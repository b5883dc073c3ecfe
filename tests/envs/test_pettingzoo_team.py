"""The team: partial views, messages, one budget, shared and own rewards."""

from __future__ import annotations

import warnings

import numpy as np
import pettingzoo
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.envs.pettingzoo_team import SCOUT, SOLVER, TEAM_ID, team_parallel_env
from vzgym.envs.video_zoom import ResetNeeded
from vzgym.tasks import load_tasks
from vzgym.testing import check_team

GRID = {"windows": 16, "fps": (2.0,), "max_options": 4}


def team(**settings):
    return team_parallel_env(**{"tasks": "needle-tiny/test", "action": GRID, "reward": {"accuracy": 1.0}, **settings})


def test_it_passes_every_test_of_pettingzoo() -> None:
    assert check_team(team_parallel_env).require().ok


@pytest.mark.parametrize("kind", ["parallel", "aec"])
def test_pettingzoo_makes_it_by_its_id(kind: str) -> None:
    env = pettingzoo.make(kind, TEAM_ID)
    env.reset(seed=0)
    assert env.agents == [SCOUT, SOLVER]


def test_pettingzoos_own_tests_pass_on_what_its_own_registry_makes() -> None:
    def make(kind: str):
        return pettingzoo.make(kind, TEAM_ID, tasks="needle-tiny/test", action=GRID)

    with warnings.catch_warnings():
        # They expect arrays, and go on to check dictionaries all the same.
        warnings.filterwarnings("ignore", message=".*[Oo]bservation.*")
        parallel_api_test(make("parallel"), num_cycles=20)
        parallel_seed_test(lambda: make("parallel"), num_cycles=20)
        api_test(make("aec"), num_cycles=20)
        seed_test(lambda: make("aec"), num_cycles=20)


def test_turn_by_turn_the_solver_does_not_see_what_the_scout_has_just_chosen() -> None:
    env = pettingzoo.make("aec", TEAM_ID, tasks="needle-tiny/test", action=GRID)
    env.reset(seed=1)
    assert env.agent_selection == SCOUT
    env.step(5)
    assert env.agent_selection == SOLVER
    assert (env.last()[0]["frame_times"] >= 0).sum() == 0
    env.step(0)
    seen, _, terminated, truncated, info = env.last()
    assert (env.agent_selection, terminated, truncated) == (SCOUT, False, False)
    assert (seen["message"], info["outcome"]) == (1, "executed")
    env.step(0)
    assert (env.last()[0]["frame_times"] >= 0).sum() == 8
    env.step(env.unwrapped.messages)
    assert all(env.terminations.values())
    assert env.unwrapped.record.zooms == 1


def test_the_solver_sees_only_what_the_scout_shows() -> None:
    env = team()
    seen, infos = env.reset(seed=1)
    assert (seen[SCOUT]["frame_times"] >= 0).sum() == 16
    assert (seen[SOLVER]["frame_times"] >= 0).sum() == 0
    assert seen[SOLVER]["frames"].max() == 0
    assert np.array_equal(seen[SOLVER]["question"], seen[SCOUT]["question"])
    assert infos[SOLVER]["question"]
    seen, *_ = env.step({SCOUT: 5, SOLVER: 1})
    shown = seen[SOLVER]["frame_times"] >= 0
    assert shown.sum() == 8
    assert np.allclose(seen[SOLVER]["frame_times"][shown], (20 + np.arange(8) / 2) / 64)
    assert set(seen[SOLVER]["frame_rounds"][shown]) == {1.0}
    assert (seen[SCOUT]["frame_times"] >= 0).sum() == 24
    assert np.array_equal(seen[SOLVER]["frames"][:8], seen[SCOUT]["frames"][16:24])


def test_messages_reach_the_scout_and_mean_nothing_to_the_environment() -> None:
    env = team(messages=3)
    seen, _ = env.reset(seed=1)
    assert seen[SCOUT]["message"] == 0
    seen, *_ = env.step({SCOUT: 0, SOLVER: 2})
    assert seen[SCOUT]["message"] == seen[SOLVER]["message"] == 3
    first = env.record.clips[-1].hashes
    env.reset(options={"task": env.record.task.id})
    env.step({SCOUT: 0, SOLVER: 0})
    assert env.record.clips[-1].hashes == first


def test_an_answer_ends_the_episode_and_the_scouts_choice_is_not_looked_at() -> None:
    task = load_tasks("needle-tiny/test")[0]
    env = team(tasks=[task])
    env.reset(seed=0)
    right = env.messages + task.options.index(task.answer)
    _, rewards, ends, cuts, infos = env.step({SCOUT: 3, SOLVER: right})
    assert rewards == {SCOUT: 1.0, SOLVER: 1.0}
    assert ends == {SCOUT: True, SOLVER: True}
    assert cuts == {SCOUT: False, SOLVER: False}
    assert infos[SCOUT]["correct"] is True
    assert len(env.record.clips) == 1
    assert env.agents == []
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step({SCOUT: 0, SOLVER: 0})


def test_the_budget_is_shared_and_the_last_round_is_for_the_answer() -> None:
    env = team()
    seen, _ = env.reset(seed=0)
    assert seen[SOLVER]["action_mask"].tolist() == [1, 1, 1, 1, 1, 1]
    for window in range(3):
        seen, _, ends, *_ = env.step({SCOUT: window, SOLVER: 0})
        assert not any(ends.values())
    assert seen[SOLVER]["action_mask"].tolist() == [0, 0, 1, 1, 1, 1]
    _, rewards, ends, _, infos = env.step({SCOUT: 3, SOLVER: 0})
    assert ends == {SCOUT: True, SOLVER: True}
    assert infos[SOLVER]["refusal"] == "last_round"
    assert rewards[SOLVER] == 0.0


def test_an_answer_before_the_required_zoom_is_masked_and_refused() -> None:
    env = team(budget={"min_zooms": 1})
    seen, _ = env.reset(seed=0)
    assert seen[SOLVER]["action_mask"].tolist() == [1, 1, 0, 0, 0, 0]
    seen, _, ends, _, infos = env.step({SCOUT: 0, SOLVER: env.messages})
    assert infos[SOLVER]["refusal"] == "zoom_first"
    assert not any(ends.values())
    seen, *_ = env.step({SCOUT: 0, SOLVER: 0})
    assert seen[SOLVER]["action_mask"].tolist() == [1, 1, 1, 1, 1, 1]


def test_each_agent_may_have_its_own_reward() -> None:
    task = load_tasks("needle-tiny/test")[0]
    env = team(tasks=[task], own_rewards={SCOUT: {"recall": 2.0}})
    env.reset(seed=0)
    window = int(task.evidence[0].start // 4)
    env.step({SCOUT: window, SOLVER: 0})
    wrong = env.messages + (task.options.index(task.answer) + 1) % 4
    _, rewards, *_, infos = env.step({SCOUT: 0, SOLVER: wrong})
    assert rewards == {SCOUT: 2.0, SOLVER: 0.0}
    assert set(infos[SCOUT]["reward_terms"]) == {"recall"}
    assert set(infos[SOLVER]["reward_terms"]) == {"accuracy"}


def test_programming_errors_are_named() -> None:
    env = team()
    with pytest.raises(ResetNeeded):
        env.step({})
    env.reset(seed=0)
    with pytest.raises(ActionTypeError, match="solver_0 needs an integer from 0 to 5"):
        env.step({SCOUT: 0})
    with pytest.raises(ActionTypeError, match="scout_0 needs"):
        env.step({SCOUT: 99, SOLVER: 0})
    with pytest.raises(InvalidSetting, match="messages"):
        team(messages=0)
    with pytest.raises(InvalidSetting, match="the agents are scout_0 and solver_0"):
        team(own_rewards={"goalkeeper": "accuracy"})
