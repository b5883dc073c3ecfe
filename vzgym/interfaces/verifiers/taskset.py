"""Tasks for verifiers, and the rewards of a finished trace."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import verifiers.v1 as vf
from pydantic import field_validator

from vzgym.core.actions import Answer
from vzgym.core.documents import read_value
from vzgym.core.errors import TaskError
from vzgym.episode.answers import GradeStatus
from vzgym.interfaces.rollouts import ROLLOUT_SETTINGS, TextRollout, TextRollouts, shared_rollouts
from vzgym.interfaces.tasks import id_of, load_confined

__all__ = [
    "RECORD",
    "VideoZoomTask",
    "VideoZoomTaskConfig",
    "VideoZoomTaskData",
    "VideoZoomTaskset",
    "VideoZoomTasksetConfig",
    "keep",
]

RECORD: Final = "vzgym"
"""Key of an episode's record (`EpisodeRecord.to_json`) in `trace.info`."""

_MEASURES: Final = "vzgym_measures"


class VideoZoomTaskConfig(vf.TaskConfig):
    """How episodes are played and rewarded (`--env.taskset.task.*`)."""

    reward: str | dict[str, Any] = "videozoomer"
    """The reward: a preset, a module, a YAML file, or terms by name, `{"accuracy": 1.0}`."""
    protocol: str | dict[str, Any] = "tags"
    """Form of the agent's turns: tags, compact_tags, tool_calls, or a mapping with options."""
    budget: str | dict[str, Any] | None = None
    """A mapping overrides fields of the tasks' own budget; a name ("paper") replaces it."""
    tools: list[str | dict[str, Any]] = []  # noqa: RUF012 - pydantic copies it
    """Tools that the agent may call beside the zoom."""
    subtitles: str | None = None
    """Where the dialogue shows subtitles: none, overview, clips or all; as each task says if not given."""
    records: str | None = None
    """A .jsonl file to which the records of finished episodes are appended."""
    root: str | None = None
    """Folder with a benchmark's files, or the only one whose videos a task file may name. Default: the file's own."""

    @field_validator("reward", "protocol", "budget", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Mappings on the command line are texts."""
        is_mapping = isinstance(value, str) and value.lstrip().startswith("{")
        return read_value(value, "a mapping") if is_mapping else value

    @property
    def rollouts(self) -> TextRollouts:
        """The roll-outs with these settings.

        Raises:
            UnknownName: If a component is not registered.
            InvalidSetting: If a setting is invalid.
        """
        given = {name: getattr(self, name) for name in ROLLOUT_SETTINGS}
        return shared_rollouts("verifiers", {name: value for name, value in given.items() if value not in (None, [])})


class VideoZoomTasksetConfig(vf.TasksetConfig):
    """Which tasks (`--env.taskset.*`)."""

    tasks: str = "tiny"
    """A suite (tiny, needle/test, standard/train[:100]), a benchmark, or a task file. Default split: train."""
    task: VideoZoomTaskConfig = VideoZoomTaskConfig()
    """How they are played and rewarded."""


class VideoZoomTaskData(vf.TaskData):
    """A task by name: its task set and its index. It holds neither frames nor the answer."""

    tasks: str
    index: int


class VideoZoomTask(vf.Task[VideoZoomTaskData, vf.State, VideoZoomTaskConfig]):
    """A question about a video."""

    @property
    def key(self) -> str:
        """Its id: that of the task in vzgym."""
        return str(self.data.id)

    def start(self) -> TextRollout:
        """Start an episode.

        Raises:
            VideoError: If the video cannot be opened or its overview cannot be decoded.
        """
        rollouts: TextRollouts = self.config.rollouts
        return rollouts.start({"tasks": self.data.tasks, "index": self.data.index})

    async def validate(self, runtime: vf.Runtime) -> bool | None:
        """Whether the right answer is graded as correct; None if it is not known."""
        return await asyncio.to_thread(self._accepts_its_answer)

    def _accepts_its_answer(self) -> bool | None:
        rollout = self.start()
        try:
            task = rollout.episode.task
            if not task.answer:
                return None
            rollout.episode.step(Answer(task.letter or task.answer))
            grade = rollout.record.grade
            return grade is not None and grade.status is GradeStatus.CORRECT
        finally:
            rollout.abort()

    @vf.reward
    async def terms(self, trace: vf.Trace) -> Mapping[str, float]:
        """Record each term of the reward with its own weight. What is unscored stays None.

        Raises:
            TaskError: If the agent has played, but there is no record.
        """
        reward = self.config.rollouts.reward
        trace.rewards.update(dict.fromkeys(reward.terms))
        record = trace.info.get(RECORD)
        if record is not None:
            for name, (score, weight) in _scores(record["rewards"]).items():
                trace.record_reward(name, score, weight)
        elif trace.num_turns == 0:
            # An untouched task earns nothing, which `vf-validate` checks.
            for name, term in reward.terms.items():
                trace.record_reward(name, 0.0, term.weight)
        elif not trace.is_timeout:
            raise TaskError(f"task {self.data.id!r} was played, but its record is missing")
        return {}

    @vf.metric
    async def measures(self, trace: vf.Trace) -> Mapping[str, float]:
        """Numbers about the episode: zooms, frames, rounds, correct, unscored, ...; unknown ones are left out."""
        known: Mapping[str, float | None] = trace.info.get(_MEASURES, {})
        return {name: value for name, value in known.items() if value is not None and "/" not in name}


class VideoZoomTaskset(vf.Taskset[VideoZoomTask, VideoZoomTasksetConfig]):
    """The tasks of a set, in order."""

    def load(self) -> Iterator[VideoZoomTask]:
        """Yield the tasks. Neither videos nor procedural tasks are opened for it.

        Raises:
            UnknownName, InvalidSetting, UntrustedName, TaskError: If the tasks, or a setting of their episodes, are
                invalid: before the first episode.
        """
        name, config = self.config.tasks, self.config.task
        assert config.rollouts
        tasks = load_confined(name, split="train", root=config.root)
        for index in range(len(tasks)):
            yield VideoZoomTask(VideoZoomTaskData(id=id_of(tasks, index), tasks=name, index=index), config)


def keep(rollout: TextRollout, trace: vf.Trace) -> None:
    """Keep what scoring needs in a trace's `info`, which is saved with it."""
    trace.info[RECORD] = rollout.record.to_json()
    trace.info[_MEASURES] = rollout.measures


def _scores(ledger: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Score and weight of each term of an episode that has one; none if the episode is unscored."""
    if any(entry["total"] is None for entry in ledger):
        return {}
    found = {}
    for name in ledger[-1]["terms"]:
        turns = [entry["terms"][name] for entry in ledger]
        scored = [turn for turn in turns if turn["value"] is not None]
        if not scored:
            continue
        weight = float(scored[-1]["weight"])
        counted = [turn.get("counted", turn["value"]) for turn in scored if turn["status"] == "scored"]
        found[name] = math.fsum(counted), weight
    return found
