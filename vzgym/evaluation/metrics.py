"""What is measured of an episode, and of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vzgym.core.interval import Interval, coverage, iou
from vzgym.episode.record import EpisodeRecord, Outcome
from vzgym.evaluation.statistics import Estimate, mean, proportion
from vzgym.video.base import FRAME_SLACK

__all__ = ["METRICS", "EpisodeMetrics", "Metric", "summarise"]


@dataclass(frozen=True, slots=True)
class EpisodeMetrics:
    """The measures of one episode. None: cannot be said of this episode.

    Attributes:
        task_id: The task.
        category: Its category.
        correct: Whether the answer is right; None if unscored.
        frames: Frames shown, the overview's included.
        zooms: Zooms carried out.
        refused: Rounds lost to refused zooms and unreadable text.
        evidence_seen: Share of the evidence intervals in which at least one shown frame lies.
        evidence_coverage: Share of the evidence's length inside the zoomed windows.
        evidence_iou: Overlap of the zoomed windows with the evidence.
        reward: Sum of the rewards; None if unscored or none was attached.
        decoded: Frames decoded to serve the episode.
        decode_seconds: Wall time spent on getting frames.
        wall_seconds: Wall time of the episode, policy included.
    """

    task_id: str
    category: str
    correct: bool | None
    frames: int
    zooms: int
    refused: int
    evidence_seen: float | None
    evidence_coverage: float | None
    evidence_iou: float | None
    reward: float | None
    decoded: int
    decode_seconds: float
    wall_seconds: float | None

    @classmethod
    def of(cls, record: EpisodeRecord) -> EpisodeMetrics:
        """Measure a finished record."""
        evidence = record.task.evidence or ()
        grade = record.grade
        times = [float(time) for clip in record.clips for time in clip.times]
        totals = [entry["total"] for entry in record.rewards or ()]
        wall = record.info.get("wall_seconds")
        return cls(
            task_id=record.task.id,
            category=record.task.category,
            correct=None if grade is None or grade.score is None else grade.is_correct,
            frames=record.frames,
            zooms=record.zooms,
            refused=sum(turn.outcome is Outcome.REFUSED for turn in record.turns),
            evidence_seen=(
                sum(any(_within(time, span) for time in times) for span in evidence) / len(evidence)
                if evidence
                else None
            ),
            evidence_coverage=coverage(evidence, record.windows) if evidence else None,
            evidence_iou=iou(evidence, record.windows) if evidence else None,
            reward=None if not totals or None in totals else math.fsum(totals),
            decoded=sum(clip.decoded for clip in record.clips),
            decode_seconds=math.fsum(clip.seconds for clip in record.clips),
            wall_seconds=float(wall) if wall is not None else None,
        )


def _within(time: float, span: Interval) -> bool:
    """Whether a frame of this time lies in `span`; a decoder's time stamp may be off by a rounding."""
    return span.start - FRAME_SLACK <= time < span.end - FRAME_SLACK


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of a table.

    Attributes:
        name: The field of `EpisodeMetrics`.
        title: The column's head.
        unit: What one is of: "share", "count", "seconds".
    """

    name: str
    title: str
    unit: str


METRICS: tuple[Metric, ...] = (
    Metric("correct", "accuracy", "share"),
    Metric("frames", "frames", "count"),
    Metric("zooms", "zooms", "count"),
    Metric("refused", "refused", "count"),
    Metric("evidence_seen", "evidence seen", "share"),
    Metric("evidence_coverage", "coverage", "share"),
    Metric("evidence_iou", "IoU", "share"),
    Metric("reward", "reward", "count"),
    Metric("decoded", "decoded", "count"),
    Metric("decode_seconds", "decode time", "seconds"),
    Metric("wall_seconds", "wall time", "seconds"),
)
"""Every measure, in the order of a table."""


def summarise(episodes: Sequence[EpisodeMetrics]) -> dict[str, Estimate]:
    """Mean and 95 % interval of each metric, over the episodes of which it can be said.

    A share that was 0 or 1 in each of them (right or wrong, seen or not) gets Wilson's interval, any other share a
    normal one within [0, 1].
    """
    summary: dict[str, Estimate] = {}
    for metric in METRICS:
        values: list[Any] = [value for item in episodes if (value := getattr(item, metric.name)) is not None]
        summary[metric.name] = _share(values) if metric.unit == "share" else mean(values)
    return summary


def _share(values: Sequence[float]) -> Estimate:
    if set(values) <= {0, 1}:
        return proportion([bool(value) for value in values])
    found = mean(values)
    low, high = np.clip((found.low, found.high), 0.0, 1.0).tolist()  # keeps nan
    return replace(found, low=low, high=high)
