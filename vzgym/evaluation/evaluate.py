"""Plays a policy on a set of tasks and reports what came of it, with intervals."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.baselines.policy import POLICIES, AnyPolicy, Policy, TextPolicy
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.envs.video_zoom import ModuleSpec, VideoZoomEnv
from vzgym.episode.record import End, EpisodeRecord
from vzgym.evaluation.counterfactual import PolicyAnswerer, make_answerer
from vzgym.evaluation.metrics import EpisodeMetrics, summarise, total_costs
from vzgym.evaluation.runs import RunFolder
from vzgym.evaluation.statistics import Estimate
from vzgym.evaluation.taxonomy import FINDINGS, Finding
from vzgym.evaluation.workers import spread
from vzgym.rewards.base import Answerer
from vzgym.rewards.counterfactual import credit
from vzgym.rewards.group import rescore
from vzgym.rewards.mix import RewardMix, RewardSpec, make_reward
from vzgym.rewards.yaml_file import is_yaml_path
from vzgym.tasks import TaskSet, TaskSpec, VideoTask, load_tasks
from vzgym.tasks.placement import Placement

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
        hit_rate: Where the budget has no zooms: the mean probability, over the tasks' own placement of their event,
            that the frames show all that is needed; None where zooms are possible or the tasks do not say.
        failed: Tasks whose video could not be opened, with the reason; they count nowhere else.
        samples: How often each task was played.
    """

    policy: str
    tasks: str
    seed: int
    budget: Budget
    privileged: bool
    episodes: list[EpisodeMetrics]
    hit_rate: float | None = None
    failed: dict[str, str] = field(default_factory=dict)
    samples: int = 1

    @property
    def summary(self) -> dict[str, Estimate]:
        """Each metric's mean and 95 % interval; over tasks, if each was played several times."""
        return summarise(self.episodes, by_task=self.samples > 1)

    @property
    def accuracy(self) -> Estimate:
        """Share of right answers among the scored episodes."""
        return self.summary["correct"]

    def by_category(self) -> dict[str, dict[str, Estimate]]:
        """The summary of each category of tasks."""
        categories = sorted({item.category for item in self.episodes})
        return {
            name: summarise([item for item in self.episodes if item.category == name], by_task=self.samples > 1)
            for name in categories
        }

    @property
    def taxonomy(self) -> dict[Finding, int]:
        """How many episodes fall into each class; all classes, in the order of `FINDINGS`."""
        counts = Counter(item.finding for item in self.episodes)
        return {finding: counts[finding] for finding in FINDINGS}

    @property
    def totals(self) -> dict[str, float]:
        """What the whole run cost: the sum of each entry of the cost ledger."""
        return total_costs(self.episodes)

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
            "samples": self.samples,
            "taxonomy": {str(finding): count for finding, count in self.taxonomy.items()},
            "totals": self.totals,
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
    samples: int = 1,
    answerer: Answerer | str | None = None,
    workers: int = 1,
) -> Report:
    """Play a policy on the first `episodes` tasks of a set.

    Args:
        policy: A `Policy` or `TextPolicy`: an object, a registered name ("oracle"), `"module:Class"`, or a mapping
            `{"name": ..., **options}`.
        tasks: A suite ("needle"; its test split unless it names one), a JSONL file, a task, tasks, or a task set.
        episodes: How many tasks; 200 if not given, or as many as there are.
        seed: Of the policy's randomness, >= 0; the tasks are the same for every seed.
        budget: What may be looked at; what the tasks were built for if not given.
        reward: The reward whose ledger the records keep.
        out: A folder for `records.jsonl`, `run.json` and `report.json`. A run that was stopped goes on there.
        on_episode: Called after each episode with its record (with pixels, unless there are several workers): for
            progress bars and pictures.
        samples: How often each task is played, each time with another seed of the policy. The roll-outs of a task are a
            group for the reward's group terms, and count as one observation in every interval.
        answerer: Who answers again from chosen clips, for `useful_zooms` and for reward terms that need it: "reader"
            (the procedural families' reader), "policy" (the very policy), or an object. Nobody, if not given.
        workers: How many processes play. The records are the same, in the same order, for any number. With more than
            one, each process makes its own policy: it and the reward are given by name, mapping or `"module:Class"`,
            and a script calls this function below `if __name__ == "__main__":`.

    Returns:
        The report.

    Raises:
        InvalidSetting: If `policy` is no policy, a setting is out of range, there are fewer tasks than `episodes`, or
            `out` holds another run.
        VideoError: If no task's video could be opened. Single ones are listed in `Report.failed`.
        UnknownName: If a name is not registered.
        WorkerError: If one of several workers dies. A run with `out` goes on where it stopped.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InvalidSetting(f"seed must be a whole number >= 0, got {seed!r}")
    task_set = load_tasks(tasks, split="test")
    count = _how_many(episodes, task_set)
    # Everything that can be wrong with the settings comes to light before a folder is made for them.
    run = _Run.of(policy, task_set, budget, reward, int(seed), samples, answerer)
    recipe = run.recipe(policy, budget, workers)
    units = count * run.samples
    folder = RunFolder(out, run.settings(policy, count)) if out is not None else None
    done = folder.finished if folder else {}
    measured: dict[int, EpisodeMetrics] = {}
    hits: dict[int, float] = {}

    def measure(index: int, record: EpisodeRecord) -> None:
        measured[index] = EpisodeMetrics.of(record)
        chance = _hit_rate(record)
        if chance is not None:
            hits[index] = chance

    with ExitStack() as stack:
        if folder:
            stack.callback(folder.close)
        for index, record in done.items():
            if index < units:
                _check_same(record, task_set[index // run.samples], index, out)
                measure(index, record)
        pending = [index for index in range(units) if index not in done]
        fresh = run.play_now(pending) if recipe is None else run.play_elsewhere(recipe, pending, workers)
        playing = stack.enter_context(closing(run.settled(stack.enter_context(closing(fresh)), done)))
        for index, record in playing:
            measure(index, record)
            if folder:
                folder.add(record)
            if on_episode:
                on_episode(record)
    if run.failed and not measured:
        reason = next(iter(run.failed.values()))
        raise VideoError(f"none of the {count} videos could be opened; the first: {reason}", path=task_set.name)
    report = Report(
        policy=run.name,
        tasks=task_set.name,
        seed=run.seed,
        budget=run.budget,
        privileged=hasattr(run.policy, "reveal"),
        episodes=[measured[index] for index in sorted(measured)],
        hit_rate=float(np.mean([hits[index] for index in sorted(hits)])) if hits else None,
        failed=run.failed,
        samples=run.samples,
    )
    if folder:
        folder.write_report(report.to_json())
    return report


def _how_many(episodes: int | None, tasks: TaskSet) -> int:
    if episodes is None:
        return min(_DEFAULT_EPISODES, len(tasks))
    whole = isinstance(episodes, (int, np.integer)) and not isinstance(episodes, bool)
    if not whole or not 1 <= episodes <= len(tasks):
        raise InvalidSetting(f"episodes must be 1 to {len(tasks)}, the size of {tasks.name!r}, got {episodes!r}")
    return int(episodes)


def _json_budget(budget: Budget) -> dict[str, Any]:
    # JSON has no infinity, which `overview_fps` may be.
    return {key: value if math.isfinite(value) else str(value) for key, value in budget.to_dict().items()}


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


def _check_same(record: EpisodeRecord, task: VideoTask, index: int, folder: object) -> None:
    """Two files of tasks may have the same name: what was played must be what would be played now."""
    for what, there, wanted in (("", record.task.id, task.id), ("question of ", record.task.question, task.question)):
        if there != wanted:
            raise InvalidSetting(
                f"{folder} holds another run: its {what}task {index} is {there!r}, not {wanted!r}; "
                "choose another folder, or delete this one"
            )


def _hit_rate(record: EpisodeRecord) -> float | None:
    """Analytic hit rate of the overview, where the overview is all there is to see."""
    placement = record.task.metadata.get("placement")
    if record.budget.max_zooms or placement is None:
        return None
    return Placement.from_dict(placement).hit_rate(record.overview.times)


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
class _Run:
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
        budget: Budget | Mapping[str, object] | None,
        reward: RewardSpec,
        seed: int,
        samples: int,
        answerer: Answerer | str | None,
    ) -> _Run:
        """Make and check everything that a run needs."""
        player = POLICIES.make(policy)
        if isinstance(player, type):
            raise InvalidSetting(f"a policy is an object, got the class {player.__name__}: call it")
        if not isinstance(player, (Policy, TextPolicy)):
            raise InvalidSetting(
                f"{policy!r} is no policy: it needs reset(seed) and act(observation, info), or reset(seeds) and "
                "respond(dialogues)"
            )
        if budget is None:
            budget = tasks.budget
        budget = budget if isinstance(budget, Budget) else Budget.from_mapping(budget)
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
        options = {key: value for key, value in policy.items() if key != "name"} if isinstance(policy, Mapping) else {}
        return {
            "policy": self.name,
            "options": _plain(options),
            "tasks": self.tasks.name,
            "episodes": episodes,
            "seed": self.seed,
            "budget": _json_budget(self.budget),
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
        return VideoZoomEnv(self.tasks, observation=observation, action=action, reward=reward, budget=self.budget)

    def recipe(
        self,
        policy: AnyPolicy | str | Mapping[str, Any],
        budget: Budget | Mapping[str, object] | None,
        workers: int,
    ) -> Callable[[], _Run] | None:
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
                f"not policy={policy!r}, reward={self.reward!r}"
            )
        return partial(_Run.of, policy, self.tasks, budget, reward, self.seed, self.samples, None)

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
                record.info["counterfactual"] = credit(record, self.answerer).to_json()
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
        self, recipe: Callable[[], _Run], indices: Sequence[int], workers: int
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
        """Reset to a task; None, and noted, if its video cannot be opened."""
        try:
            return env.reset(seed=self._episode_seed(index), options={"task": task})
        except VideoError as error:
            self.failed[task.id] = str(error)
            task.video.close()
            return None

    def _finish(self, env: VideoZoomEnv, index: int, clock: _Clock) -> EpisodeRecord:
        record = env.record
        record.info.update(
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
            record.info["sample"] = index % self.samples
        # A language model takes its frames from the messages; any other policy sees its observation alone.
        if not isinstance(self.policy, TextPolicy) and not getattr(env.observation, "shows_frames", True):
            record.info["sighted"] = False
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
            while running:
                # Tuples: the environment's own lists grow, and belong in the record.
                thinking = _Clock()
                texts = policy.respond([tuple(envs[index].episode.messages) for index in running])
                each = thinking.lap() / len(running)
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
