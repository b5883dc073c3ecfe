"""What of a task must be seen to know its answer, and whether the frames shown hold it.

One rule, for filters of training data, findings and metrics alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord
from vzgym.tasks.procedural.placement import Placement
from vzgym.video.base import FRAME_SLACK

__all__ = ["Evidence", "EvidencePlace", "clips_seen", "evidence_of", "evidence_shown"]


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
    evidence = evidence_of(record)
    return None if evidence is None else evidence.shown(clips_seen(record))


@dataclass(frozen=True)
class EvidencePlace:
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
class Evidence:
    """All of a task that must be seen.

    Attributes:
        places: Its parts, each of which must be shown.
    """

    places: tuple[EvidencePlace, ...]

    def shown(self, clips: Sequence[Clip]) -> bool:
        """Whether these clips show all of it; where there is nothing to find, whether they show anything."""
        return all(place.shown(clips) for place in self.places) and any(len(clip) for clip in clips)

    def looked_at(self, clips: Sequence[Clip]) -> bool:
        """Whether every place was looked at."""
        return bool(clips) and all(place.looked_at(clips) for place in self.places)


def evidence_of(record: EpisodeRecord) -> Evidence | None:
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
            EvidencePlace(
                span,
                runs,
                None if rate is None else float(rate),
                tuple(regions[number]) if len(regions) == len(evidence) and number < len(regions) else None,
                float(metadata.get("needed_rows", 0.0)),
            )
        )
    return Evidence(tuple(places))


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


def clips_seen(record: EpisodeRecord) -> list[Clip]:
    """The clips that the agent had before its eyes: none, if its observation holds no frames."""
    return [] if record.info.get("sighted") is False else record.clips
