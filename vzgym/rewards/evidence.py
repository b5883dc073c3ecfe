"""Rewards for the overlap of zooms with known evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.interval import Interval, iou
from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_number
from vzgym.video.base import FRAME_SLACK

__all__ = ["EvidenceGate", "FramePurity", "IouLast", "IouUnion", "PenalizedIou"]


@dataclass(frozen=True)
class IouUnion:
    """Overlap of all zoomed windows with the evidence.

    Formula: at the end |W and E| / |W or E|, with W the union of the executed zooms' windows and E the union of the
    evidence intervals (lengths in seconds); 0 before, and 0 without a zoom. Unscored if the evidence is unknown or
    empty, and after a video error.
    Range: [0, 1]. Source: after LongVT (arXiv 2511.20785).
    Known to break: it rewards zooming even if the answer is wrong; a search over several windows lowers it.
    """

    name: ClassVar[str] = "iou_union"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        return _overlap(record, record.windows)


@dataclass(frozen=True)
class IouLast:
    """Overlap of the last zoomed window with the evidence.

    Formula: at the end |w and E| / |w or E|, with w the last executed zoom's window; 0 before, and 0 without a zoom.
    Unscored if the evidence is unknown or empty, and after a video error.
    Range: [0, 1]. Source: LongVT (arXiv 2511.20785).
    Known to break: with evidence in several places one window cannot reach 1.
    """

    name: ClassVar[str] = "iou_last"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        return _overlap(record, record.windows[-1:])


@dataclass(frozen=True)
class PenalizedIou:
    """Overlap of all zoomed windows with the evidence, negative if it is small.

    Formula: at the end IoU - penalty * max(0, 1 - IoU / threshold), with the IoU of `iou_union`; 0 before. Without a
    zoom -penalty. Unscored if the evidence is unknown or empty, and after a video error.
    Range: [-penalty, 1].
    Source: vzgym, a continuous form of penalty-aware IoU rewards: a miss costs something instead of giving 0.
    Known to break: a task whose evidence cannot be found costs the penalty whatever the policy does, which moves the
    mean but no group-relative advantage; a wrong zoom costs as much as none.

    Args:
        threshold: The IoU from which nothing is deducted, in (0, 1].
        penalty: The deduction at IoU 0, >= 0.
    """

    threshold: float = 0.1
    penalty: float = 0.5

    name: ClassVar[str] = "penalized_iou"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def __post_init__(self) -> None:
        need_number(self.name, "threshold", self.threshold, above=0.0, most=1.0)
        need_number(self.name, "penalty", self.penalty, least=0.0)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        overlap = _overlap(record, record.windows)
        if overlap is None or not record.end:
            return overlap
        return overlap - self.penalty * max(0.0, 1.0 - overlap / self.threshold)


@dataclass(frozen=True)
class EvidenceGate:
    """A right answer, paid in full only if the zooms touched the evidence.

    Formula: at the end 1[right] * min(1, IoU / threshold), with the IoU of `iou_union`; 0 before. Use it in place of
    `accuracy`. Unscored if the evidence is unknown or empty, or the grade is unscored.
    Range: [0, 1].
    Source: vzgym, the soft form of a gate on grounded answers; compare `when: evidence_seen`, the hard one.
    Known to break: right answers without the evidence, which may be sound, are worth nothing; the overview's frames do
    not count; the evidence of a dataset may be wider or narrower than what an answer needs.

    Args:
        threshold: The IoU from which the answer is paid in full, in (0, 1]. Small: touching the evidence suffices.
    """

    threshold: float = 0.05

    name: ClassVar[str] = "evidence_gate"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def __post_init__(self) -> None:
        need_number(self.name, "threshold", self.threshold, above=0.0, most=1.0)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        overlap = _overlap(record, record.windows)
        if overlap is None or record.grade is None:
            return overlap
        if record.grade.score is None:
            return None
        return record.grade.score * min(1.0, overlap / self.threshold)


@dataclass(frozen=True)
class FramePurity:
    """Share of the frames of the clips that show the evidence.

    Formula: at the end the number of frames of all clips, the overview excluded, whose time lies in an evidence
    interval, divided by their number; 0 before, and 0 without a frame. Unscored if the evidence is unknown or empty,
    and after a video error.
    Range: [0, 1].
    Source: after the evidence purity of EARL, Select Less, Reason More (arXiv 2510.15440).
    Known to break: one frame inside the evidence scores 1, so that it neither pays for finding all of it nor for
    looking closely; combine it with `recall` or accuracy.
    """

    name: ClassVar[str] = "frame_purity"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        evidence = record.task.evidence
        if not evidence or record.end is End.VIDEO_ERROR:
            return None
        times = [float(time) + FRAME_SLACK for clip in record.clips[1:] for time in clip.times]
        if not record.end or not times:
            return 0.0
        return sum(any(time in span for span in evidence) for time in times) / len(times)


def _overlap(record: EpisodeRecord, windows: Sequence[Interval]) -> float | None:
    if not record.task.evidence or record.end is End.VIDEO_ERROR:
        return None
    return iou(windows, record.task.evidence) if record.end else 0.0
