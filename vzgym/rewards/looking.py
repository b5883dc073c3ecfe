"""More rewards for where and how an agent looks: recall, F1, repeats, distance in time, progress turn by turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.interval import Interval, coverage, intersect, iou, length
from vzgym.episode.clip import Clip
from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_flag, need_number

__all__ = ["Consistency", "GatedTurn", "LocF1", "Recall", "Repeat", "TimeProximity", "repeats_a_window"]


def _findable(record: EpisodeRecord) -> bool:
    """Whether there is evidence to find, and the video let the agent look for it."""
    return bool(record.task.evidence) and record.end is not End.VIDEO_ERROR


@dataclass(frozen=True)
class Recall:
    """Share of the evidence inside the zoomed windows. A diagnostic: do not train on it.

    Formula: at the end |W and E| / |E|, with W the union of the executed zooms' windows and E the union of the evidence
    intervals (lengths in seconds); 0 before, and 0 without a zoom. Unscored where no evidence is known or there is none
    to find, and after a video error.
    Range: [0, 1].
    Source: the recall reward that LongVT (arXiv 2511.20785) compares with.
    Known to break: widening the window raises it for free (LongVT on Charades: mIoU 21.6 with recall, 21.2 with
    nothing, 27.2 with IoU).
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
    """F1 of the time visited against the evidence.

    Formula: at the end 2 |W and E| / (|W| + |E|), the harmonic mean of precision |W and E| / |W| and recall |W and E| /
    |E|, with W and E as in `iou_union`; 0 before, and 0 without a zoom. Unscored where no evidence is known or there is
    none to find, and after a video error.
    Range: [0, 1].
    Source: LongVideo-R1.
    Known to break: as `iou_union`, of which it is a monotone function (2 IoU / (1 + IoU)), only kinder to wide windows.
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
    """A price for looking again where one has looked before.

    Formula: for a turn whose zoom was executed, minus the share of its window's length that lies inside windows of
    earlier zooms; else 0. Earlier looks count that showed at least the part of the picture that this one shows and,
    with `finer_is_new`, at the same frame rate or a higher one: going closer is no repeat.
    Range: [-1, 0] a turn.
    Source: LongVideo-R1, mended by `finer_is_new`.
    Known to break: coarse-to-fine search needs overlaps, so keep `finer_is_new`; a window moved by a frame still counts
    in full.

    Args:
        finer_is_new: Whether a look at a higher frame rate is free.
    """

    finer_is_new: bool = True

    name: ClassVar[str] = "repeat"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        need_flag(self.name, "finer_is_new", self.finer_is_new)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        clip = record.turns[-1].clip if record.turns else None
        if clip is None or clip.window is None:
            return 0.0
        known = [
            earlier.window
            for earlier in record.clips[:-1]
            if earlier.window is not None
            and _shows(earlier, clip)
            and (not self.finer_is_new or (earlier.fps or 0.0) >= (clip.fps or 0.0) * (1 - 1e-9))
        ]
        return 0.0 - coverage([clip.window], known)


def _shows(wide: Clip, narrow: Clip) -> bool:
    """Whether the part of the picture that `wide` showed holds the part that `narrow` showed."""
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
    """Whether an executed zoom had the very window (to a millisecond) and region of an earlier one."""
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
    """Whether no zoom merely repeated another.

    Formula: at the end 1 if no executed zoom has the window (to a millisecond) and region of an earlier one, else 0; 0
    before. Unscored after a video error. FrameThinker multiplies its reward by it: write `when: consistent` on the
    terms that it is to gate.
    Range: {0, 1}.
    Source: the consistency gate of FrameThinker (arXiv 2509.24304).
    Known to break: as a term rather than a gate it pays every episode that zooms at most once; a window shifted a
    little escapes it.
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
    """How near in time the zooms came to the evidence.

    Formula: at the end the mean over the evidence intervals of exp(-d^2 / (2 sigma^2)), where d is the distance in
    seconds from the interval to the centre of the nearest executed zoom's window (0 if a centre lies inside it); 0
    before, and 0 without a zoom. Unscored where no evidence is known or there is none to find, and after a video error.
    Range: [0, 1].
    Source: the temporal proximity of Open-o3-Video, there for a time that the answer names.
    Known to break: only the centre counts, not how wide or how fine the window is; several zooms raise the chance that
    one is near. The paper shrinks sigma during training: switch from a term with a wide to one with a narrow sigma by
    `anneal`.

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
    """Progress from zoom to zoom, paid only if the answer is right.

    Formula: at the end 1[right] * sum over executed zooms t of max(0, IoU(w_t, E) - max_(s<t) IoU(w_s, E)), where the
    best of no zoom is 0; 0 before. The sum telescopes to the best single window's IoU. Unscored where no evidence is
    known or there is none to find, or the grade is unscored.
    Range: [0, 1].
    Source: Video-MTR (arXiv 2508.20478).
    Known to break: without the gate it buys extra turns, which is why it has one; evidence in several places cannot be
    matched by one window.
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
