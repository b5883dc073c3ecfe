"""Plays a saved record again, and says where the replay differs."""

from __future__ import annotations

from dataclasses import dataclass

from vzgym.core.errors import RecordError, TaskError, UnknownName
from vzgym.episode.answers import GradeStatus
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord, TaskFacts
from vzgym.protocols.base import make_wording
from vzgym.rewards.mix import RewardSpec, make_reward
from vzgym.tasks import VideoTask, get_task

__all__ = ["Replay", "replay", "task_of"]

_PROCEDURAL = "procedural:"


@dataclass(frozen=True)
class Replay:
    """A record played again.

    Attributes:
        record: The new record, with pixels.
        differences: What differs from the saved one, one sentence each; empty if nothing does.
    """

    record: EpisodeRecord
    differences: list[str]


def task_of(facts: TaskFacts, backend: str = "pyav") -> VideoTask:
    """Rebuild a record's task: a procedural one from its id, any other from its video file.

    Args:
        facts: What the record keeps of the task.
        backend: Which decoder reads a file.

    Raises:
        RecordError: If the task's video was neither procedural nor a file, so nothing can rebuild it.
        VideoError: If its file is gone or broken (when the episode starts).
    """
    if facts.video.startswith(_PROCEDURAL):
        try:
            return get_task(facts.video.removeprefix(_PROCEDURAL))
        except (TaskError, UnknownName) as error:
            raise RecordError(f"task {facts.id!r} cannot be rebuilt: {error}") from error
    if facts.video.startswith("array:"):
        raise RecordError(f"task {facts.id!r} cannot be rebuilt: its video lay in memory; pass the task itself")
    from vzgym.video.file import FileVideo

    return VideoTask(
        id=facts.id,
        video=FileVideo(facts.video, backend=backend),
        question=facts.question,
        options=facts.options,
        answer=facts.answer,
        evidence=facts.evidence,
        category=facts.category,
        source=facts.source,
        metadata=facts.metadata,
    )


def replay(
    saved: EpisodeRecord,
    *,
    task: VideoTask | None = None,
    reward: RewardSpec | None = None,
    backend: str = "pyav",
) -> Replay:
    """Execute a record's actions again and compare frames, outcomes, dialogue, grade and rewards.

    An episode that ended in a video error is compared up to the turn of the error: the video may have recovered.

    Args:
        saved: The record.
        task: Its task, where it cannot be rebuilt from what the record keeps.
        reward: The reward to compare; the one that the record names if not given. Without either, rewards are not
            compared.
        backend: Which decoder reads a file.

    Raises:
        RecordError: If the task cannot be rebuilt.
        VideoError: If its video cannot be opened.
    """
    episode = Episode(task or task_of(saved.task, backend), saved.budget, make_wording(saved.info["wording"]))
    spec = reward if reward is not None else saved.info.get("reward")
    mix = make_reward(spec) if spec is not None else None
    fresh = episode.record
    fresh.rewards = [] if mix else None
    differences = [] if fresh.overview.hashes == saved.overview.hashes else ["the overview's frames differ"]
    unscored = saved.grade is not None and saved.grade.status is GradeStatus.UNSCORED
    for number, turn in enumerate(saved.turns, start=1):
        if turn.outcome == "failed":
            break
        new = episode.step(turn.action, text=turn.text, well_formed=turn.well_formed)
        if (new.outcome, new.refusal) != (turn.outcome, turn.refusal):
            differences.append(f"round {number}: {new.refusal or new.outcome}, was {turn.refusal or turn.outcome}")
        if new.clip and turn.clip and new.clip.hashes != turn.clip.hashes:
            differences.append(f"round {number}: the clip's frames differ")
        if mix and fresh.rewards is not None:
            fresh.rewards.append(mix.score(fresh).to_json())
    if fresh.grade != saved.grade and not unscored:
        differences.append(f"the grade is {fresh.grade}, was {saved.grade}")
    common = min(len(fresh.messages), len(saved.messages))
    if any(new.text != old.text for new, old in zip(fresh.messages[:common], saved.messages[:common], strict=True)):
        differences.append("the dialogue differs")
    if mix and saved.rewards is not None and fresh.rewards != saved.rewards[: len(fresh.rewards or [])]:
        differences.append("the rewards differ")
    return Replay(fresh, differences)
