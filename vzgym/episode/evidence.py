"""Whether the frames shown in an episode hold the evidence of its task.

Training-data filters, the failure taxonomy and metrics share this rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vzgym.core.actions import Region
from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord
from vzgym.tasks.evidence import Placement
from vzgym.video.base import FRAME_SLACK

__all__ = ["Evidence", "EvidencePlace", "clips_seen", "evidence_of", "evidence_shown", "overview_shows_evidence"]


def evidence_shown(record: EpisodeRecord) -> bool | None:
    """Whether the frames shown so far hold all that the right answer rests on, at the rate that it needs.

    Three rules, the first that applies:

    1. Where the task says of which runs of frames one each must be seen (`requirements.placement`): a frame shown must
       lie in each run.
    2. Where it gives a rate (`requirements.min_fps`): within each evidence interval, no stretch longer than
       `1 / min_fps` may lie between two frames asked for, or between one and the ends of the interval.
    3. Else: a frame in each interval.

    Where there is nothing to find (`evidence == ()`) and no placement, any frame does. A clip of a part of the picture
    counts, unless the task says which part holds the evidence (`requirements.regions`) and the clip does not hold it.
    Clips below the scale of `requirements.min_rows` do not count.

    Returns:
        None if the task's evidence is unknown.
    """
    evidence = evidence_of(record)
    return None if evidence is None else evidence.shown(clips_seen(record))


def overview_shows_evidence(record: EpisodeRecord) -> bool | None:
    """Whether the overview alone shows all evidence, so that the task needs no zoom; see `evidence_shown`.

    Returns:
        None if the task's evidence is unknown, or there is none to find (`evidence == ()`).
    """
    evidence = evidence_of(record)
    return evidence.shown([record.overview]) if evidence is not None and record.task.evidence else None


@dataclass(frozen=True)
class EvidencePlace:
    """One interval that must be seen: a frame in each of several short runs of time, or frames at a rate.

    Attributes:
        span: The interval.
        runs: Intervals of which each needs a frame; None if the rate decides.
        rate: Frames a second that suffice; None if one frame does.
        region: The part of the picture that must be in view; None: any part.
        rows: How many rows of pixels the whole picture must at least have at a clip's scale.
    """

    span: Interval
    runs: tuple[Interval, ...] | None = None
    rate: float | None = None
    region: Region | None = None
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
        whole = self.region
        slack = 1e-6  # of the picture: regions are kept to six digits
        return (
            part.left <= whole.left + slack
            and part.top <= whole.top + slack
            and part.right >= whole.right - slack
            and part.bottom >= whole.bottom - slack
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
    evidence, requirements = record.task.evidence, record.task.requirements
    if evidence is None:
        return None
    events = _events(evidence, requirements.placement)
    places = []
    for number in range(max(len(evidence), len(events))):
        runs = events[number] if number < len(events) else None
        if number < len(evidence):
            span = evidence[number]
        else:
            assert runs  # only an event that is placed can be without an interval
            span = Interval(min(run.start for run in runs), max(run.end for run in runs))
        region = requirements.regions[number] if number < len(requirements.regions) else None
        places.append(EvidencePlace(span, runs, requirements.min_fps, region, requirements.min_rows))
    return Evidence(tuple(places))


def _events(evidence: Sequence[Interval], placement: Placement | None) -> list[tuple[Interval, ...] | None]:
    """For each event of a placement, the runs of time of which it needs a frame each.

    None for an event whose first frame is known neither from the evidence nor from the placement; empty without a
    placement, where its events are not those of the evidence, or where nothing is known of either.
    """
    if placement is None or len(placement.events) != max(1, len(evidence)):
        return []
    events = [_runs(evidence[number : number + 1], event) for number, event in enumerate(placement.events)]
    return events if evidence or events[0] is not None else []


def _runs(evidence: Sequence[Interval], event: Placement) -> tuple[Interval, ...] | None:
    starts = event.starts
    if evidence:
        start = round(evidence[0].start * event.fps)
        if not any(low <= start < high for low, high in starts):
            return None
    elif len(starts) == 1 and starts[0][1] - starts[0][0] == 1:
        start = starts[0][0]
    else:
        return None
    return tuple(Interval((start + low) / event.fps, (start + high) / event.fps) for low, high in event.needs)


def clips_seen(record: EpisodeRecord) -> list[Clip]:
    """The clips that the agent has seen: none, if its observation holds no frames."""
    return record.clips if record.info.sees_frames else []
