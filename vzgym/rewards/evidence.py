"""Rewards for the overlap of zooms with known evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.interval import Interval, iou
from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext

__all__ = ["IouLast", "IouUnion"]


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


def _overlap(record: EpisodeRecord, windows: Sequence[Interval]) -> float | None:
    if not record.task.evidence or record.end is End.VIDEO_ERROR:
        return None
    return iou(windows, record.task.evidence) if record.end else 0.0
