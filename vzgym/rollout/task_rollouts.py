"""Roll-outs of a policy on a task set, in this process or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, cached_property, partial
from importlib.metadata import version
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np

from vzgym.core.budget import Budget, ToolMode
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.core.secrets import redact
from vzgym.episode.record import EpisodeRecord
from vzgym.policies.policy import AnyPolicy, load_policy
from vzgym.policies.traits import PolicyTraits
from vzgym.rewards.making import RewardSpec, is_yaml_path, make_reward
from vzgym.rollout.executor import Executor, InProcess
from vzgym.rollout.rollout import EpisodeStart, PlayedEpisode, Rollout
from vzgym.tasks import BudgetSpec, TaskSet
from vzgym.tasks.budgets import prepared_by_policy, resolve_budget
from vzgym.tools.base import ToolSpec
from vzgym.tools.extras import Extras

__all__ = ["TaskRollouts", "json_values", "package_version"]

_BatchResult: TypeAlias = tuple[list[tuple[int, str]], dict[str, str]]
"""The records of a batch as JSON lines, by index, and the tasks that could not be played."""


class TaskRollouts:
    """Plays a policy on each task of a set, `samples` times.

    A roll-out has an index: roll-out `i` is number `i % samples` of task `i // samples`. Its seed, and its batch for a
    `TextPolicy`, do not depend on which other roll-outs are played, or where.

    Args:
        policy: A policy by object, registered name, `"module:Class"`, or mapping `{"name": ..., **options}`.
        tasks: The task set.
        budget: The budget; see `resolve_budget`. None: the budget that the policy was trained with, if it is known,
            else that of the tasks.
        tool_mode: Whether the agent may, must or must not zoom; changes that budget. See `Budget.for_tool`.
        reward: The reward whose ledger is stored in the records.
        tools: Tools that the agent may call; see `vzgym.tools.make_tools`. None: those that the policy was trained
            with, if it is known, else none.
        subtitles: Where the dialogue shows subtitles; see `Episode`. None: as the policy was trained, if that is known,
            else as each task says.
        seed: Seed of the policy, >= 0.
        samples: Number of roll-outs of each task, >= 1.
        name: Names the policy in the records; its own name if not given.
        executor: The executor. Worker processes create their own policy and reward and omit the records' pixels.

    Attributes:
        policy: The policy.
        traits: Its traits.
        tasks: As given.
        free_budget: The budget of the run before `tool_mode` changes it.
        run_budget: The budget of the run.
        budget: The budget with which the policy plays: `run_budget`, or the result of its `prepare`.
        mix: The reward.
        extras: Tools and subtitles.
        seed: As given.
        samples: As given.
        failed: Tasks that could not be played, with the reason: their video cannot be opened or does not contain their
            evidence.

    Raises:
        InvalidSetting: If a setting is invalid, or worker processes cannot create the policy or the reward.
        UnknownName: If a name is not registered.
    """

    def __init__(
        self,
        policy: AnyPolicy | str | Mapping[str, Any],
        tasks: TaskSet,
        *,
        budget: BudgetSpec = None,
        tool_mode: ToolMode = ToolMode.FREE,
        reward: RewardSpec = "videozoomer",
        tools: ToolSpec | Sequence[ToolSpec] | None = None,
        subtitles: str | None = None,
        seed: int = 0,
        samples: int = 1,
        executor: Executor | None = None,
        name: str = "",
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise InvalidSetting(f"seed must be a whole number >= 0, got {seed!r}")
        if isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
            raise InvalidSetting(f"samples must be a whole number >= 1, got {samples!r}")
        self.policy = load_policy(policy)
        traits = PolicyTraits.of(self.policy)
        self.traits = replace(traits, name=name) if name else traits
        self.tasks = tasks
        self.free_budget = resolve_budget(self.traits.trained_budget if budget is None else budget, tasks)
        self.run_budget = self.free_budget.for_tool(tool_mode)
        self.budget: Budget = self.traits.prepare(self.run_budget)
        self.extras = Extras.make(tools, subtitles, trained=self.traits.trained_extras)
        self.traits.describe_tools(self.extras.tools)
        self.seed = int(seed)
        self.samples = int(samples)
        self.mix = make_reward(reward)
        self.failed: dict[str, str] = {}
        self._reward = reward
        self._executor = executor or InProcess()
        # Some rewards are known only after the episode.
        live = self.mix.with_context(quiet=True) if self.mix.later else self.mix
        self._rollout = Rollout(self.policy, tasks, self.budget, reward=live, extras=self.extras)
        self._make_worker: Callable[[], Callable[[Sequence[int]], _BatchResult]] | None = None
        if not isinstance(self._executor, InProcess):
            if not isinstance(policy, (str, Mapping)) or self.reward_spec is None:
                raise InvalidSetting(
                    "several workers each make their own policy and reward: give both by name, mapping or "
                    f"'module:Class', not policy={redact(policy)!r}, reward={reward!r}"
                )
            extras = {"tools": self.extras.specs, "subtitles": self.extras.subtitles}
            self._make_worker = partial(
                _make_worker, policy, tasks, self.run_budget, self.reward_spec, extras, self.seed, self.samples, name
            )

    @cached_property
    def reward_spec(self) -> Any:
        """The reward as JSON values, from which `make_reward` rebuilds it; None if it cannot be named."""
        if isinstance(self._reward, (str, Mapping)):
            given = json_values(self._reward)
            # A file may change, and a mapping may contain objects.
            if not (isinstance(given, str) and is_yaml_path(given)) and make_reward(given) == self.mix:
                return given
        try:
            return self.mix.to_spec()
        except InvalidSetting:
            return None

    def play(self, indices: Sequence[int]) -> Generator[tuple[int, EpisodeRecord]]:
        """Play roll-outs.

        Args:
            indices: Which, in ascending order.

        Yields:
            Each finished record with its index, in order.

        Raises:
            WorkerError: If a worker process dies.
        """
        size = self.traits.batch_size
        batches = [list(batch) for _, batch in groupby(indices, lambda index: index // size)]
        if self._make_worker is None:
            for batch in batches:
                yield from self._play_batch(batch)
            return
        with closing(self._executor.map(self._make_worker, batches)) as results:
            for lines, failed in results:
                self.failed.update(failed)
                for index, line in lines:
                    yield index, EpisodeRecord.from_line(line)

    def play_to_lines(self, indices: Sequence[int]) -> _BatchResult:
        """Play a batch; returns the records as JSON lines, which are small (hashes instead of frames)."""
        before = set(self.failed)
        lines = [(index, record.to_line()) for index, record in self._play_batch(indices)]
        return lines, {task: reason for task, reason in self.failed.items() if task not in before}

    def check_played(self, count: int) -> None:
        """Raise if nothing was played because all tasks failed.

        Args:
            count: Number of played roll-outs.

        Raises:
            VideoError: If it is 0 and tasks failed.
        """
        if self.failed and not count:
            reason = next(iter(self.failed.values()))
            raise VideoError(
                f"none of the {len(self.failed)} tasks could be played; the first: {reason}", path=self.tasks.name
            )

    def _play_batch(self, indices: Sequence[int]) -> list[tuple[int, EpisodeRecord]]:
        starts = [EpisodeStart(self.tasks[index // self.samples], self._episode_seed(index)) for index in indices]
        played = zip(indices, self._rollout.play(starts), strict=True)
        self.failed.update(self._rollout.failed)
        return [(index, self._with_info(index, episode)) for index, episode in played if episode is not None]

    def _episode_seed(self, index: int) -> int:
        task, sample = divmod(index, self.samples)
        entropy = [self.seed, task, sample] if sample else [self.seed, task]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def _with_info(self, index: int, episode: PlayedEpisode) -> EpisodeRecord:
        """The record with information about the run."""
        record = episode.record
        record.set_info(
            policy=self.traits.name,
            index=index,
            seed=self.seed,
            wall_seconds=round(episode.wall_seconds, 6),
            tool_seconds=round(episode.tool_seconds, 6),
            model_seconds=round(episode.model_seconds, 6),
            reward=self.reward_spec,
            vzgym=package_version(),
            sample=index % self.samples if self.samples > 1 else None,
        )
        return record


def _make_worker(
    policy: str | Mapping[str, Any],
    tasks: TaskSet,
    budget: Budget,
    reward: RewardSpec,
    extras: Mapping[str, Any],
    seed: int,
    samples: int,
    name: str,
) -> Callable[[Sequence[int]], _BatchResult]:
    # The parent process has already warned about the budget.
    with prepared_by_policy():
        rollouts = TaskRollouts(
            policy, tasks, budget=budget, reward=reward, seed=seed, samples=samples, name=name, **extras
        )
    return rollouts.play_to_lines


@cache
def package_version() -> str:
    """The version of vzgym."""
    return version("vzgym")


def json_values(value: Any) -> Any:
    """Convert a value to JSON values; anything else is replaced by the name of its type."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case Mapping():
            return {str(key): json_values(item) for key, item in value.items()}
        case list() | tuple():
            return [json_values(item) for item in value]
    return f"{type(value).__module__}:{type(value).__qualname__}"
