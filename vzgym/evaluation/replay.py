"""Replays saved records and reports differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting, RecordError, TaskError, UnknownName
from vzgym.core.registry import names_from_data
from vzgym.episode.answers import Grade, GradeStatus
from vzgym.episode.clip import Clip
from vzgym.episode.episode import Episode
from vzgym.episode.record import End, EpisodeRecord, TaskFacts
from vzgym.episode.turn import Outcome
from vzgym.protocols.base import make_wording
from vzgym.rewards.making import RewardSpec, is_yaml_path, make_reward
from vzgym.rewards.mix import RewardMix
from vzgym.tasks import VideoTask, get_task
from vzgym.tools.base import TOOLS
from vzgym.video.base import FRAME_SLACK

__all__ = ["Replay", "replay", "selected_overview", "task_of"]

_PROCEDURAL = "procedural:"

_TRUST = (
    "If you trust the author of the record: vzgym replay --trust-code (in Python: replay(..., trust_code=True)); "
    "for your own components, prefer registration by a plug-in."
)


@dataclass(frozen=True)
class Replay:
    """A replayed record.

    Attributes:
        record: The new record, with pixels.
        differences: Differences from the saved record, one sentence each.
    """

    record: EpisodeRecord
    differences: list[str]


def task_of(facts: TaskFacts, backend: str = "pyav", *, trust_code: bool = False) -> VideoTask:
    """Rebuild a record's task: a procedural one from its id, any other from its video file.

    Args:
        facts: The task's facts in the record.
        backend: Decoder for video files.
        trust_code: Whether to allow importing a `module:suite` named as the task's suite.

    Raises:
        RecordError: If the task's video was neither procedural nor a file, or its facts do not form a valid task.
        VideoError: If its file is missing or broken (when the episode starts).
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
    """Execute a record's actions again and compare the results with the record.

    Tools are called again. Compared are the task and its video, frame times and pixels, outcomes, dialogue, end, grade
    and rewards. An episode that ended in a video error is compared up to the turn of the error: the video may have
    recovered. Reward terms that need more than the record (its group, an answerer, its wall times) are left out of the
    comparison.

    Args:
        saved: The record.
        task: Its task, if it cannot be rebuilt from the record.
        reward: The reward to compare. Default: the one named in the record; without either, rewards are not compared.
        backend: Decoder for video files.
        trust_code: Whether to allow importing code named in the record (`module:Class`). Otherwise only registered
            components are used, so that untrusted records run no code.

    Raises:
        RecordError: If the record lacks data for a replay, or its task cannot be rebuilt.
        VideoError: If its video cannot be opened.
        UnknownName: If its wording, a tool or the reward is not registered.
        UntrustedName: If it names code, or a reward that calls a server, and `trust_code` is not set.
    """
    given = None if reward is None else make_reward(reward)
    wording = saved.info.wording
    if not wording:
        raise RecordError(f"the record of task {saved.task.id!r} lacks its wording (info 'wording')")
    with names_from_data(f"the record of task {saved.task.id!r}", trust_code=trust_code, hint=_TRUST):
        played = task_of(saved.task, backend, trust_code=trust_code) if task is None else task
        if task is None:
            played = _with_speech(played, saved)
        worded = make_wording(wording)
        tools = [TOOLS.make(tool.spec) for tool in saved.tools]
        mix = _saved_reward(saved) if given is None else given
    try:
        episode = Episode(played, saved.budget, worded, tools, saved.info.subtitles, overview=selected_overview(saved))
    except (TaskError, InvalidSetting) as error:
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
        elif len(new.clips) != len(turn.clips):
            differences.append(f"round {number}: {_count(len(new.clips))}, was {_count(len(turn.clips))}")
        else:
            for place, (one, other) in enumerate(zip(new.clips, turn.clips, strict=True), start=1):
                which = f"clip {place}" if len(turn.clips) > 1 else "the clip"
                differences += _clip(one, other, f"round {number}: {which}")
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
    # The last round of a failed episode has no counterpart.
    said = [(message.role, message.text) for message in saved.messages]
    if [(message.role, message.text) for message in fresh.messages] != said[: len(fresh.messages) if failed else None]:
        differences.append("the dialogue differs")
    if fresh.rewards is not None and saved.rewards is not None:
        ledger = saved.rewards[: len(fresh.rewards) if failed else None]
        late = _late(mix)
        if [_without(entry, late) for entry in fresh.rewards] != [_without(entry, late) for entry in ledger]:
            differences.append("the rewards differ")
    return Replay(fresh, differences)


def selected_overview(record: EpisodeRecord) -> NDArray[np.float64] | None:
    """The overview's times if the policy selected them; None if they follow from the budget."""
    return record.overview.requested if record.info.selected_overview else None


def _with_speech(task: VideoTask, saved: EpisodeRecord) -> VideoTask:
    """The task with the subtitles that a record shows: without tools it keeps no others."""
    if task.subtitles:
        return task
    lines = {line for clip in saved.clips for _, line in clip.speech}
    if not lines:
        return task
    ordered = sorted(lines, key=lambda line: (line.start, line.end, line.text))
    return replace(task, subtitles=tuple(ordered))


def _saved_reward(saved: EpisodeRecord) -> RewardMix | None:
    """Return the reward named in a record; None if there is none.

    Raises:
        RecordError: If it is the path of a file, or neither a name nor a mapping of terms.
    """
    spec = saved.info.reward
    if spec is None:
        return None
    if isinstance(spec, str) and is_yaml_path(spec):
        raise RecordError(
            f"the record of task {saved.task.id!r}: its reward is neither a name nor a mapping, but {spec!r}"
        )
    return make_reward(spec)


def _late(mix: RewardMix | None) -> set[str]:
    """Terms that a single replay cannot score: they need the group, an answerer or wall times."""
    terms = {} if mix is None else mix.terms
    return {name for name, term in terms.items() if term.needs - {"evidence"}}


def _without(entry: Mapping[str, Any], late: set[str]) -> dict[str, Any]:
    """A ledger entry without these terms, and without the total if it includes any of them."""
    terms = {name: term for name, term in entry["terms"].items() if name not in late}
    return {"terms": terms} if late else {"terms": terms, "total": entry["total"]}


def _facts(new: TaskFacts, old: TaskFacts) -> list[str]:
    """Differences between the rebuilt and the saved task."""
    names = (
        "id", "question", "options", "answer", "evidence", "requirements", "subtitles", "duration", "height", "width",
    )  # fmt: skip
    return [
        f"the task's {name} is {getattr(new, name)!r}, was {getattr(old, name)!r}"
        for name in names
        if getattr(new, name) != getattr(old, name)
    ]


def _clip(new: Clip, old: Clip, what: str) -> list[str]:
    """Differences between two clips of the same turn."""
    if new.hashes != old.hashes:
        return [f"{what}'s frames differ"]
    # Decoders may round time stamps differently.
    if not np.allclose(new.times, old.times, rtol=0.0, atol=FRAME_SLACK):
        return [f"{what}'s times differ"]
    return []


def _count(clips: int) -> str:
    return "1 clip" if clips == 1 else f"{clips or 'no'} clips"


def _words(grade: Grade | None) -> str:
    if grade is None:
        return "missing"
    return str(grade.status) if grade.read is None else f"{grade.status} ({grade.read})"
