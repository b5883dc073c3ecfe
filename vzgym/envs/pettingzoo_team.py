"""A PettingZoo team: a scout that sees the overview and chooses clips, and a solver that sees only those clips.

Needs `pip install "vzgym[multiagent]"`. `vzgym.envs` does not import this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from pettingzoo import ParallelEnv, register
from pettingzoo.utils.conversions import parallel_to_aec

from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.envs.actions import DiscreteAction
from vzgym.envs.flat import FlatObservation
from vzgym.envs.options import need_count
from vzgym.envs.video_zoom import ResetNeeded, VideoZoomEnv
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.making import RewardSpec, make_reward
from vzgym.rewards.mix import RewardMix
from vzgym.tasks import BudgetSpec, TaskSpec

__all__ = ["SCOUT", "SOLVER", "TEAM_ID", "TeamEnv", "team_aec_env", "team_parallel_env"]

SCOUT = "scout_0"
SOLVER = "solver_0"
TEAM_ID = "vzgym/VideoZoomTeam_v0"
"""The id for `pettingzoo.make`, registered when this module is imported."""


class TeamEnv(ParallelEnv):  # type: ignore[misc]  # PettingZoo has no type hints
    """Two agents, one video, one budget, at most `max_zooms + 1` rounds.

    In every round both act simultaneously. `scout_0` chooses a window and a frame rate. `solver_0` either asks for
    more, with one of a few messages, or answers. If the solver answers, the episode ends and the scout's action is
    ignored; otherwise the scout's zoom is executed. The environment does not interpret the messages: the agents learn
    what they mean.

    - Actions: `scout_0`: `Discrete(windows * len(fps))`. `solver_0`: `Discrete(messages + max_options)`; the first
      `messages` values ask, the others answer.
    - Observations: both get the `Dict` of `vzgym.envs.FlatObservation`; the scout with all frames so far, the solver
      with those of zooms only. Also `message`, `Discrete(messages + 1)`: 0 before the first round, then 1 + the
      solver's last message; and `action_mask`, int8, the actions that are valid now.
    - Rewards: shared by both, or separate for each agent, from the modules of `vzgym.rewards`.
    - The episode ends for both at once: *terminated* by an answer or the last round, *truncated* by a video error.

    Args:
        tasks: As for `VideoZoomEnv`.
        action: Options of the grid: `{"windows", "fps", "max_options"}` (`vzgym.envs.DiscreteAction`).
        observation: Options of `vzgym.envs.FlatObservation`.
        reward: The shared reward.
        own_rewards: Rewards by agent, which replace `reward` for the agents named.
        budget: As for `VideoZoomEnv`.
        messages: How many messages the solver can choose from, >= 1.

    Raises:
        InvalidSetting: If a setting is invalid.
        UnknownName: If a suite, module or preset does not exist.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as PettingZoo declares it
        "name": "vzgym_team_v0",
        "render_modes": [],
        "is_parallelizable": True,
    }

    def __init__(
        self,
        tasks: TaskSpec = "tiny/train",
        action: Mapping[str, Any] | None = None,
        observation: Mapping[str, Any] | None = None,
        reward: RewardSpec = "videozoomer",
        own_rewards: Mapping[str, RewardSpec] | None = None,
        budget: BudgetSpec = None,
        messages: int = 2,
    ) -> None:
        need_count("team", "messages", messages)  # without one the solver could not ask for more
        grid = {key: value for key, value in (action or {}).items() if key != "name"}
        self.grid = DiscreteAction(**grid)
        self._view = FlatObservation(**{"max_options": self.grid.max_options, **(observation or {})})
        self._env = VideoZoomEnv(
            tasks,  # type: ignore[arg-type]  # a Suite is accepted too
            observation="dialogue",
            action=self.grid,
            reward=reward,
            budget=budget,
        )
        unknown = sorted(set(own_rewards or {}) - {SCOUT, SOLVER})
        if unknown:
            raise InvalidSetting(f"own_rewards names {', '.join(unknown)}; the agents are {SCOUT} and {SOLVER}")
        self._own: dict[str, RewardMix] = {agent: make_reward(spec) for agent, spec in (own_rewards or {}).items()}
        self.messages = messages
        self.render_mode = None
        self.possible_agents = [SCOUT, SOLVER]
        self.agents: list[str] = []
        self._said = 0

    @cached_property
    def observation_spaces(self) -> dict[str, Dict]:
        """Each agent's observation space."""
        space: Any = self._view.space(self._env.budget)
        return {
            agent: Dict(
                {
                    **space.spaces,
                    "message": Discrete(self.messages + 1),
                    "action_mask": Box(0, 1, (int(self.action_spaces[agent].n),), np.int8),
                }
            )
            for agent in self.possible_agents
        }

    @cached_property
    def action_spaces(self) -> dict[str, Discrete]:
        """Each agent's action space."""
        return {SCOUT: Discrete(self.grid.num_zooms), SOLVER: Discrete(self.messages + self.grid.max_options)}

    def observation_space(self, agent: str) -> Dict:
        """The same object each time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Discrete:
        """The same object each time."""
        return self.action_spaces[agent]

    @property
    def record(self) -> EpisodeRecord:
        """The record of the episode, with the ledger of the shared reward."""
        return self._env.record

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds the generator that draws tasks.
            options: `{"task": ...}` names the task, as in `VideoZoomEnv.reset`; other keys are ignored, since
                PettingZoo's wrappers pass their own.
        """
        chosen = {"task": options["task"]} if options and "task" in options else None
        _, info = self._env.reset(seed=seed, options=chosen)
        self.record.set_info(interface="pettingzoo")
        self.agents = list(self.possible_agents)
        self._said = 0
        return self._observe(), {agent: dict(info) for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Play one round.

        Raises:
            ResetNeeded: If the episode has ended or was not started.
            ActionTypeError: If an agent's action is missing or invalid.
        """
        if not self.agents:
            raise ResetNeeded("the team's episode has ended or was not started: call reset()")
        for agent in self.agents:
            if agent not in actions or not self.action_spaces[agent].contains(actions[agent]):
                raise ActionTypeError(
                    f"{agent} needs an integer from 0 to {int(self.action_spaces[agent].n) - 1}, "
                    f"got {actions.get(agent)!r}"
                )
        choice = int(actions[SOLVER])
        if choice < self.messages:
            value = int(actions[SCOUT])
            self._said = choice + 1
        else:
            value = self.grid.num_zooms + choice - self.messages
        _, reward, terminated, truncated, info = self._env.step(value)
        rewards = dict.fromkeys(self.agents, reward)
        infos = {agent: dict(info) for agent in self.agents}
        for agent, mix in self._own.items():
            own = mix.score(self.record)
            rewards[agent] = 0.0 if own.total is None else own.total
            infos[agent]["reward_terms"] = {name: term.to_json() for name, term in own.terms.items()}
            infos[agent]["reward_status"] = own.status
        seen = self._observe()
        ends = dict.fromkeys(self.agents, terminated)
        cuts = dict.fromkeys(self.agents, truncated)
        if terminated or truncated:
            self.agents = []
        return seen, rewards, ends, cuts, infos

    def close(self) -> None:
        """Release the current video's decoder."""
        self._env.close()

    def _observe(self) -> dict[str, Any]:
        episode = self._env.episode
        allowed = self.grid.mask(episode)
        zooms, options = allowed[: self.grid.num_zooms], allowed[self.grid.num_zooms :]
        # In the last round the scout's action is ignored, so all of its actions are allowed.
        masks = {
            SCOUT: zooms if zooms.any() else np.ones_like(zooms),
            SOLVER: np.concatenate([np.full(self.messages, episode.zooms_left > 0), options]),
        }
        clips: dict[str, Sequence[Clip]] = {
            SCOUT: episode.record.clips,
            SOLVER: [replace_overview(episode.record.overview), *episode.record.clips[1:]],
        }
        return {
            agent: {
                **self._view.observe(episode, clips[agent]),
                "message": np.int64(self._said),
                "action_mask": masks[agent].astype(np.int8),
            }
            for agent in self.possible_agents
        }


def replace_overview(overview: Clip) -> Clip:
    """An overview without frames, so that the clips keep their numbers."""
    empty = np.empty(0, dtype=np.float64)
    pixels = None if overview.pixels is None else overview.pixels[:0]
    return replace(overview, requested=empty, times=empty, pixels=pixels, _hashes=[], _thumbnails={})


def team_parallel_env(**settings: Any) -> TeamEnv:
    """Make the team for PettingZoo's parallel interface; settings as for `TeamEnv`."""
    return TeamEnv(**settings)


def team_aec_env(**settings: Any) -> Any:
    """Make the turn-based (AEC) team: the scout acts, then the solver, which does not see the scout's latest choice."""
    return parallel_to_aec(TeamEnv(**settings))


register("parallel", TEAM_ID, entry_point="vzgym.envs.pettingzoo_team:team_parallel_env")
register("aec", TEAM_ID, entry_point="vzgym.envs.pettingzoo_team:team_aec_env")
