"""Cold-start data: trajectories by scripted experts, by deliberate blunderers and by policies, filtered.

The paper's two sorts (VideoZoomer, section 3.2) are `exemplar` and `reflection`; with a policy, `policy` is rejection
sampling, and `continued` or `taught` are its wrong roll-outs continued by the expert or by a teacher (the paper's own
way, for videos that no expert knows). Other kinds make a cold start weaker on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from vzgym.agents.data.scripts import KINDS, Player, Voice, resume_with_expert
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.data.teaching import HINT, goes_back, kept_turns, speak
from vzgym.agents.data.thoughts import compose, think
from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, VideoError
from vzgym.core.secrets import redact
from vzgym.envs.actions import ACTIONS, Move
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.episode import evidence_shown
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.policies.policy import POLICIES, AnyPolicy, Policy, TextPolicy, add_spent
from vzgym.protocols.base import PROTOCOLS, TextProtocol
from vzgym.tasks import TaskSet, load_tasks
from vzgym.tasks.task import VideoTask

__all__ = ["Collector", "Trajectory"]


@dataclass(frozen=True)
class Trajectory:
    """A played trajectory and what became of it.

    Attributes:
        index: The task's index.
        sample: Which of the task's roll-outs.
        kind: A key of `KINDS`.
        record: The episode, pixels included.
        reflects: Whether it goes back on a mistake, in words.
        rejected: The filter that it failed; "" if it is kept.
    """

    index: int
    sample: int
    kind: str
    record: EpisodeRecord
    reflects: bool
    rejected: str = ""


class Collector:
    """Plays trajectories, task by task: the same ones for the same settings, however the work is cut into parts.

    Args:
        settings: What to collect.
        policy: A finished policy in place of `settings.policy`.
        teacher: A finished policy in place of `settings.teacher`.

    Attributes:
        settings: As given.
        tasks: The task set.
        budget: What may be looked at.
        protocol: The text protocol.
        failed: Tasks that could not be played, with the reason: their video cannot be opened, or does not hold their
            evidence.

    Raises:
        InvalidSetting: If a setting cannot work.
        UnknownName: If a name is not registered.
    """

    def __init__(
        self, settings: CollectSettings, policy: AnyPolicy | None = None, teacher: AnyPolicy | None = None
    ) -> None:
        self.settings = settings
        self.tasks: TaskSet = load_tasks(settings.tasks)
        last = settings.start + settings.episodes
        if last > len(self.tasks):
            raise InvalidSetting(
                f"{self.tasks.name!r} has {len(self.tasks)} tasks, fewer than start + episodes = {last}"
            )
        budget = settings.budget_for(self.tasks)
        self._shares = settings.shares
        played = [kind for kind in self._shares if KINDS[kind].script is None]
        chosen: AnyPolicy | None = policy
        if chosen is None and played:
            if not settings.policy:
                raise InvalidSetting(f"the mixture asks for {', '.join(played)}, which need a policy: --policy NAME")
            made: AnyPolicy = POLICIES.make(settings.policy)
            chosen = made
        self._policy = chosen
        self._batch_size = int(getattr(chosen, "batch_size", 8))
        if chosen is not None and not isinstance(chosen, (TextPolicy, Policy)):
            raise InvalidSetting(f"{redact(settings.policy)!r} is no policy: it has neither respond nor act")
        prepare = getattr(chosen, "prepare", None)
        self.budget: Budget = prepare(budget) if prepare else budget
        spec = settings.protocol or getattr(chosen, "protocol", None) or "tags"
        self.protocol: TextProtocol = PROTOCOLS.make(spec)
        self.voice = Voice(self.protocol, settings.thoughts, settings.wordings or None)
        self.failed: dict[str, str] = {}
        # Looked up once: it reads the installed package's files.
        self._version = version("vzgym")
        self._teacher = self._find_teacher(teacher) if "taught" in self._shares else None

    @property
    def players(self) -> dict[str, Any]:
        """Who plays and teaches, as what tells their trajectories from others'; see `Policy`."""
        found = {"policy": self._policy, "teacher": self._teacher if self.settings.teacher else None}
        identities = {role: getattr(player, "identity", None) for role, player in found.items()}
        return {role: identity for role, identity in identities.items() if identity is not None}

    def _find_teacher(self, given: AnyPolicy | None) -> TextPolicy:
        settings = self.settings
        made: Any = given or (POLICIES.make(settings.teacher) if settings.teacher else self._policy)
        if not isinstance(made, TextPolicy):
            given_as = redact(settings.teacher or settings.policy)
            raise InvalidSetting(f"a teacher must be a text policy: {given_as!r} has no respond()")
        if getattr(self.protocol, "think", "required") == "none":
            raise InvalidSetting(f"{dict(self.protocol.spec)} has no thoughts: a teacher could not say what was wrong")
        spoken = dict(PROTOCOLS.make(getattr(made, "protocol", "tags")).spec)
        if spoken != dict(self.protocol.spec):
            raise InvalidSetting(
                f"the teacher speaks {spoken}, but the trajectories are in {dict(self.protocol.spec)}: give both the "
                "same protocol"
            )
        if made is not self._policy and hasattr(made, "prepare"):
            made.prepare(self.budget)
        return made

    def kind_of(self, index: int) -> str:
        """Which kind task `index` is played as."""
        draw = np.random.default_rng([self.settings.seed, index, 0]).random()
        edges = np.cumsum(list(self._shares.values()))
        return list(self._shares)[min(int(np.searchsorted(edges, draw, side="right")), len(edges) - 1)]

    def play(self, indices: Sequence[int]) -> Iterator[Trajectory]:
        """Play tasks; yields every trajectory, kept or rejected, in order of index and sample."""
        # A policy plays few tasks at a time: their frames are all in memory.
        size = max(1, math.ceil(self._batch_size / self.settings.samples))
        for first in range(0, len(indices), size):
            chunk = indices[first : first + size]
            rollouts = self._rollouts([index for index in chunk if KINDS[self.kind_of(index)].script is None])
            taught = self._taught({i: played for i, played in rollouts.items() if self.kind_of(i) == "taught"})
            for index in chunk:
                if index in rollouts:
                    yield from self._from_policy(index, self.kind_of(index), rollouts[index], taught)
                else:
                    yield from self._from_script(index, self.kind_of(index))

    def _from_script(self, index: int, kind: str) -> Iterator[Trajectory]:
        script = KINDS[kind].script
        assert script is not None
        task = self.tasks[index]
        try:
            player = Player(task, self.budget, self.voice, self._seed(index, 1))
        except (VideoError, TaskError) as error:
            self.failed[task.id] = str(error)
            return
        try:
            script(player)
        except TaskError as error:
            # Nobody can be told what is not known of the task.
            self.failed[task.id] = str(error)
            return
        finally:
            task.video.close()
        if KINDS[kind].reflects and not player.reflects:
            # There is no mistake to be made here: what was played is an exemplar.
            kind = "exemplar"
        yield self._judge(index, 0, kind, player.episode.record, lucky=player.lucky)

    def _from_policy(
        self,
        index: int,
        kind: str,
        records: Sequence[EpisodeRecord],
        taught: Mapping[tuple[int, int], tuple[EpisodeRecord, int]],
    ) -> Iterator[Trajectory]:
        for sample, record in enumerate(records):
            if kind == "policy":
                yield self._judge(index, sample, kind, record)
                continue
            if kind == "taught" and (index, sample) in taught:
                mended, kept = taught[index, sample]
                yield self._judge(index, sample, kind, mended, kept=kept)
                continue
            if kind == "taught" or not _is_wrong(record):
                # Only what went wrong can be mended; a right roll-out is worth keeping as it is.
                yield self._judge(index, sample, "policy", record)
                continue
            task = self.tasks[index]
            better = resume_with_expert(record, task, self.voice, self._seed(index, 2 + sample))
            task.video.close()
            if better is None:
                yield self._judge(index, sample, "policy", record)
            else:
                yield self._judge(index, sample, kind, better)

    def _judge(
        self, index: int, sample: int, kind: str, record: EpisodeRecord, *, lucky: bool = False, kept: int = 0
    ) -> Trajectory:
        grade = record.grade
        passes = {
            "correct": grade is not None and grade.is_correct,
            "well_formed": grade is not None and bool(record.turns) and all(t.well_formed for t in record.turns),
            "evidence": evidence_shown(record) is not False,
            "reflection": kind != "taught" or goes_back(record, kept),
        }
        skipped = KINDS[kind].skips
        rejected = next((name for name in self.settings.filters if name not in skipped and not passes[name]), "")
        record.set_info(
            kind=kind,
            index=index,
            sample=sample,
            seed=self.settings.seed,
            interface="collect",
            vzgym=self._version,
        )
        # A "mistake" that showed the event all the same: what is thought of it afterwards would be untrue.
        return Trajectory(index, sample, kind, record, KINDS[kind].reflects, "lucky" if lucky else rejected)

    def _seed(self, index: int, use: int) -> int:
        return int(np.random.SeedSequence([self.settings.seed, index, use]).generate_state(1)[0])

    # A policy's roll-outs ------------------------------------------------------------------------------------------

    def _rollouts(self, indices: Sequence[int]) -> dict[int, list[EpisodeRecord]]:
        """All samples of these tasks."""
        found: dict[int, list[EpisodeRecord]] = {index: [] for index in indices}
        jobs = [(index, sample) for index in indices for sample in range(self.settings.samples)]
        if isinstance(self._policy, TextPolicy):
            for first in range(0, len(jobs), self._batch_size):
                for (index, _), record in self._speak(self._policy, jobs[first : first + self._batch_size]):
                    found[index].append(record)
        elif isinstance(self._policy, Policy):
            for index, sample in jobs:
                played = self._act(self._policy, index, sample)
                if played is not None:
                    found[index].append(played)
        return found

    def _taught(
        self, rollouts: Mapping[int, Sequence[EpisodeRecord]]
    ) -> dict[tuple[int, int], tuple[EpisodeRecord, int]]:
        """Wrong roll-outs that the teacher went on from, and how many of their turns were kept, by index and sample."""
        wrong = {
            (index, sample): (record, turns)
            for index, records in rollouts.items()
            for sample, record in enumerate(records)
            if _is_wrong(record) and (turns := kept_turns(record))
        }
        if not wrong or self._teacher is None:
            return {}
        episodes = {}
        for job, (_, turns) in wrong.items():
            task = self.tasks[job[0]]
            try:
                episode = Episode(task, self.budget, self.protocol)
            except (VideoError, TaskError) as error:
                self.failed[task.id] = str(error)
                continue
            for turn in turns:
                episode.step(turn.action, text=turn.text, well_formed=turn.well_formed)
            episodes[job] = episode
        self._teacher.reset([self._seed(index, 1002 + sample) for index, sample in episodes])
        speak(self._teacher, list(episodes.values()), self.protocol, HINT)
        for job, episode in episodes.items():
            episode.task.video.close()
            # What the wrong roll-out cost was spent for this one.
            add_spent(episode.record, wrong[job][0])
        return {job: (episode.record, len(wrong[job][1])) for job, episode in episodes.items()}

    def _speak(
        self, policy: TextPolicy, jobs: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, int], EpisodeRecord]]:
        episodes: dict[tuple[int, int], Episode] = {}
        for job in jobs:
            task = self.tasks[job[0]]
            try:
                episodes[job] = Episode(task, self.budget, self.protocol)
            except (VideoError, TaskError) as error:
                self.failed[task.id] = str(error)
        reveal = getattr(policy, "reveal", None)
        if reveal:
            reveal([episode.task for episode in episodes.values()])
        policy.reset([self._seed(index, 2 + sample) for index, sample in episodes])
        speak(policy, list(episodes.values()), self.protocol)
        for job, episode in episodes.items():
            episode.task.video.close()
            yield job, episode.record

    def _act(self, policy: Policy, index: int, sample: int) -> EpisodeRecord | None:
        task: VideoTask = self.tasks[index]
        seed = self._seed(index, 2 + sample)
        env = VideoZoomEnv(
            [task],
            observation=getattr(policy, "observation", "default"),
            action=_Spoken(getattr(policy, "action", "default"), self.voice, np.random.default_rng(seed)),
            budget=self.budget,
        )
        try:
            observation, info = env.reset(seed=seed, options={"task": task})
        except (VideoError, TaskError) as error:
            self.failed[task.id] = str(error)
            return None
        reveal = getattr(policy, "reveal", None)
        if reveal:
            reveal(task)
        policy.reset(seed)
        ended = False
        while not ended:
            observation, _, terminated, truncated, info = env.step(policy.act(observation, info))
            ended = terminated or truncated
        env.close()
        return env.record


def _is_wrong(record: EpisodeRecord) -> bool:
    """Whether a roll-out was judged, and not right."""
    return record.grade is not None and record.grade.score == 0.0


class _Spoken:
    """Puts a policy's structured actions into the protocol's words (an action module)."""

    def __init__(self, action: Any, voice: Voice, rng: np.random.Generator) -> None:
        self._inner = ACTIONS.make(action)
        self._voice = voice
        self._rng = rng

    @property
    def wording(self) -> TextProtocol:
        return self._voice.protocol

    def space(self, budget: Budget) -> Any:
        return self._inner.space(budget)

    def decode(self, value: Any, episode: Episode) -> Move:
        move = self._inner.decode(value, episode)
        action = move.action
        if move.text is not None or not isinstance(action, (Zoom, Answer)):
            return move
        if isinstance(action, Zoom):
            facts: dict[str, Any] = {"from": action.start, "to": action.end, "fps": action.fps}
        else:
            facts = {"answer": action.text}
        reason = "zoom" if isinstance(action, Zoom) else "answer"
        thought = think(self._voice.book, reason, facts, self._rng, self._voice.wordings)
        text = compose(self._voice.protocol, action, thought)
        # Words round numbers: play what was said, so that the text alone gives the same episode.
        return Move(self._voice.protocol.parse(text).action, text, True)
