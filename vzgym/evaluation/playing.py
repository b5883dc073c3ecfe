"""One policy on one task set: makes the environments, plays the episodes, scores them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import version
from itertools import groupby
from typing import Any

import numpy as np

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, VideoError
from vzgym.core.secrets import redact
from vzgym.envs.video_zoom import ModuleSpec, VideoZoomEnv
from vzgym.episode.record import End, EpisodeRecord
from vzgym.evaluation.counterfactual import PolicyAnswerer, make_answerer
from vzgym.policies.policy import POLICIES, AnyPolicy, Policy, Spending, TextPolicy
from vzgym.rewards.base import Answerer
from vzgym.rewards.counterfactual import credit
from vzgym.rewards.group import rescore
from vzgym.rewards.making import RewardSpec, is_yaml_path, make_reward
from vzgym.rewards.mix import RewardMix
from vzgym.rollout.workers import spread
from vzgym.tasks import BudgetSpec, TaskSet, VideoTask, resolve_budget
from vzgym.tasks.budgets import prepared_by_policy

__all__ = ["Run"]

_DEFAULT_BATCH = 8


def _plain(value: Any) -> Any:
    """As JSON values; what has no such form is named by its type."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return f"{type(value).__module__}:{type(value).__qualname__}"


@cache
def _version() -> str:
    return version("vzgym")


def _answerer(spec: Answerer | str | None, policy: AnyPolicy) -> Answerer | None:
    """Who answers again."""
    if spec is None or not isinstance(spec, str):
        return spec
    return PolicyAnswerer(policy) if spec == "policy" else make_answerer(spec)


@dataclass
class _Clock:
    """Where an episode's wall time went, in seconds."""

    wall: float = 0.0
    tool: float = 0.0
    model: float = 0.0
    _last: float = field(default_factory=time.perf_counter)

    def lap(self) -> float:
        """Seconds since the last lap, or since the clock was made."""
        last, self._last = self._last, time.perf_counter()
        return self._last - last


@dataclass
class Run:
    """One policy on one task set: plays the episodes that are still to play."""

    policy: AnyPolicy
    tasks: TaskSet
    budget: Budget
    reward: RewardSpec
    seed: int
    samples: int
    mix: RewardMix
    answerer: Answerer | None
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        policy: AnyPolicy | str | Mapping[str, Any],
        tasks: TaskSet,
        budget: BudgetSpec,
        reward: RewardSpec,
        seed: int,
        samples: int,
        answerer: Answerer | str | None,
    ) -> Run:
        """Make and check everything that a run needs."""
        player = POLICIES.make(policy)
        if isinstance(player, type):
            raise InvalidSetting(f"a policy is an object, got the class {player.__name__}: call it")
        if not isinstance(player, (Policy, TextPolicy)):
            raise InvalidSetting(
                f"{redact(policy)!r} is no policy: it needs reset(seed) and act(observation, info), or reset(seeds) "
                "and respond(dialogues)"
            )
        budget = resolve_budget(budget, tasks)
        if isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
            raise InvalidSetting(f"samples must be a whole number >= 1, got {samples!r}")
        run = cls(player, tasks, budget, reward, seed, int(samples), make_reward(reward), _answerer(answerer, player))
        if hasattr(player, "prepare"):
            prepared = player.prepare(budget)
            if not isinstance(prepared, Budget):
                raise InvalidSetting(f"prepare() of policy {run.name!r} must return a Budget, got {prepared!r}")
            run.budget = prepared
        run.env().close()
        return run

    @property
    def name(self) -> str:
        """The policy's name."""
        return str(getattr(self.policy, "name", type(self.policy).__name__))

    @property
    def batch_size(self) -> int:
        """How many episodes are played at once."""
        if not isinstance(self.policy, TextPolicy):
            return 1
        size = getattr(self.policy, "batch_size", _DEFAULT_BATCH)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidSetting(f"batch_size of policy {self.name!r} must be a whole number >= 1, got {size!r}")
        return size

    def settings(self, policy: AnyPolicy | str | Mapping[str, Any], episodes: int) -> dict[str, Any]:
        """What tells this run from another, as JSON values."""
        given = {key: value for key, value in policy.items() if key != "name"} if isinstance(policy, Mapping) else {}
        options = getattr(self.policy, "identity", given)
        return {
            "policy": self.name,
            "options": redact(_plain(options)),
            "tasks": self.tasks.name,
            "episodes": episodes,
            "seed": self.seed,
            "budget": self.budget.to_dict(),
            "reward": self._reward() or {name: _plain(term.module) for name, term in self.mix.terms.items()},
            **({"samples": self.samples} if self.samples > 1 else {}),
            **({"answerer": _plain(self.answerer)} if self.answerer is not None else {}),
            "vzgym": _version(),
        }

    def _reward(self) -> Any:
        """The reward as data: a name or a mapping as given, else what builds an equal one; None if nothing does."""
        if isinstance(self.reward, (str, Mapping)):
            given = _plain(self.reward)
            # A file may change, and a mapping may hold objects.
            if not (isinstance(given, str) and is_yaml_path(given)) and make_reward(given) == self.mix:
                return given
        try:
            return self.mix.to_spec()
        except InvalidSetting:
            return None

    def env(self) -> VideoZoomEnv:
        """An environment of the kind that the policy plays in."""
        if isinstance(self.policy, TextPolicy):
            observation: ModuleSpec = "dialogue"
            action: ModuleSpec = {"name": "text", "protocol": getattr(self.policy, "protocol", "tags")}
        else:
            observation = getattr(self.policy, "observation", "default")
            action = getattr(self.policy, "action", "default")
        # What is known only later is scored later: no word about it yet.
        reward = self.mix.with_context(quiet=True) if self.mix.later else self.mix
        with prepared_by_policy():
            return VideoZoomEnv(self.tasks, observation=observation, action=action, reward=reward, budget=self.budget)

    def recipe(
        self,
        policy: AnyPolicy | str | Mapping[str, Any],
        budget: BudgetSpec,
        workers: int,
    ) -> Callable[[], Run] | None:
        """What makes this run again in another process; None where there is to be no other.

        Args:
            policy: The policy as it was given.
            budget: The budget as it was given, before the policy prepared for it.
            workers: How many processes play.

        Raises:
            InvalidSetting: If `workers` is below 1, or policy or reward cannot be made again.
        """
        if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)) or workers < 1:
            raise InvalidSetting(f"workers must be a whole number >= 1, got {workers!r}")
        if workers == 1:
            return None
        reward = self._reward()
        if not isinstance(policy, (str, Mapping)) or reward is None:
            raise InvalidSetting(
                "several workers each make their own policy and reward: give both by name, mapping or 'module:Class', "
                f"not policy={redact(policy)!r}, reward={self.reward!r}"
            )
        return partial(Run.of, policy, self.tasks, budget, reward, self.seed, self.samples, None)

    def settled(
        self, playing: Iterator[tuple[int, EpisodeRecord]], done: Mapping[int, EpisodeRecord]
    ) -> Generator[tuple[int, EpisodeRecord]]:
        """Records as they are played, each once the roll-outs of its task are complete, and scored by then.

        Args:
            playing: Finished records with their indices, in order: `samples` for each task.
            done: Episodes that were played before, by index: they belong to the groups of those that are to come.
        """
        group: dict[int, EpisodeRecord] = {}
        for index, record in playing:
            if group and index // self.samples != next(iter(group)) // self.samples:
                yield from self._settle(group, done)
                group = {}
            group[index] = record
            if self.samples == 1:
                yield from self._settle(group, done)
                group = {}
        yield from self._settle(group, done)

    def _settle(
        self, group: Mapping[int, EpisodeRecord], done: Mapping[int, EpisodeRecord]
    ) -> Iterator[tuple[int, EpisodeRecord]]:
        """Score what can only be scored now: the roll-outs of one task are complete."""
        for record in group.values():
            if self.answerer is not None and record.task.answer and record.end is not End.VIDEO_ERROR:
                record.set_info(counterfactual=credit(record, self.answerer).to_json())
        if self.mix.later:
            # Those of the same task that were played before: they have their rewards already.
            first = next(iter(group), 0) // self.samples * self.samples
            before = [done[index] for index in range(first, first + self.samples) if index in done]
            records = [*group.values(), *before]
            ledgers = rescore(self.mix, records, replace(self.mix.context, answerer=self.answerer))
            for record, ledger in zip(group.values(), ledgers, strict=False):
                record.rewards = [entry.to_json() for entry in ledger]
        yield from group.items()

    def play_elsewhere(
        self, recipe: Callable[[], Run], indices: Sequence[int], workers: int
    ) -> Generator[tuple[int, EpisodeRecord]]:
        """As `play_now`, in processes of their own; in batches of the same episodes."""
        with closing(spread(recipe, self._batches(indices), workers)) as played:
            for records, failed in played:
                self.failed.update(failed)
                yield from records

    def play_now(self, indices: Sequence[int]) -> Generator[tuple[int, EpisodeRecord]]:
        """Play these episodes; yields each finished record with its index, in order."""
        if isinstance(self.policy, TextPolicy):
            for batch in self._batches(indices):
                yield from self._play_batch(self.policy, batch)
            return
        env = self.env()
        for index in indices:
            record = self._play_one(self.policy, env, index)
            if record is not None:
                yield index, record

    def _batches(self, indices: Sequence[int]) -> list[list[int]]:
        """Indices by the batch that they have in the whole run, so that a run that goes on forms the same ones."""
        size = self.batch_size
        return [list(batch) for _, batch in groupby(indices, lambda index: index // size)]

    def _episode_seed(self, index: int) -> int:
        task, sample = divmod(index, self.samples)
        entropy = [self.seed, task, sample] if sample else [self.seed, task]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def _task(self, index: int) -> VideoTask:
        return self.tasks[index // self.samples]

    def _start(self, env: VideoZoomEnv, index: int, task: VideoTask) -> tuple[Any, dict[str, Any]] | None:
        """Reset to a task; None, and noted, if its video cannot be opened or does not hold its evidence."""
        try:
            return env.reset(seed=self._episode_seed(index), options={"task": task})
        except (VideoError, TaskError) as error:
            self.failed[task.id] = str(error)
            task.video.close()
            return None

    def _finish(self, env: VideoZoomEnv, index: int, clock: _Clock) -> EpisodeRecord:
        record = env.record
        record.set_info(
            policy=self.name,
            index=index,
            seed=self.seed,
            wall_seconds=round(clock.wall, 6),
            tool_seconds=round(clock.tool, 6),
            model_seconds=round(clock.model, 6),
            reward=self._reward(),
            vzgym=_version(),
        )
        if self.samples > 1:
            record.set_info(sample=index % self.samples)
        # A language model takes its frames from the messages; any other policy sees its observation alone.
        if not isinstance(self.policy, TextPolicy) and not getattr(env.observation, "shows_frames", True):
            record.set_info(sees_frames=False)
        return record

    def _play_one(self, policy: Policy, env: VideoZoomEnv, index: int) -> EpisodeRecord | None:
        task = self._task(index)
        clock = _Clock()
        begun = self._start(env, index, task)
        clock.tool += clock.lap()
        if begun is None:
            return None
        with closing(env):
            observation, info = begun
            if hasattr(policy, "reveal"):
                policy.reveal(task)
            policy.reset(self._episode_seed(index))
            ended = False
            while not ended:
                action = policy.act(observation, info)
                clock.model += clock.lap()
                observation, _, terminated, truncated, info = env.step(action)
                clock.tool += clock.lap()
                ended = terminated or truncated
        clock.tool += clock.lap()
        clock.wall = clock.tool + clock.model
        return self._finish(env, index, clock)

    def _play_batch(self, policy: TextPolicy, indices: Sequence[int]) -> Iterator[tuple[int, EpisodeRecord]]:
        envs: dict[int, VideoZoomEnv] = {}
        tasks: list[VideoTask] = []
        clocks: dict[int, _Clock] = {}
        shared = _Clock()
        with ExitStack() as stack:
            for index in indices:
                env, task = self.env(), self._task(index)
                clocks[index] = _Clock()
                if self._start(env, index, task) is not None:
                    envs[index] = stack.enter_context(closing(env))
                    tasks.append(task)
                clocks[index].tool += clocks[index].lap()
            if not envs:
                return
            if hasattr(policy, "reveal"):
                policy.reveal(tasks)
            policy.reset([self._episode_seed(index) for index in envs])
            running = list(envs)
            places = {index: place for place, index in enumerate(envs)}
            spending = Spending(len(envs))
            while running:
                # Tuples: the environment's own lists grow, and belong in the record.
                thinking = _Clock()
                texts = policy.respond([tuple(envs[index].episode.messages) for index in running])
                each = thinking.lap() / len(running)
                spending.add(policy, [places[index] for index in running])
                for index, text in zip(running, self._checked(texts, len(running)), strict=True):
                    clocks[index].model += each
                    clocks[index].lap()
                    envs[index].step(text)
                    clocks[index].tool += clocks[index].lap()
                running = [index for index in running if not envs[index].episode.ended]
        # A batch is played together: each of its episodes took its share.
        share = shared.lap() / len(envs)
        for index, env in envs.items():
            clocks[index].wall = share
            spending.note(places[index], env.record)
            yield index, self._finish(env, index, clocks[index])

    def _checked(self, texts: object, wanted: int) -> Sequence[str]:
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise InvalidSetting(f"respond() of policy {self.name!r} must return a list of texts, got {texts!r:.100}")
        wrong = [text for text in texts if not isinstance(text, str)]
        if wrong:
            raise InvalidSetting(f"respond() of policy {self.name!r} must return texts, got {wrong[0]!r:.100}")
        if len(texts) != wanted:
            raise InvalidSetting(
                f"respond() of policy {self.name!r} gave {len(texts)} texts for {wanted} dialogues: one each, in order"
            )
        return texts
