"""Plays a saved record again, and says where the replay differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vzgym.core.errors import RecordError, TaskError, UnknownName
from vzgym.core.registry import names_from_data
from vzgym.episode.answers import Grade, GradeStatus
from vzgym.episode.clip import Clip
from vzgym.episode.episode import Episode
from vzgym.episode.record import End, EpisodeRecord, Outcome, TaskFacts
from vzgym.protocols.base import make_wording
from vzgym.rewards.making import RewardSpec, is_yaml_path, make_reward
from vzgym.rewards.mix import RewardMix
from vzgym.tasks import VideoTask, get_task
from vzgym.video.base import FRAME_SLACK

__all__ = ["Replay", "replay", "task_of"]

_PROCEDURAL = "procedural:"

_TRUST = (
    "If you trust whoever made the record: vzgym replay --trust-code (in Python: replay(..., trust_code=True)); "
    "components of your own are better registered by a plug-in."
)


@dataclass(frozen=True)
class Replay:
    """A record played again.

    Attributes:
        record: The new record, with pixels.
        differences: What differs from the saved one, one sentence each; empty if nothing does.
    """

    record: EpisodeRecord
    differences: list[str]


def task_of(facts: TaskFacts, backend: str = "pyav", *, trust_code: bool = False) -> VideoTask:
    """Rebuild a record's task: a procedural one from its id, any other from its video file.

    Args:
        facts: What the record keeps of the task.
        backend: Which decoder reads a file.
        trust_code: Whether the task's suite may be a `module:suite`, which is imported.

    Raises:
        RecordError: If the task's video was neither procedural nor a file, so nothing can rebuild it, or what the
            record says of it makes no task.
        VideoError: If its file is gone or broken (when the episode starts).
        UntrustedName: If the suite is a `module:suite` and `trust_code` is not set.
    """
    if facts.video.startswith(_PROCEDURAL):
        try:
            return get_task(facts.video.removeprefix(_PROCEDURAL), trust_code=trust_code)
        except (TaskError, UnknownName) as error:
            raise RecordError(f"task {facts.id!r} cannot be rebuilt: {error}") from error
    if facts.video.startswith("array:"):
        raise RecordError(f"task {facts.id!r} cannot be rebuilt: its video lay in memory; pass the task itself")
    from vzgym.video.file import FileVideo

    try:
        return facts.with_video(FileVideo(facts.video, backend=backend))
    except TaskError as error:
        raise RecordError(f"task {facts.id!r} cannot be rebuilt: {error}") from error


def replay(
    saved: EpisodeRecord,
    *,
    task: VideoTask | None = None,
    reward: RewardSpec | None = None,
    backend: str = "pyav",
    trust_code: bool = False,
) -> Replay:
    """Execute a record's actions again and compare everything that the record says came of them.

    That is the task and its video, the frames' times and pixels, outcomes, dialogue, end, grade and rewards. An episode
    that ended in a video error is compared up to the turn of the error: the video may have recovered. Reward terms that
    need more than the record (its group, an answerer, its wall times) are left out of the comparison.

    Args:
        saved: The record.
        task: Its task, where it cannot be rebuilt from what the record keeps.
        reward: The reward to compare; the one that the record names if not given. Without either, rewards are not
            compared.
        backend: Which decoder reads a file.
        trust_code: Whether code that the record names (`module:Class`) may be imported. Otherwise only registered
            components are used, so that replaying somebody else's record runs nothing of theirs.

    Raises:
        RecordError: If the record does not hold what a replay needs, or its task cannot be rebuilt.
        VideoError: If its video cannot be opened.
        UnknownName: If its wording or its reward is one that is not registered.
        UntrustedName: If it names code, or a reward that calls a server, and `trust_code` is not set.
    """
    given = None if reward is None else make_reward(reward)
    wording = saved.info.wording
    if not wording:
        raise RecordError(f"the record of task {saved.task.id!r} does not say how it was worded (info 'wording')")
    with names_from_data(f"the record of task {saved.task.id!r}", trust_code=trust_code, hint=_TRUST):
        played = task_of(saved.task, backend, trust_code=trust_code) if task is None else task
        worded = make_wording(wording)
        mix = _saved_reward(saved) if given is None else given
    try:
        episode = Episode(played, saved.budget, worded)
    except TaskError as error:
        raise RecordError(f"the record cannot be played again: {error}") from error
    if mix is not None:
        mix = mix.with_context(progress=saved.info.progress, quiet=True)
    fresh = episode.record
    fresh.rewards = [] if mix else None
    differences = _facts(fresh.task, saved.task) + _clip(fresh.overview, saved.overview, "the overview")
    failed = False
    for number, turn in enumerate(saved.turns, start=1):
        if turn.outcome is Outcome.FAILED:
            failed = True
            break
        if episode.ended:
            differences.append(f"round {number}: the episode had ended before ({fresh.end})")
            break
        new = episode.step(turn.action, text=turn.text, well_formed=turn.well_formed)
        if (new.outcome, new.refusal) != (turn.outcome, turn.refusal):
            differences.append(f"round {number}: {new.refusal or new.outcome}, was {turn.refusal or turn.outcome}")
        elif new.clip is not None and turn.clip is not None:
            differences += _clip(new.clip, turn.clip, f"round {number}: the clip")
        elif (new.clip is None) != (turn.clip is None):
            differences.append(f"round {number}: {'no clip, was one' if new.clip is None else 'a clip, was none'}")
        if mix and fresh.rewards is not None:
            fresh.rewards.append(mix.score(fresh).to_json())
    played.video.close()
    if failed:
        if saved.end is not End.VIDEO_ERROR or saved.turns[-1].outcome is not Outcome.FAILED:
            differences.append(f"round {number}: a video error, but the episode went on")
        if saved.grade is None or saved.grade.status is not GradeStatus.UNSCORED:
            differences.append(f"the grade is unscored, was {_words(saved.grade)}")
    else:
        if fresh.end != saved.end:
            differences.append(f"the end is {fresh.end}, was {saved.end}")
        if fresh.grade != saved.grade:
            differences.append(f"the grade is {_words(fresh.grade)}, was {_words(saved.grade)}")
    # Of an episode that failed, the last round has no counterpart.
    said = [(message.role, message.text) for message in saved.messages]
    if [(message.role, message.text) for message in fresh.messages] != said[: len(fresh.messages) if failed else None]:
        differences.append("the dialogue differs")
    if fresh.rewards is not None and saved.rewards is not None:
        ledger = saved.rewards[: len(fresh.rewards) if failed else None]
        late = _late(mix)
        if [_without(entry, late) for entry in fresh.rewards] != [_without(entry, late) for entry in ledger]:
            differences.append("the rewards differ")
    return Replay(fresh, differences)


def _saved_reward(saved: EpisodeRecord) -> RewardMix | None:
    """The reward that a record names; None if it names none.

    Raises:
        RecordError: If it is the path of a file, or neither a name nor a mapping of terms.
    """
    spec = saved.info.reward
    if spec is None:
        return None
    if isinstance(spec, str) and is_yaml_path(spec):
        raise RecordError(f"the record of task {saved.task.id!r}: its reward is no name and no mapping, but {spec!r}")
    return make_reward(spec)


def _late(mix: RewardMix | None) -> set[str]:
    """Terms that a single record played again cannot tell: they need its group, an answerer or its wall times."""
    terms = {} if mix is None else mix.terms
    return {name for name, term in terms.items() if term.needs - {"evidence"}}


def _without(entry: Mapping[str, Any], late: set[str]) -> dict[str, Any]:
    """An entry of a ledger without these terms, and then without the total, which they are part of."""
    terms = {name: term for name, term in entry["terms"].items() if name not in late}
    return {"terms": terms} if late else {"terms": terms, "total": entry["total"]}


def _facts(new: TaskFacts, old: TaskFacts) -> list[str]:
    """What differs between the task as rebuilt and as saved."""
    names = ("id", "question", "options", "answer", "evidence", "requirements", "duration", "height", "width")
    return [
        f"the task's {name} is {getattr(new, name)!r}, was {getattr(old, name)!r}"
        for name in names
        if getattr(new, name) != getattr(old, name)
    ]


def _clip(new: Clip, old: Clip, what: str) -> list[str]:
    """What differs between two clips of the same moment."""
    if new.hashes != old.hashes:
        return [f"{what}'s frames differ"]
    # Another decoder may round its time stamps otherwise.
    if not np.allclose(new.times, old.times, rtol=0.0, atol=FRAME_SLACK):
        return [f"{what}'s times differ"]
    return []


def _words(grade: Grade | None) -> str:
    if grade is None:
        return "missing"
    return str(grade.status) if grade.read is None else f"{grade.status} ({grade.read})"
