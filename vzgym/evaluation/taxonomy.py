"""What came of an episode, in one word: right for a reason, right by luck, or wrong, and why.

The definitions, with a picture of each, are in the documentation (`docs/taxonomy.md`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

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
class _Place:
    """One interval that must be seen: a frame in each of some short runs of time, or frames at a rate.

    Attributes:
        span: The interval.
        runs: Intervals of which each needs a frame; None if the rate decides.
        rate: Frames a second that suffice; None if one frame does.
        region: The part of the picture that must be in view, `(left, top, right, bottom)` in shares; None: any part.
        rows: How many rows of pixels the whole picture must at least have at a clip's scale.
    """

    span: Interval
    runs: tuple[Interval, ...] | None = None
    rate: float | None = None
    region: tuple[float, ...] | None = None
    rows: float = 0.0

    def shown(self, clips: Sequence[Clip]) -> bool:
        """Whether these clips show all of it."""
        sharp = [clip for clip in clips if self._in_view(clip) and _rows(clip) >= self.rows]
        if self.runs is not None:
            times = [float(time) + FRAME_SLACK for clip in sharp for time in clip.times]
            return all(any(time in run for time in times) for run in self.runs)
        # The time asked for, not the frame's own: what is on the screen at that time is what was seen of it.
        asked = sorted({float(time) for clip in sharp for time in clip.requested})
        start, end = self.span.start, self.span.end
        inside = [time for time in asked if start - FRAME_SLACK <= time < end - FRAME_SLACK]
        if self.rate is None or not inside:
            return bool(inside)
        gaps = [later - earlier for earlier, later in pairwise([start, *inside, end])]
        return max(gaps) <= 1.0 / self.rate + FRAME_SLACK

    def looked_at(self, clips: Sequence[Clip]) -> bool:
        """Whether it was looked at: a zoom's window overlaps it, or a shown frame lies in it."""
        span = self.span
        return any(
            (clip.window is not None and clip.window.start < span.end and span.start < clip.window.end)
            or any(float(time) + FRAME_SLACK in span for time in clip.times)
            for clip in clips
            if self._in_view(clip)
        )

    def _in_view(self, clip: Clip) -> bool:
        """Whether the clip's part of the picture holds the region."""
        part = clip.region
        if part is None or self.region is None:
            return True
        left, top, right, bottom = self.region
        slack = 1e-6  # of the picture: regions are kept to six digits
        return (
            part.left <= left + slack
            and part.top <= top + slack
            and part.right >= right - slack
            and part.bottom >= bottom - slack
        )


def _rows(clip: Clip) -> float:
    """Rows of pixels that the whole picture would have at the clip's scale."""
    return clip.size[0] / (1.0 if clip.region is None else clip.region.bottom - clip.region.top)


@dataclass(frozen=True)
class _Evidence:
    """All that must be seen."""

    places: tuple[_Place, ...]

    def shown(self, clips: Sequence[Clip]) -> bool:
        """Whether these clips show all of it; where there is nothing to find, whether they show anything."""
        return all(place.shown(clips) for place in self.places) and any(len(clip) for clip in clips)

    def looked_at(self, clips: Sequence[Clip]) -> bool:
        """Whether every place was looked at."""
        return bool(clips) and all(place.looked_at(clips) for place in self.places)


def _evidence(record: EpisodeRecord) -> _Evidence | None:
    """What the task needs to be seen; None if it does not say."""
    evidence, metadata = record.task.evidence, record.task.metadata
    if evidence is None:
        return None
    rate = metadata.get("needed_fps")
    regions = metadata.get("regions") or []
    events = _events(evidence, metadata.get("placement"))
    places = []
    for number in range(max(len(evidence), len(events))):
        runs = events[number] if number < len(events) else None
        if number < len(evidence):
            span = evidence[number]
        else:
            assert runs  # only an event that is placed can be without an interval
            span = Interval(min(run.start for run in runs), max(run.end for run in runs))
        places.append(
            _Place(
                span,
                runs,
                None if rate is None else float(rate),
                tuple(regions[number]) if len(regions) == len(evidence) and number < len(regions) else None,
                float(metadata.get("needed_rows", 0.0)),
            )
        )
    return _Evidence(tuple(places))


def _events(evidence: Sequence[Interval], values: Mapping[str, Any] | None) -> list[tuple[Interval, ...] | None]:
    """For each event that a placement tells of, the runs of time of which it needs a frame each.

    None where evidence and placement do not say at which frame it starts; empty without a placement, or where its
    events are not those of the evidence.
    """
    if values is None:
        return []
    parts = [Placement.from_dict(part) for part in (values, *values.get("also", ()))]
    if len(parts) != max(1, len(evidence)):
        return []
    events = [_runs(evidence[number : number + 1], part) for number, part in enumerate(parts)]
    return events if evidence or events[0] is not None else []


def _runs(evidence: Sequence[Interval], part: Placement) -> tuple[Interval, ...] | None:
    starts = part.starts
    if evidence:
        start = round(evidence[0].start * part.fps)
        if not any(low <= start < high for low, high in starts):
            return None
    elif len(starts) == 1 and starts[0][1] - starts[0][0] == 1:
        start = starts[0][0]
    else:
        return None
    return tuple(Interval((start + low) / part.fps, (start + high) / part.fps) for low, high in part.needs)


def _seen(record: EpisodeRecord) -> list[Clip]:
    """The clips that the agent had before its eyes: none, if its observation holds no frames."""
    return [] if record.info.get("sighted") is False else record.clips


def evidence_shown(record: EpisodeRecord) -> bool | None:
    """Whether the frames shown so far hold all that the right answer rests on, at the rate that it needs.

    Three rules, the first that applies:

    1. A procedural task says where its event lies and of which runs of frames it takes one each
       (`metadata["placement"]`): a frame shown must lie in each run.
    2. Evidence intervals with `metadata["needed_fps"]`: within each interval, no stretch longer than `1 / needed_fps`
       may lie between two looks, or between a look and the interval's ends.
    3. Evidence intervals without a rate: a look at each.

    Where there is nothing to find (`evidence == ()`) and no placement, any frame does. A clip of a part of the picture
    counts, unless the task says which part holds each piece of evidence (`metadata["regions"]`, one for each interval)
    and the clip does not hold it. Where the task says how sharp the picture must be (`metadata["needed_rows"]`: rows of
    pixels of the whole picture), clips below that scale do not count.

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
