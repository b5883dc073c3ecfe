"""Deliberately broken teams, and an environment that Stable-Baselines3 cannot take; the message says how to fix it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from vzgym.envs.pettingzoo_team import SCOUT, SOLVER, TeamEnv
from vzgym.testing import ContractViolation, check_environment, check_team


class NewSpaces(TeamEnv):
    """Makes its spaces anew each time."""

    def observation_space(self, agent):
        from copy import deepcopy

        return deepcopy(super().observation_space(agent))


class Unseeded(TeamEnv):
    """Draws tasks from a generator that nobody seeds."""

    generator = np.random.default_rng()

    def reset(self, seed=None, options=None):
        return super().reset(seed=int(self.generator.integers(1000)), options=options)


class Shares(TeamEnv):
    """Both agents get the same arrays, and get them again."""

    def _observe(self):
        seen = super()._observe()
        self._kept = getattr(self, "_kept", seen[SCOUT]["frame_times"])
        seen[SCOUT]["frame_times"] = self._kept
        return seen


class Stays(TeamEnv):
    """Its agents are still there when all is over."""

    def step(self, actions):
        came = super().step(actions)
        self.agents = list(self.possible_agents)
        return came


class WrongType(TeamEnv):
    """A message that is in no space."""

    def _observe(self):
        seen = super()._observe()
        return {agent: {**view, "message": 99} for agent, view in seen.items()}


class Forgets(TeamEnv):
    """Leaves an agent's reward out."""

    def step(self, actions):
        seen, rewards, *rest = super().step(actions)
        return seen, {SOLVER: rewards[SOLVER]}, *rest


@pytest.mark.parametrize(
    ("team", "rule", "fix"),
    [
        (NewSpaces, "the same objects", "return the same object"),
        (Unseeded, "seed test", "parallel_seed_test reports"),
        (Shares, "returned observations are independent", "return fresh arrays"),
        (Stays, "no agent is left", "it must be empty"),
        (WrongType, "gets its entry", "the observation of scout_0 is not in its space, at 'message'"),
        (Forgets, "gets its entry", "rewards have no entry for scout_0"),
    ],
)
def test_broken_teams(team: Any, rule: str, fix: str) -> None:
    report = check_team(team)
    assert not report.ok
    with pytest.raises(ContractViolation, match="breaks its contract"):
        report.require()
    found = {result.rule: result.detail for result in report.broken}
    assert any(rule in name and fix in detail for name, detail in found.items()), found


class WideBox(gymnasium.Env):
    """What gymnasium lets pass and Stable-Baselines3 warns of: an action that is not normalized."""

    observation_space: Any = Box(0, 1, (2,), np.float32)
    action_space: Any = Box(0.0, 60.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, True, False, {}


def test_an_environment_that_stable_baselines3_warns_of() -> None:
    found = {result.rule: result.detail for result in check_environment(WideBox).broken}
    assert "symmetric and normalized" in found["passes stable-baselines3's check_env"]


def test_a_whole_one_is_not_taken_for_broken() -> None:
    assert check_team(TeamEnv).ok
