"""What came of an episode, in one word: right for a reason, right by luck, or wrong, and why.

The definitions, with a picture of each, are in the documentation (`docs/taxonomy.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

import numpy as np

from vzgym.core.actions import Malformed
from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.episode.answers import GradeStatus
from vzgym.episode.clip import Clip
from vzgym.episode.record import End, EpisodeRecord
from vzgym.tasks.placement import Placement
from vzgym.video.base import FRAME_SLACK

__all__ = ["FINDINGS", "Finding", "classify", "evidence_shown"]


class Finding(StrEnum):
    """The class of an episode. Each has exactly one; `classify` gives the order in which they are tried."""

    GROUNDED = "right_and_grounded"
    """Right, the frames shown prove it, and no zoom was made after they did."""
    LUCKY = "right_by_luck"
    """Right, but the frames shown do not prove it."""
    REDUNDANT = "redundant"
    """Right and proven, but a zoom was made when the frames shown before it had proven it already."""
    WRONG_SEGMENT = "wrong_segment"
    """Wrong, and some evidence was never looked at."""
    TOO_COARSE = "too_coarse"
    """Wrong; all evidence was looked at, but some of it with too few frames."""
    WRONG_ANSWER = "right_evidence_wrong_answer"
    """Wrong, although the frames shown prove the right answer."""
    MALFORMED = "malformed"
    """No answer could be read: the last text held no action, or the answer is no option and no number."""
    OUT_OF_BUDGET = "out_of_budget"
    """The rounds ran out without an answer: the last one went into asking for a zoom."""
    VIDEO_ERROR = "video_error"
    """The video could not be read on."""
    UNKNOWN = "unknown"
    """Nobody can say: the task does not tell where its evidence lies, or what is right."""


FINDINGS: Final[tuple[Finding, ...]] = tuple(Finding)
"""All classes, in the order of a table."""


@dataclass(frozen=True)
class _Evidence:
    """What must be seen: for each place, a frame in each of some short runs of time, or frames at a rate.

    Attributes:
        places: The intervals to look at.
        runs: Intervals of which each needs a frame; None if the rate decides.
        rate: Frames a second that suffice within a place; None if one frame of each does.
    """

    places: tuple[Interval, ...]
    runs: tuple[Interval, ...] | None = None
    rate: float | None = None

    def shown(self, clips: Sequence[Clip]) -> bool:
        """Whether these clips show all of it."""
        if self.runs is not None:
            frames = np.concatenate([np.empty(0), *(clip.times for clip in clips)]) + FRAME_SLACK
            return all(any(run.start <= time < run.end for time in frames.tolist()) for run in self.runs)
        if not self.places:
            return any(len(clip) for clip in clips)
        return all(self._sampled(place, clips) for place in self.places)

    def _sampled(self, place: Interval, clips: Sequence[Clip]) -> bool:
        # The time asked for, not the frame's own: what is on the screen at that time is what was seen of it.
        asked = np.unique(np.concatenate([np.empty(0), *(clip.requested for clip in clips)]))
        inside = asked[(asked >= place.start - FRAME_SLACK) & (asked < place.end - FRAME_SLACK)].tolist()
        if self.rate is None or not inside:
            return bool(inside)
        gaps: list[float] = [later - earlier for earlier, later in pairwise([place.start, *inside, place.end])]
        return max(gaps) <= 1.0 / self.rate + FRAME_SLACK

    def looked_at(self, clips: Sequence[Clip]) -> bool:
        """Whether every place was looked at: a zoom's window overlaps it, or a shown frame lies in it."""
        windows = [clip.window for clip in clips if clip.window is not None]
        times = [float(time) + FRAME_SLACK for clip in clips for time in clip.times]
        return bool(clips) and all(
            any(window.start < place.end and place.start < window.end for window in windows)
            or any(time in place for time in times)
            for place in self.places
        )


def _evidence(record: EpisodeRecord) -> _Evidence | None:
    """What the task needs to be seen; None if it does not say."""
    evidence, metadata = record.task.evidence, record.task.metadata
    if evidence is None:
        return None
    placement = Placement.from_dict(metadata["placement"]) if "placement" in metadata else None
    if placement is not None and len(evidence) <= 1:
        start = _start(evidence, placement)
        if start is not None:
            runs = tuple(
                Interval((start + low) / placement.fps, (start + high) / placement.fps) for low, high in placement.needs
            )
            places = evidence or (Interval(min(run.start for run in runs), max(run.end for run in runs)),)
            return _Evidence(places, runs)
    rate = metadata.get("needed_fps")
    return _Evidence(evidence, rate=float(rate) if rate is not None else None)


def _start(evidence: Sequence[Interval], placement: Placement) -> int | None:
    """The frame at which the event starts; None if placement and evidence do not say."""
    starts = placement.starts
    if evidence:
        frame = round(evidence[0].start * placement.fps)
        return frame if any(low <= frame < high for low, high in starts) else None
    return starts[0][0] if len(starts) == 1 and starts[0][1] - starts[0][0] == 1 else None


def _seen(record: EpisodeRecord) -> list[Clip]:
    """The clips that the agent had before its eyes: none, if its observation holds no frames."""
    if record.info.get("sighted") is False:
        return []
    region = record.task.metadata.get("evidence_region")
    return [clip for clip in record.clips if region is None or clip.region is None or _holds(clip, region)]


def _holds(clip: Clip, region: Sequence[float]) -> bool:
    """Whether a clip's part of the picture holds `[left, top, right, bottom]`."""
    part = clip.region
    assert part is not None
    left, top, right, bottom = region
    return part.left <= left and part.top <= top and part.right >= right and part.bottom >= bottom


def evidence_shown(record: EpisodeRecord) -> bool | None:
    """Whether the frames shown so far hold all that the right answer rests on, at the rate that it needs.

    Three rules, the first that applies:

    1. A procedural task says where its event lies and of which runs of frames it takes one each
       (`metadata["placement"]`): a frame shown must lie in each run.
    2. Evidence intervals with `metadata["needed_fps"]`: within each interval, no stretch longer than `1 / needed_fps`
       may lie between two looks, or between a look and the interval's ends.
    3. Evidence intervals without a rate: a look at each.

    Where there is nothing to find (`evidence == ()`) and no placement, any frame does. A clip of a part of the picture
    counts, unless the task says which part holds the evidence (`metadata["evidence_region"]`) and the clip does not
    hold it.

    Returns:
        None if the task's evidence is unknown.
    """
    evidence = _evidence(record)
    return None if evidence is None else evidence.shown(_seen(record))


def classify(record: EpisodeRecord) -> Finding:
    """The one class of a finished episode.

    Tried in this order:

    1. The video failed: `VIDEO_ERROR`.
    2. No answer: `MALFORMED` if no action could be read from the last text, else `OUT_OF_BUDGET`.
    3. An answer of which nothing can be read: `MALFORMED`.
    4. No right answer or no evidence known: `UNKNOWN`.
    5. Right: `LUCKY` unless the evidence was shown (`evidence_shown`); `REDUNDANT` if the clips before the last zoom
       had shown it already; else `GROUNDED`.
    6. Wrong: `WRONG_ANSWER` if the evidence was shown; `TOO_COARSE` if each of its intervals was looked at (a zoom's
       window overlaps it, or a shown frame lies in it); else `WRONG_SEGMENT`.

    Args:
        record: A finished episode. A record with `info["sighted"]` false is of an agent that was shown no frames at
            all: nothing counts as seen.

    Raises:
        InvalidSetting: If the episode still runs.
    """
    if record.end is None or record.grade is None:
        raise InvalidSetting(f"the episode of task {record.task.id!r} still runs: nothing has come of it yet")
    if record.end is End.VIDEO_ERROR:
        return Finding.VIDEO_ERROR
    if record.end is End.OUT_OF_ROUNDS:
        return Finding.MALFORMED if isinstance(record.turns[-1].action, Malformed) else Finding.OUT_OF_BUDGET
    if record.grade.status is GradeStatus.UNREADABLE:
        return Finding.MALFORMED
    evidence = _evidence(record)
    if record.grade.score is None or evidence is None:
        return Finding.UNKNOWN
    seen = _seen(record)
    shown = evidence.shown(seen)
    if record.grade.is_correct:
        if not shown:
            return Finding.LUCKY
        return Finding.REDUNDANT if record.zooms and evidence.shown(_before_last_zoom(record)) else Finding.GROUNDED
    if shown:
        return Finding.WRONG_ANSWER
    return Finding.TOO_COARSE if evidence.looked_at(seen) else Finding.WRONG_SEGMENT


def _before_last_zoom(record: EpisodeRecord) -> list[Clip]:
    last = max(number for number, turn in enumerate(record.turns) if turn.clip is not None)
    return _seen(record.upto(last))
