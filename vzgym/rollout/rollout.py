"""The roll-out loop: plays episodes with a policy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, VideoError
from vzgym.envs.actions import ActionModule
from vzgym.envs.observations import ObservationModule
from vzgym.envs.video_zoom import ModuleSpec, VideoZoomEnv
from vzgym.episode.dialogue import Message, TextBlock
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Turn
from vzgym.episode.wording import Wording
from vzgym.policies.policy import AnyPolicy, TextPolicy
from vzgym.policies.traits import PolicyTraits, add_costs
from vzgym.rewards.making import RewardSpec
from vzgym.tasks import TaskSpec, VideoTask, load_tasks
from vzgym.tasks.budgets import prepared_by_policy
from vzgym.tools.extras import Extras

__all__ = ["EpisodeStart", "PlayedEpisode", "Rollout"]


@dataclass(frozen=True)
class EpisodeStart:
    """The start of a roll-out.

    Attributes:
        task: The task.
        seed: Seed of the policy, >= 0.
        turns: Turns of another roll-out of the task, replayed before the policy's first turn.
        hint: Text appended to the last message of the start for a `TextPolicy`, in each of its turns. Not recorded.
        budget: Replaces the roll-out's budget, to compare roll-outs of one task under several budgets.
    """

    task: VideoTask
    seed: int
    turns: Sequence[Turn] = ()
    hint: str = ""
    budget: Budget | None = None
    selects_overview: ClassVar[bool] = True
    """Whether a policy that selects its overview may do so."""

    def make_episode(
        self, budget: Budget, wording: Wording, extras: Extras, overview: NDArray[np.float64] | None = None
    ) -> Episode:
        """Create the episode that the policy continues.

        Args:
            budget: The roll-out's budget.
            wording: The wording of the dialogue.
            extras: Tools, and subtitles in the dialogue.
            overview: Times of the overview that the policy selected, if it does.

        Raises:
            VideoError: If the task's video cannot be opened.
            TaskError: If the task's evidence lies outside its video.
        """
        episode = extras.episode(self.task, self.budget or budget, wording, overview=overview)
        for turn in self.turns:
            episode.step(turn.action, text=turn.text, well_formed=turn.well_formed)
        return episode


@dataclass(frozen=True)
class PlayedEpisode:
    """A finished roll-out.

    Attributes:
        record: The episode, including pixels.
        wall_seconds: Wall time; the episodes of a batch share it equally.
        tool_seconds: Part of it spent in the environment.
        model_seconds: Part of it spent in the policy.
    """

    record: EpisodeRecord
    wall_seconds: float
    tool_seconds: float
    model_seconds: float


class Rollout:
    """Plays a policy in `VideoZoomEnv`: a `Policy` one episode after another, a `TextPolicy` in batches.

    Args:
        policy: The policy, after `PolicyTraits.prepare`.
        tasks: The tasks of the environments.
        budget: The budget.
        reward: The reward whose ledger is stored in the records; None for no rewards.
        observation: An observation module in place of the policy's own.
        action: An action module in place of the policy's own.
        extras: Tools, and subtitles in the dialogue.

    Attributes:
        traits: The policy's traits.
        failed: Tasks that could not be played, with the reason: their video could not be opened, or failed while the
            policy read it.

    Raises:
        InvalidSetting: If a module cannot be created, or the policy's traits are invalid.
        UnknownName: If a module or reward is not registered.
    """

    def __init__(
        self,
        policy: AnyPolicy,
        tasks: TaskSpec,
        budget: Budget,
        *,
        reward: RewardSpec | None = None,
        observation: ModuleSpec | ObservationModule | None = None,
        action: ModuleSpec | ActionModule | None = None,
        extras: Extras | None = None,
    ) -> None:
        self.traits = PolicyTraits.of(policy)
        self.failed: dict[str, str] = {}
        self._tasks = load_tasks(tasks)
        self._budget = budget
        self._reward = reward
        self._extras = extras or Extras()
        self._observation = observation or self.traits.observation
        self._action = action or self.traits.action
        self._envs = [self._make_env()]

    def play(self, starts: Sequence[EpisodeStart]) -> list[PlayedEpisode | None]:
        """Play episodes to their end, in batches of the policy's batch size.

        Returns:
            The roll-outs, in order; None for a task that could not be played (see `failed`).

        Raises:
            InvalidSetting: If the policy's return value violates its protocol.
        """
        size = self.traits.batch_size
        batches = (starts[first : first + size] for first in range(0, len(starts), size))
        return [played for batch in batches for played in self._play_batch(batch)]

    def _play_batch(self, starts: Sequence[EpisodeStart]) -> list[PlayedEpisode | None]:
        clock = _Clock()
        while len(self._envs) < len(starts):
            self._envs.append(self._make_env())
        with ExitStack() as stack:
            episodes = []
            for env, start in zip(self._envs, starts, strict=False):
                stack.enter_context(closing(env))
                episode = self._start(env, start)
                episodes.append(episode)
                took = clock.lap()
                if episode is not None:
                    episode.tool_seconds += took
            started = [episode for episode in episodes if episode is not None]
            if started:
                self.traits.reveal([episode.start.task for episode in started])
                self._reset([episode.start.seed for episode in started])
                _share(clock.lap(), started)
            running = [episode for episode in started if not episode.env.episode.ended]
            while running:
                try:
                    actions = self._act(running)
                except VideoError as error:
                    # Policies with a scorer read frames themselves. Which episode of a batch it was is unknown.
                    if len(running) > 1:
                        raise
                    failed = running[0]
                    self.failed[failed.start.task.id] = str(error)
                    episodes = [None if episode is failed else episode for episode in episodes]
                    break
                _share(clock.lap(), running)
                for episode, action in zip(running, actions, strict=True):
                    episode.observation, _, _, _, episode.info = episode.env.step(action)
                    episode.tool_seconds += clock.lap()
                running = [episode for episode in running if not episode.env.episode.ended]
        wall = clock.total / max(1, sum(episode is not None for episode in episodes))
        return [None if episode is None else self._finish(episode, wall) for episode in episodes]

    def _make_env(self) -> VideoZoomEnv:
        with prepared_by_policy():
            return VideoZoomEnv(
                self._tasks,
                observation=self._observation,
                action=self._action,
                reward="accuracy" if self._reward is None else self._reward,
                tools=self._extras.tools,
                subtitles=self._extras.subtitles,
                budget=self._budget,
            )

    def _start(self, env: VideoZoomEnv, start: EpisodeStart) -> _Running | None:
        began = time.perf_counter()
        try:
            selected = self.traits.overview(start.task, start.seed) if start.selects_overview else None
        except VideoError as error:
            self._fail(start, error)
            return None
        took = time.perf_counter() - began
        times = None if selected is None else selected.times
        try:
            episode = start.make_episode(self._budget, env.action.wording, self._extras, times)
        except (VideoError, TaskError) as error:
            self._fail(start, error)
            return None
        observation, info = env.reset(seed=start.seed, options={"episode": episode})
        running = _Running(start, env, observation, info, len(episode.messages))
        if selected is not None:
            # The caller adds the time of the whole start to that of the environment.
            running.model_seconds, running.tool_seconds = took, -took
            running.costs = dict(selected.costs)
        return running

    def _fail(self, start: EpisodeStart, error: Exception) -> None:
        self.failed[start.task.id] = str(error)
        start.task.video.close()

    def _reset(self, seeds: Sequence[int]) -> None:
        policy = self.traits.policy
        if isinstance(policy, TextPolicy):
            policy.reset(list(seeds))
        else:
            (seed,) = seeds
            policy.reset(seed)

    def _act(self, running: Sequence[_Running]) -> Sequence[Any]:
        """One action for each episode."""
        policy = self.traits.policy
        actions: Sequence[Any]
        if isinstance(policy, TextPolicy):
            actions = policy.respond([episode.dialogue for episode in running])
            self._check_texts(actions, len(running))
        else:
            actions = [policy.act(episode.observation, episode.info) for episode in running]
        for episode, costs in zip(running, self.traits.latest_costs(len(running)), strict=True):
            episode.costs = add_costs(episode.costs, costs)
        return actions

    def _check_texts(self, texts: object, count: int) -> None:
        where = f"respond() of policy {self.traits.name!r}"
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise InvalidSetting(f"{where} must return a list of texts, got {texts!r:.100}")
        wrong = [text for text in texts if not isinstance(text, str)]
        if wrong:
            raise InvalidSetting(f"{where} must return texts, got {wrong[0]!r:.100}")
        if len(texts) != count:
            raise InvalidSetting(
                f"{where} gave {len(texts)} texts for {count} dialogues: one text for each dialogue, in order"
            )

    def _finish(self, episode: _Running, wall: float) -> PlayedEpisode:
        record = episode.env.record
        if self._reward is None:
            record.rewards = None
        # A language model takes its frames from the messages; any other policy from its observations.
        shows_frames = getattr(episode.env.observation, "shows_frames", True)
        record.set_info(
            costs=episode.costs,
            sees_frames=shows_frames or isinstance(self.traits.policy, TextPolicy),
        )
        return PlayedEpisode(record, wall, episode.tool_seconds, episode.model_seconds)


@dataclass
class _Running:
    """An episode of a batch, in its environment."""

    start: EpisodeStart
    env: VideoZoomEnv
    observation: Any
    info: dict[str, Any]
    opening: int
    """Number of messages at the start."""
    tool_seconds: float = 0.0
    model_seconds: float = 0.0
    costs: dict[str, float] = field(default_factory=dict)

    @property
    def dialogue(self) -> tuple[Message, ...]:
        """The messages so far, with the hint. A tuple, since the environment's own list grows."""
        messages = self.env.episode.messages
        if not self.start.hint:
            return tuple(messages)
        last = messages[self.opening - 1]
        hinted = Message(last.role, (*last.blocks, TextBlock(self.start.hint)))
        return (*messages[: self.opening - 1], hinted, *messages[self.opening :])


class _Clock:
    """Stopwatch for laps of wall time, in seconds."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()

    @property
    def total(self) -> float:
        """Time from the start to the latest lap."""
        return self._last - self._start

    def lap(self) -> float:
        """Time since the latest lap."""
        before, self._last = self._last, time.perf_counter()
        return self._last - before


def _share(seconds: float, running: Sequence[_Running]) -> None:
    """Divide the policy's time equally among the episodes of a batch."""
    for episode in running:
        episode.model_seconds += seconds / len(running)
