"""Plays a policy on a set of tasks and reports what came of it, with intervals."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.baselines.policy import POLICIES, AnyPolicy, Policy, TextPolicy
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.envs.video_zoom import ModuleSpec, VideoZoomEnv
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.metrics import EpisodeMetrics, summarise
from vzgym.evaluation.runs import RunFolder
from vzgym.evaluation.statistics import Estimate
from vzgym.rewards.mix import RewardSpec
from vzgym.tasks import TaskSet, TaskSpec, VideoTask, hit_rate, load_tasks

__all__ = ["Report", "evaluate"]

_DEFAULT_EPISODES = 200
_DEFAULT_BATCH = 8


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        policy: The policy's name.
        tasks: The task set's name.
        seed: The run's seed.
        budget: What was played with.
        privileged: Whether the policy was told where the evidence lies.
        episodes: The measures of each episode played, in order.
        hit_rate: For a policy that makes no zooms: the mean probability, over the tasks' own placement of their event,
            that its frames show what is needed; None where zooms are possible or the tasks do not say.
        failed: Tasks whose video could not be opened, with the reason; they count nowhere else.
    """

    policy: str
    tasks: str
    seed: int
    budget: Budget
    privileged: bool
    episodes: list[EpisodeMetrics]
    hit_rate: float | None = None
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, Estimate]:
        """Each metric's mean and 95 % interval."""
        return summarise(self.episodes)

    @property
    def accuracy(self) -> Estimate:
        """Share of right answers among the scored episodes."""
        return self.summary["correct"]

    def by_category(self) -> dict[str, dict[str, Estimate]]:
        """The summary of each category of tasks."""
        categories = sorted({item.category for item in self.episodes})
        return {name: summarise([item for item in self.episodes if item.category == name]) for name in categories}

    def to_json(self) -> dict[str, Any]:
        """JSON form: settings and summaries, not the single episodes."""
        return {
            "policy": self.policy,
            "tasks": self.tasks,
            "seed": self.seed,
            "episodes": len(self.episodes),
            "budget": _json_budget(self.budget),
            "privileged": self.privileged,
            "hit_rate": self.hit_rate,
            "failed": self.failed,
            "metrics": {name: estimate.to_json() for name, estimate in self.summary.items()},
            "by_category": {
                category: {name: estimate.to_json() for name, estimate in summary.items()}
                for category, summary in self.by_category().items()
            },
        }


def evaluate(
    policy: AnyPolicy | str | Mapping[str, Any],
    tasks: TaskSpec = "tiny/test",
    *,
    episodes: int | None = None,
    seed: int = 0,
    budget: Budget | Mapping[str, object] | None = None,
    reward: RewardSpec = "videozoomer",
    out: str | Path | None = None,
    on_episode: Callable[[EpisodeRecord], None] | None = None,
) -> Report:
    """Play a policy on the first `episodes` tasks of a set.

    Args:
        policy: A `Policy` or `TextPolicy`: an object, a registered name ("oracle"), `"module:Class"`, or a mapping
            `{"name": ..., **options}`.
        tasks: A suite ("needle"; its test split unless it names one), a JSONL file, a task, tasks, or a task set.
        episodes: How many tasks; 200 if not given, or as many as there are.
        seed: Of the policy's randomness; the tasks are the same for every seed.
        budget: What may be looked at; what the tasks were built for if not given.
        reward: The reward whose ledger the records keep.
        out: A folder for `records.jsonl`, `run.json` and `report.json`. A run that was stopped goes on there.
        on_episode: Called after each episode with its record (pixels included): for progress bars and pictures.

    Returns:
        The report.

    Raises:
        InvalidSetting: If there are fewer tasks than `episodes`, or `out` holds another run.
        VideoError: If no task's video could be opened. Single ones are listed in `Report.failed`.
        UnknownName: If a name is not registered.
    """
    player: AnyPolicy = POLICIES.make(policy)
    task_set = load_tasks(tasks, split="test")
    if budget is None:
        budget = task_set.budget
    budget = budget if isinstance(budget, Budget) else Budget.from_mapping(budget)
    prepare = getattr(player, "prepare", None)
    budget = prepare(budget) if prepare else budget
    count = _how_many(episodes, task_set)
    name = str(getattr(player, "name", type(player).__name__))
    settings = {
        "policy": name,
        "tasks": task_set.name,
        "episodes": count,
        "seed": seed,
        "budget": _json_budget(budget),
        "reward": reward if isinstance(reward, (str, Mapping)) else repr(reward),
        "vzgym": version("vzgym"),
    }
    folder = RunFolder(out, settings) if out is not None else None
    done = folder.finished if folder else {}
    measured = {index: EpisodeMetrics.of(record) for index, record in done.items() if index < count}
    failed: dict[str, str] = {}
    run = _Run(player, task_set, budget, reward, seed, name, failed)
    try:
        for index, record in run.play([index for index in range(count) if index not in done]):
            measured[index] = EpisodeMetrics.of(record)
            if folder:
                folder.add(record)
            if on_episode:
                on_episode(record)
    finally:
        if folder:
            folder.close()
    if failed and not measured:
        task_id, reason = next(iter(failed.items()))
        raise VideoError(f"none of the {count} videos could be opened; the first: {reason}", path=task_id)
    report = Report(
        policy=name,
        tasks=task_set.name,
        seed=seed,
        budget=budget,
        privileged=hasattr(player, "reveal"),
        episodes=[measured[index] for index in sorted(measured)],
        hit_rate=_mean_hit_rate(task_set, budget, count),
        failed=failed,
    )
    if folder:
        folder.write_report(report.to_json())
    return report


def _how_many(episodes: int | None, tasks: TaskSet) -> int:
    if episodes is None:
        return min(_DEFAULT_EPISODES, len(tasks))
    if not 1 <= episodes <= len(tasks):
        raise InvalidSetting(f"episodes must be 1 to {len(tasks)}, the size of {tasks.name!r}, got {episodes}")
    return episodes


def _json_budget(budget: Budget) -> dict[str, Any]:
    # JSON has no infinity, which `overview_fps` may be.
    return {key: value if math.isfinite(value) else str(value) for key, value in budget.to_dict().items()}


def _mean_hit_rate(tasks: TaskSet, budget: Budget, count: int) -> float | None:
    """Mean analytic hit rate of the overview, where the overview is all there is to see."""
    if budget.max_zooms:
        return None
    rates = []
    for index in range(count):
        task = tasks[index]
        if "placement" not in task.metadata:
            continue
        rates.append(hit_rate(task, overview_times(task.video.duration, budget)))
    return float(np.mean(rates)) if rates else None


@dataclass
class _Run:
    """One policy on one task set: plays the episodes that are still to play."""

    policy: AnyPolicy
    tasks: TaskSet
    budget: Budget
    reward: RewardSpec
    seed: int
    name: str
    failed: dict[str, str]

    def play(self, indices: Sequence[int]) -> Iterator[tuple[int, EpisodeRecord]]:
        """Play these tasks; yields each finished record with its index."""
        if isinstance(self.policy, TextPolicy):
            size = int(getattr(self.policy, "batch_size", _DEFAULT_BATCH))
            for first in range(0, len(indices), size):
                yield from self._play_batch(self.policy, indices[first : first + size])
        elif isinstance(self.policy, Policy):
            env = self._env(getattr(self.policy, "observation", "default"), getattr(self.policy, "action", "default"))
            for index in indices:
                record = self._play_one(self.policy, env, index)
                if record is not None:
                    yield index, record
        else:
            raise InvalidSetting(
                f"{self.name} is no policy: it needs reset(seed) and act(observation, info), or reset(seeds) and "
                "respond(dialogues)"
            )

    def _env(self, observation: ModuleSpec, action: ModuleSpec) -> VideoZoomEnv:
        return VideoZoomEnv(self.tasks, observation=observation, action=action, reward=self.reward, budget=self.budget)

    def _episode_seed(self, index: int) -> int:
        return int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0])

    def _start(self, env: VideoZoomEnv, index: int, task: VideoTask) -> tuple[Any, dict[str, Any]] | None:
        """Reset to a task; None, and noted, if its video cannot be opened."""
        try:
            return env.reset(seed=self._episode_seed(index), options={"task": task})
        except VideoError as error:
            self.failed[task.id] = str(error)
            return None

    def _finish(self, env: VideoZoomEnv, index: int, seconds: float) -> EpisodeRecord:
        record = env.record
        record.info.update(
            policy=self.name,
            index=index,
            seed=self.seed,
            wall_seconds=round(seconds, 6),
            reward=self.reward if isinstance(self.reward, (str, Mapping)) else None,
            vzgym=version("vzgym"),
        )
        return record

    def _play_one(self, policy: Policy, env: VideoZoomEnv, index: int) -> EpisodeRecord | None:
        task = self.tasks[index]
        started = time.perf_counter()
        begun = self._start(env, index, task)
        if begun is None:
            return None
        observation, info = begun
        reveal = getattr(policy, "reveal", None)
        if reveal:
            reveal(task)
        policy.reset(self._episode_seed(index))
        ended = False
        while not ended:
            observation, _, terminated, truncated, info = env.step(policy.act(observation, info))
            ended = terminated or truncated
        env.close()
        return self._finish(env, index, time.perf_counter() - started)

    def _play_batch(self, policy: TextPolicy, indices: Sequence[int]) -> Iterator[tuple[int, EpisodeRecord]]:
        protocol = getattr(policy, "protocol", "tags")
        envs: dict[int, VideoZoomEnv] = {}
        tasks: list[VideoTask] = []
        started = time.perf_counter()
        for index in indices:
            env = self._env("dialogue", {"name": "text", "protocol": protocol})
            task = self.tasks[index]
            if self._start(env, index, task) is not None:
                envs[index] = env
                tasks.append(task)
        if not envs:
            return
        reveal = getattr(policy, "reveal", None)
        if reveal:
            reveal(tasks)
        policy.reset([self._episode_seed(index) for index in envs])
        running = list(envs)
        while running:
            texts = policy.respond([envs[index].episode.messages for index in running])
            if len(texts) != len(running):
                raise InvalidSetting(f"{self.name} gave {len(texts)} texts for {len(running)} dialogues")
            for index, text in zip(running, texts, strict=True):
                envs[index].step(text)
            running = [index for index in running if not envs[index].episode.ended]
        # A batch is played together: each of its episodes took its share.
        share = (time.perf_counter() - started) / len(envs)
        for index, env in envs.items():
            env.close()
            yield index, self._finish(env, index, share)
