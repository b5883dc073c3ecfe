"""Rewards for the placement of zooms: recall, F1, repeats, temporal distance, progress per turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.interval import Interval, coverage, intersect, iou, length
from vzgym.episode.clip import Clip
from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_flag, need_number

__all__ = ["Consistency", "GatedTurn", "LocF1", "Recall", "Repeat", "TimeProximity", "repeats_a_window"]


def _findable(record: EpisodeRecord) -> bool:
    """Whether the task has evidence and the episode ended without a video error."""
    return bool(record.task.evidence) and record.end is not End.VIDEO_ERROR


@dataclass(frozen=True)
class Recall:
    """Share of the evidence inside the zoomed windows. A diagnostic: do not train on it.

    Formula: at the end |W and E| / |E|, with W the union of the executed zooms' windows and E the union of the evidence
    intervals (lengths in seconds); 0 before, and 0 without a zoom. Unscored if the evidence is unknown or empty, and
    after a video error.
    Range: [0, 1].
    Source: the recall reward that LongVT (arXiv 2511.20785) compares with.
    Known to break: widening the window raises it at no cost (LongVT on Charades: mIoU 21.6 with recall, 21.2 without
    such a reward, 27.2 with IoU).
    """

    name: ClassVar[str] = "recall"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not _findable(record):
            return None
        return coverage(record.task.evidence or (), record.windows) if record.end else 0.0


@dataclass(frozen=True)
class LocF1:
    """F1 score of the zoomed windows against the evidence.

    Formula: at the end 2 |W and E| / (|W| + |E|), the harmonic mean of precision |W and E| / |W| and recall |W and E| /
    |E|, with W and E as in `iou_union`; 0 before, and 0 without a zoom. Unscored if the evidence is unknown or empty,
    and after a video error.
    Range: [0, 1].
    Source: LongVideo-R1.
    Known to break: as `iou_union`, of which it is a monotone function (2 IoU / (1 + IoU)) that penalizes wide windows
    less.
    """

    name: ClassVar[str] = "loc_f1"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not _findable(record):
            return None
        if not record.end:
            return 0.0
        evidence = record.task.evidence or ()
        return 2.0 * length(intersect(record.windows, evidence)) / (length(record.windows) + length(evidence))


@dataclass(frozen=True)
class Repeat:
    """A price for zooming repeatedly into the same window.

    Formula: for a turn whose zoom was executed, minus the share of its window's length that lies inside windows of
    earlier zooms; else 0. An earlier zoom counts if its region contains the region of this one and, with
    `finer_is_new`, its frame rate was at least as high. For a turn of several zooms, the mean of their shares, each
    compared with the zooms before it.
    Range: [-1, 0] a turn.
    Source: LongVideo-R1, corrected by `finer_is_new`.
    Known to break: coarse-to-fine search needs overlaps, so keep `finer_is_new`; a window moved by a frame still counts
    in full.

    Args:
        finer_is_new: Whether a zoom at a higher frame rate is free.
    """

    finer_is_new: bool = True

    name: ClassVar[str] = "repeat"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        need_flag(self.name, "finer_is_new", self.finer_is_new)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        fresh = [clip for clip in record.turns[-1].clips if clip.window is not None] if record.turns else []
        before = record.clips[: len(record.clips) - len(fresh)]
        shares = []
        for clip in fresh:
            assert clip.window is not None
            shares.append(coverage([clip.window], self._known(clip, before)))
            before = [*before, clip]
        return 0.0 - sum(shares) / len(shares) if shares else 0.0

    def _known(self, clip: Clip, before: Sequence[Clip]) -> list[Interval]:
        """The windows of earlier zooms that show what a clip shows."""
        return [
            earlier.window
            for earlier in before
            if earlier.window is not None
            and _shows(earlier, clip)
            and (not self.finer_is_new or (earlier.fps or 0.0) >= (clip.fps or 0.0) * (1 - 1e-9))
        ]


def _shows(wide: Clip, narrow: Clip) -> bool:
    """Whether the region of `wide` contains the region of `narrow`."""
    if wide.region is None:
        return True
    if narrow.region is None:
        return False
    outer, inner = wide.region, narrow.region
    return (
        outer.left <= inner.left
        and outer.top <= inner.top
        and outer.right >= inner.right
        and outer.bottom >= inner.bottom
    )


def repeats_a_window(record: EpisodeRecord) -> bool:
    """Whether an executed zoom has the window (to a millisecond) and region of an earlier one."""
    seen: set[object] = set()
    for clip in record.clips:
        if clip.window is None:
            continue
        look = (round(clip.window.start, 3), round(clip.window.end, 3), clip.region)
        if look in seen:
            return True
        seen.add(look)
    return False


@dataclass(frozen=True)
class Consistency:
    """Whether no zoom repeated an earlier one.

    Formula: at the end 1 if no executed zoom has the window (to a millisecond) and region of an earlier one, else 0; 0
    before. Unscored after a video error. FrameThinker multiplies its reward by this value: set `when: consistent` on
    the terms to gate.
    Range: {0, 1}.
    Source: the consistency gate of FrameThinker (arXiv 2509.24304).
    Known to break: as a term rather than a gate, it rewards every episode with at most one zoom; a slightly shifted
    window is not detected.
    """

    name: ClassVar[str] = "consistency"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR:
            return None
        return float(record.end is not None and not repeats_a_window(record))


@dataclass(frozen=True)
class TimeProximity:
    """Temporal proximity of the zooms to the evidence.

    Formula: at the end the mean over the evidence intervals of exp(-d^2 / (2 sigma^2)), where d is the distance in
    seconds from the interval to the center of the nearest executed zoom's window (0 if a center lies inside it); 0
    before, and 0 without a zoom. Unscored if the evidence is unknown or empty, and after a video error.
    Range: [0, 1].
    Source: the temporal proximity of Open-o3-Video, which applies it to a time stated in the answer.
    Known to break: only the center counts, not the width or frame rate; several zooms raise the chance that one is
    near. The paper reduces sigma during training: use `anneal` to switch from a term with a large sigma to one with a
    small sigma.

    Args:
        sigma: In seconds, > 0.
    """

    sigma: float = 5.0

    name: ClassVar[str] = "time_proximity"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def __post_init__(self) -> None:
        need_number(self.name, "sigma", self.sigma, above=0.0)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not _findable(record):
            return None
        if not record.end or not record.windows:
            return 0.0
        centres = [(window.start + window.end) / 2 for window in record.windows]
        evidence = record.task.evidence or ()
        near = [
            math.exp(-(min(_distance(centre, span) for centre in centres) ** 2) / (2 * self.sigma**2))
            for span in evidence
        ]
        return math.fsum(near) / len(near)


def _distance(time: float, span: Interval) -> float:
    return max(span.start - time, time - span.end, 0.0)


@dataclass(frozen=True)
class GatedTurn:
    """Progress from zoom to zoom, given only if the answer is right.

    Formula: at the end 1[right] * sum over executed zooms t of max(0, IoU(w_t, E) - max_(s<t) IoU(w_s, E)), where the
    maximum over no zooms is 0; 0 before. The sum telescopes to the IoU of the best single window. Unscored if the
    evidence is unknown or empty, or the grade is unscored.
    Range: [0, 1].
    Source: Video-MTR (arXiv 2508.20478).
    Known to break: evidence in several places cannot be matched by one window. Without its gate it would encourage
    extra turns.
    """

    name: ClassVar[str] = "gated_turn"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not _findable(record):
            return None
        if record.grade is None:
            return 0.0
        if record.grade.score is None:
            return None
        best, gained = 0.0, []
        for window in record.windows:
            overlap = iou([window], record.task.evidence or ())
            gained.append(max(0.0, overlap - best))
            best = max(best, overlap)
        return record.grade.score * math.fsum(gained)
