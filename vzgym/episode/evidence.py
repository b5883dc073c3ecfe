"""Whether the frames shown in an episode contain the evidence of its task.

Shared by training-data filters, the failure taxonomy and metrics.
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
    """Whether the frames shown so far contain all evidence, at the frame rate that it requires.

    The first rule that applies:

    1. If the task gives runs of frames, each of which must be seen (`requirements.placement`): each run contains a
       shown frame.
    2. If it gives a rate (`requirements.min_fps`): within each evidence interval, no gap between two requested frames,
       or between one and the ends of the interval, is longer than `1 / min_fps`.
    3. Otherwise: each interval contains a frame.

    If there is nothing to find (`evidence == ()`) and no placement, any frame suffices. A clip of a region counts,
    unless the task states the region of the evidence (`requirements.regions`) and the clip does not contain it. Clips
    below the scale of `requirements.min_rows` do not count.

    Returns:
        None if the task's evidence is unknown.
    """
    evidence = evidence_of(record)
    return None if evidence is None else evidence.shown(clips_seen(record))


def overview_shows_evidence(record: EpisodeRecord) -> bool | None:
    """Whether the overview alone shows all evidence, so that the task needs no zoom; see `evidence_shown`.

    Returns:
        None if the task's evidence is unknown or empty (`evidence == ()`).
    """
    evidence = evidence_of(record)
    return evidence.shown([record.overview]) if evidence is not None and record.task.evidence else None


@dataclass(frozen=True)
class EvidencePlace:
    """One interval of evidence: a frame is required in each of several short runs, or frames at a rate.

    Attributes:
        span: The interval.
        runs: Intervals that each require a frame; None if the rate decides.
        rate: Sufficient frames per second; None if one frame suffices.
        region: The region of the frame that must be visible; None: any.
        rows: Minimum rows of pixels of the whole frame at the clip's scale.
    """

    span: Interval
    runs: tuple[Interval, ...] | None = None
    rate: float | None = None
    region: Region | None = None
    rows: float = 0.0

    def shown(self, clips: Sequence[Clip]) -> bool:
        """Whether these clips show all of it."""
        fine = [clip for clip in clips if self._in_view(clip) and _rows(clip) >= self.rows]
        if self.runs is not None:
            times = [float(time) + FRAME_SLACK for clip in fine for time in clip.times]
            return all(any(time in run for time in times) for run in self.runs)
        # The requested time, not the frame's own: the frame shows what is on the screen at that time.
        asked = sorted({float(time) for clip in fine for time in clip.requested})
        start, end = self.span.start, self.span.end
        inside = [time for time in asked if start - FRAME_SLACK <= time < end - FRAME_SLACK]
        if self.rate is None or not inside:
            return bool(inside)
        gaps = [later - earlier for earlier, later in pairwise([start, *inside, end])]
        return max(gaps) <= 1.0 / self.rate + FRAME_SLACK

    def overlapped(self, clips: Sequence[Clip]) -> bool:
        """Whether a zoom's window overlaps it, or a shown frame lies in it."""
        span = self.span
        return any(
            (clip.window is not None and clip.window.start < span.end and span.start < clip.window.end)
            or any(float(time) + FRAME_SLACK in span for time in clip.times)
            for clip in clips
            if self._in_view(clip)
        )

    def _in_view(self, clip: Clip) -> bool:
        """Whether the clip's region contains the required one."""
        part = clip.region
        if part is None or self.region is None:
            return True
        whole = self.region
        slack = 1e-6  # of the frame size: regions are stored with six digits
        return (
            part.left <= whole.left + slack
            and part.top <= whole.top + slack
            and part.right >= whole.right - slack
            and part.bottom >= whole.bottom - slack
        )


def _rows(clip: Clip) -> float:
    """Rows of pixels of the whole frame at the clip's scale."""
    return clip.size[0] / (1.0 if clip.region is None else clip.region.bottom - clip.region.top)


@dataclass(frozen=True)
class Evidence:
    """All evidence of a task.

    Attributes:
        places: The intervals of evidence, all of which must be shown.
    """

    places: tuple[EvidencePlace, ...]

    def shown(self, clips: Sequence[Clip]) -> bool:
        """Whether these clips show all of it; without evidence, whether they show anything."""
        return all(place.shown(clips) for place in self.places) and any(len(clip) for clip in clips)

    def overlapped(self, clips: Sequence[Clip]) -> bool:
        """Whether every place was overlapped by a zoom or contains a shown frame."""
        return bool(clips) and all(place.overlapped(clips) for place in self.places)


def evidence_of(record: EpisodeRecord) -> Evidence | None:
    """The evidence of a record's task; None if it is unknown."""
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
            assert runs  # only a placed event can lack an interval
            span = Interval(min(run.start for run in runs), max(run.end for run in runs))
        region = requirements.regions[number] if number < len(requirements.regions) else None
        places.append(EvidencePlace(span, runs, requirements.min_fps, region, requirements.min_rows))
    return Evidence(tuple(places))


def _events(evidence: Sequence[Interval], placement: Placement | None) -> list[tuple[Interval, ...] | None]:
    """For each event of a placement, the intervals that each require a frame.

    None for an event whose first frame is known neither from the evidence nor from the placement; empty without a
    placement, if its events do not match the evidence, or if nothing is known about either.
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
    """The clips that the agent has seen: none if its observations contain no frames."""
    return record.clips if record.info.sees_frames else []
