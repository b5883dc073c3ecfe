"""Collection of cold-start trajectories from scripts and policies, with filters.

The paper's two kinds (VideoZoomer, section 3.2) are `exemplar` and `reflection`; with a policy, `policy` is rejection
sampling, and `continued` or `taught` are its wrong roll-outs continued by the expert or by a teacher (as in the paper,
for videos without an expert). Other kinds make a cold start deliberately weaker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from vzgym.agents.data.phrases import choose_phrase, compose, windows_of
from vzgym.agents.data.scripted import TRAJECTORY_KINDS, ScriptedRollout, TrajectoryStyle, resume_with_expert
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.data.teaching import HINT, is_reflection, kept_turns
from vzgym.agents.settings import check_first_answer
from vzgym.core.actions import Answer, ToolCall, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, VideoError
from vzgym.core.secrets import redact
from vzgym.envs.actions import ACTIONS, DecodedAction, decode
from vzgym.episode import evidence_shown
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.policies.policy import AnyPolicy, TextPolicy, load_policy
from vzgym.policies.traits import PolicyTraits, add_costs
from vzgym.protocols.base import PROTOCOLS, TextProtocol
from vzgym.rollout.rollout import EpisodeStart, PlayedEpisode, Rollout
from vzgym.tasks import TaskSet, load_tasks

__all__ = ["Collector", "Trajectory"]


@dataclass(frozen=True)
class Trajectory:
    """A played trajectory, kept or rejected.

    Attributes:
        index: The task's index.
        sample: Index of the roll-out of the task.
        kind: A key of `TRAJECTORY_KINDS`.
        record: The episode, pixels included.
        reflects: Whether it explains and corrects a mistake.
        rejected: The filter that it failed; "" if it is kept.
    """

    index: int
    sample: int
    kind: str
    record: EpisodeRecord
    reflects: bool
    rejected: str = ""


class Collector:
    """Plays trajectories task by task; the same settings yield the same ones, however the tasks are split into parts.

    Args:
        settings: What to collect.
        policy: A policy object in place of `settings.policy`.
        teacher: A policy object in place of `settings.teacher`.

    Attributes:
        settings: As given.
        tasks: The task set.
        budget: The budget.
        protocol: The text protocol.
        extras: Tools, and subtitles in the dialogue.
        failed: Tasks that could not be played, with the reason: their video cannot be opened or does not contain their
            evidence.

    Raises:
        InvalidSetting: If a setting is invalid.
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
        played = [kind for kind in self._shares if TRAJECTORY_KINDS[kind].script is None]
        spec = settings.policy if policy is None else policy
        if played and not spec:
            raise InvalidSetting(f"the mixture asks for {', '.join(played)}, which need a policy: --policy NAME")
        self._policy = PolicyTraits.of(load_policy(spec)) if policy is not None or played else None
        self.budget: Budget = self._policy.prepare(budget) if self._policy else budget
        check_first_answer(self.budget, "a scripted trajectory")
        self.extras = settings.extras(self._policy.trained_extras if self._policy else None)
        self.extras.load()
        if self._policy:
            self._policy.describe_tools(self.extras.tools)
        protocol = settings.protocol or (self._policy.protocol if self._policy else "tags")
        self.protocol: TextProtocol = PROTOCOLS.make(protocol)
        self.style = TrajectoryStyle(self.protocol, settings.thoughts, settings.wordings or None)
        self.failed: dict[str, str] = {}
        # Looked up once: it reads the installed package's files.
        self._version = version("vzgym")
        self._teacher = self._find_teacher(teacher) if "taught" in self._shares else None

    @property
    def identities(self) -> dict[str, Any]:
        """The identities of policy and teacher, if any; see `Policy`."""
        found = {"policy": self._policy, "teacher": self._teacher if self.settings.teacher else None}
        return {role: traits.identity for role, traits in found.items() if traits and traits.identity is not None}

    def _find_teacher(self, given: AnyPolicy | None) -> PolicyTraits | None:
        spec = self.settings.teacher if given is None else given
        traits = PolicyTraits.of(load_policy(spec)) if spec else self._policy
        assert traits is not None  # the kind needs a policy
        if not isinstance(traits.policy, TextPolicy):
            given_as = redact(self.settings.teacher or self.settings.policy)
            raise InvalidSetting(f"a teacher must be a text policy: {given_as!r} has no respond()")
        if getattr(self.protocol, "think", "required") == "none":
            raise InvalidSetting(f"{dict(self.protocol.spec)} has no thoughts: a teacher could not say what was wrong")
        teacher_protocol = dict(PROTOCOLS.make(traits.protocol).spec)
        if teacher_protocol != dict(self.protocol.spec):
            raise InvalidSetting(
                f"the teacher's protocol is {teacher_protocol}, but the trajectories are in "
                f"{dict(self.protocol.spec)}: give both the same protocol"
            )
        if traits is not self._policy:
            traits.prepare(self.budget)
            traits.describe_tools(self.extras.tools)
        return traits

    @property
    def batch_size(self) -> int:
        """Number of tasks that are played together; all their frames are in memory."""
        return math.ceil(self._policy.batch_size / self.settings.samples) if self._policy else 1

    def kind_of(self, index: int) -> str:
        """The kind of trajectory of task `index`."""
        draw = np.random.default_rng([self.settings.seed, index, 0]).random()
        edges = np.cumsum(list(self._shares.values()))
        return list(self._shares)[min(int(np.searchsorted(edges, draw, side="right")), len(edges) - 1)]

    def play(self, indices: Sequence[int]) -> Iterator[Trajectory]:
        """Play tasks; yields every trajectory, kept or rejected, in order of index and sample."""
        for first in range(0, len(indices), self.batch_size):
            chunk = indices[first : first + self.batch_size]
            rollouts = self._rollouts([index for index in chunk if self._is_for_policy(index)])
            taught = self._taught({i: played for i, played in rollouts.items() if self.kind_of(i) == "taught"})
            for index in chunk:
                if index in rollouts:
                    yield from self._from_policy(index, self.kind_of(index), rollouts[index], taught)
                else:
                    yield from self._from_script(index, self.kind_of(index))

    def _is_for_policy(self, index: int) -> bool:
        return TRAJECTORY_KINDS[self.kind_of(index)].script is None

    def _from_script(self, index: int, kind: str) -> Iterator[Trajectory]:
        script = TRAJECTORY_KINDS[kind].script
        assert script is not None
        task = self.tasks[index]
        try:
            rollout = ScriptedRollout(task, self.budget, self.style, self._seed(index, 1), self.extras)
        except (VideoError, TaskError) as error:
            self.failed[task.id] = str(error)
            return
        try:
            script(rollout)
        except TaskError as error:
            # A script cannot show unknown evidence.
            self.failed[task.id] = str(error)
            return
        finally:
            task.video.close()
        if TRAJECTORY_KINDS[kind].reflects and not rollout.reflects:
            # No mistake was possible here, so this is an exemplar.
            kind = "exemplar"
        yield self._filter(index, 0, kind, rollout.episode.record, lucky=rollout.lucky)

    def _from_policy(
        self,
        index: int,
        kind: str,
        records: Sequence[EpisodeRecord],
        taught: Mapping[tuple[int, int], tuple[EpisodeRecord, int]],
    ) -> Iterator[Trajectory]:
        for sample, record in enumerate(records):
            if kind == "policy":
                yield self._filter(index, sample, kind, record)
                continue
            if kind == "taught" and (index, sample) in taught:
                continued, kept = taught[index, sample]
                yield self._filter(index, sample, kind, continued, kept=kept)
                continue
            if kind == "taught" or not _is_wrong(record):
                # Only a wrong roll-out is continued; a correct one is kept unchanged.
                yield self._filter(index, sample, "policy", record)
                continue
            task = self.tasks[index]
            better = resume_with_expert(record, task, self.style, self._seed(index, 2 + sample), extras=self.extras)
            task.video.close()
            if better is None:
                yield self._filter(index, sample, "policy", record)
            else:
                yield self._filter(index, sample, kind, better)

    def _filter(
        self, index: int, sample: int, kind: str, record: EpisodeRecord, *, lucky: bool = False, kept: int = 0
    ) -> Trajectory:
        grade = record.grade
        passes = {
            "correct": grade is not None and grade.is_correct,
            "well_formed": grade is not None and bool(record.turns) and all(t.well_formed for t in record.turns),
            "evidence": evidence_shown(record) is not False,
            "reflection": kind != "taught" or is_reflection(record, kept),
        }
        skipped = TRAJECTORY_KINDS[kind].skips
        rejected = next((name for name in self.settings.filters if name not in skipped and not passes[name]), "")
        record.set_info(
            kind=kind,
            index=index,
            sample=sample,
            seed=self.settings.seed,
            interface="collect",
            vzgym=self._version,
        )
        # A "mistake" that showed the event after all: the thought after it would be false.
        return Trajectory(index, sample, kind, record, TRAJECTORY_KINDS[kind].reflects, "lucky" if lucky else rejected)

    def _seed(self, index: int, use: int) -> int:
        return int(np.random.SeedSequence([self.settings.seed, index, use]).generate_state(1)[0])

    # A policy's roll-outs ------------------------------------------------------------------------------------------

    def _rollouts(self, indices: Sequence[int]) -> dict[int, list[EpisodeRecord]]:
        """All samples of these tasks."""
        found: dict[int, list[EpisodeRecord]] = {index: [] for index in indices}
        jobs = [(index, sample) for index in indices for sample in range(self.settings.samples)]
        if self._policy is None:
            return found
        starts = [EpisodeStart(self.tasks[index], self._seed(index, 2 + sample)) for index, sample in jobs]
        if isinstance(self._policy.policy, TextPolicy):
            played = self._play(self._policy, starts)
        else:
            # Each has its own action module, seeded like the policy, which renders its actions as text.
            modules = (_Worded(self._policy.action, self.style, np.random.default_rng(start.seed)) for start in starts)
            played = [
                episode
                for start, module in zip(starts, modules, strict=True)
                for episode in self._play(self._policy, [start], module)
            ]
        for (index, _), episode in zip(jobs, played, strict=True):
            if episode is not None:
                found[index].append(episode.record)
        return found

    def _taught(
        self, rollouts: Mapping[int, Sequence[EpisodeRecord]]
    ) -> dict[tuple[int, int], tuple[EpisodeRecord, int]]:
        """Wrong roll-outs continued by the teacher, with the number of kept turns, by index and sample."""
        wrong = {
            (index, sample): (record, turns)
            for index, records in rollouts.items()
            for sample, record in enumerate(records)
            if _is_wrong(record) and (turns := kept_turns(record))
        }
        if not wrong or self._teacher is None:
            return {}
        starts = [
            EpisodeStart(self.tasks[index], self._seed(index, 1002 + sample), turns, HINT)
            for (index, sample), (_, turns) in wrong.items()
        ]
        found = {}
        for (job, (before, turns)), episode in zip(wrong.items(), self._play(self._teacher, starts), strict=True):
            if episode is not None:
                # The costs of the wrong roll-out count here, too.
                episode.record.set_info(costs=add_costs(episode.record.info.costs, before.info.costs))
                found[job] = episode.record, len(turns)
        return found

    def _play(
        self, traits: PolicyTraits, starts: Sequence[EpisodeStart], action: _Worded | None = None
    ) -> list[PlayedEpisode | None]:
        """Play a policy's roll-outs in the text protocol of the trajectories."""
        text = {"name": "text", "protocol": self.protocol}
        rollout = Rollout(traits.policy, self.tasks, self.budget, action=action or text, extras=self.extras)
        played = rollout.play(starts)
        self.failed.update(rollout.failed)
        return played


def _is_wrong(record: EpisodeRecord) -> bool:
    """Whether a roll-out was graded as wrong."""
    return record.grade is not None and record.grade.score == 0.0


class _Worded:
    """Action module that renders the actions of another one in the text protocol."""

    def __init__(self, action: Any, style: TrajectoryStyle, rng: np.random.Generator) -> None:
        self._inner = ACTIONS.make(action)
        self._style = style
        self._rng = rng

    @property
    def wording(self) -> TextProtocol:
        return self._style.protocol

    def space(self, budget: Budget) -> Any:
        return self._inner.space(budget)

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        move = decode(self._inner, value, episode)
        action = move.action
        if move.text is not None:
            return move
        facts: dict[str, Any]
        match action:
            case Zoom():
                reason, facts = "zoom", {"from": action.start, "to": action.end, "fps": action.fps}
            case Zooms(zooms):
                reason, facts = "zooms", {"from": zooms[0].start, "windows": windows_of(action)}
            case ToolCall():
                reason, facts = "call", {"tool": action.name}
            case Answer():
                reason, facts = "answer", {"answer": action.text}
            case _:
                return move
        thought = choose_phrase(self._style.book, reason, facts, self._rng, self._style.wordings)
        text = compose(self._style.protocol, action, thought, episode.rules)
        # Text rounds numbers: play the rounded action, so that the text alone reproduces the episode.
        return DecodedAction(self._style.protocol.parse(text, episode.rules).action, text, True)
