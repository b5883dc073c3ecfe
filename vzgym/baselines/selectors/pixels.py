"""Selectors that ignore the question: shot boundaries, motion, and DPSelect's feature changes.

Their scores are differences between successive frames: of the scorers "hsv-change" (shots) and "frame-difference"
(motion), or cosine distances of embeddings (DPSelect).
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Floats, Indices, SelectorBase, best, centred, check_number

__all__ = [
    "TOP_MOTION",
    "DPSelect",
    "Motion",
    "ShotBoundary",
    "apportion",
    "dpselect",
    "motion_indices",
    "shots",
]


def apportion(weights: Floats, seats: int) -> Indices:
    """Shares of `seats` in proportion to weights, in whole numbers: rounded down, then the largest remainders.

    Args:
        weights: >= 0, with a sum above 0.
        seats: Their sum.
    """
    raw = weights / weights.sum() * seats
    shares: Indices = np.floor(raw + 1e-12).astype(np.int64)
    shares[best(raw - shares, seats - int(shares.sum()))] += 1
    return shares


def shots(values: Floats, threshold: float = 27.0, least: int = 15, *, adaptive: bool = False) -> list[tuple[int, int]]:
    """Cut a video into shots by PySceneDetect's rules.

    A shot ends before frame i if `values[i] >= threshold` and it has at least `least` frames. The adaptive rule is
    `values[i] >= 15` and at least 3 times the mean of the two values on each side.

    Args:
        values: Change from the frame before (the scorer "hsv-change"), shape `(n,)`.
        threshold: Threshold of the plain rule.
        least: Minimum number of frames of a shot.
        adaptive: Use the adaptive rule, which is robust to moving cameras.

    Returns:
        Shots as `(first, last)`; `last` is exclusive.
    """
    cuts = [0]
    for index in range(1, len(values)):
        cut = _stands_out(values, index) if adaptive else values[index] >= threshold
        if cut and index - cuts[-1] >= least:
            cuts.append(index)
    return list(zip(cuts, [*cuts[1:], len(values)], strict=True))


def _stands_out(values: Floats, index: int) -> bool:
    if not 2 <= index < len(values) - 2 or values[index] < 15.0:
        return False
    around = float(values[[index - 2, index - 1, index + 1, index + 2]].mean())
    return around < 1e-5 or bool(values[index] / around >= 3.0)


class ShotBoundary(SelectorBase):
    """The middle frame of each shot.

    More shots than frames: the longest shots (ties: the earlier). Fewer: further frames in proportion to the shots'
    lengths, by largest remainders. Scores are `hsv_change` values: the scorer "hsv-change".

    Args:
        threshold: See `shots`.
        seconds: Minimum length of a shot. At 1 candidate a second almost every step looks like a cut.
        frames: Minimum number of candidates of a shot, in place of `seconds`; the library's own default is 15.
        adaptive: See `shots`.
        exact: One frame per shot, of at most `k` shots: fewer frames if there are fewer shots.
    """

    name = "shots"
    fps = None
    scorer: ClassVar[str] = "hsv-change"

    def __init__(
        self,
        threshold: float = 27.0,
        seconds: float = 0.6,
        frames: int | None = None,
        adaptive: bool = False,
        *,
        exact: bool = False,
    ) -> None:
        super().__init__(exact=exact)
        check_number("threshold", threshold, 0)
        check_number("seconds", seconds, 0)
        if frames is not None:
            check_number("frames", frames, 1, whole=True)
        self.threshold, self.seconds, self.frames, self.adaptive_rule = threshold, seconds, frames, adaptive

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> list[int]:
        """See `SelectorBase.choose`."""
        least = self.frames or max(1, math.ceil(self.seconds / candidates.step - 1e-9))
        found = shots(candidates.all_scores(), self.threshold, least, adaptive=self.adaptive_rule)
        lengths = np.array([last - first for first, last in found], dtype=np.float64)
        if len(found) >= k or self.exact:
            return [sum(found[index]) // 2 for index in best(lengths, k)]
        chosen: list[int] = []
        extra = apportion(lengths, k - len(found))
        for (first, last), share in zip(found, extra, strict=True):
            count = min(1 + int(share), last - first)
            chosen += (first + centred(last - first, count)).tolist()
        return chosen


def motion_indices(motion: Floats, k: int, power: float = 0.5) -> Indices:
    """Indices whose cumulated motion is nearest to (i + 0.5) / k; repeats are possible.

    Args:
        motion: Mean absolute difference from the frame before, shape `(n,)`; the first is 0.
        k: The number of frames wanted.
        power: Exponent of the motion.
    """
    weights = motion**power
    with np.errstate(invalid="ignore", divide="ignore"):
        cumulated = np.cumsum(weights) / weights.sum()
    targets = (np.arange(k) + 0.5) / k
    found: Indices = np.abs(cumulated[None, :] - targets[:, None]).argmin(axis=1)
    return found


class Motion(SelectorBase):
    """MGSampler (Zhi et al., arXiv 2104.09952): equal shares of the video's motion between frames.

    Scores are the mean absolute differences from the frame before: the scorer "frame-difference".

    Args:
        power: Exponent of the motion, >= 0; the source uses 0.5.
        top: Take the `k` frames of greatest motion instead ("top motion").
        exact: Keep repeats, also if nothing moves.
    """

    name = "motion"
    fps = None
    scorer: ClassVar[str] = "frame-difference"

    def __init__(self, power: float = 0.5, top: bool = False, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        check_number("power", power, 0)
        self.power, self.top = power, top

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        motion = np.maximum(candidates.all_scores(), 0.0)
        return best(motion, k) if self.top else motion_indices(motion, k, self.power)


TOP_MOTION = partial(Motion, top=True)
"""The frames of greatest motion."""


def dpselect(changes: Floats, k: int) -> Indices:
    """The `k` greatest changes, peaks before all others, sorted by time.

    A peak is the first maximum of the three values around it.

    Args:
        changes: Change from the frame before, shape `(n,)`, at most 2 apart (cosine distances are).
        k: The number of frames wanted.
    """
    padded = np.concatenate([[-np.inf], changes, [-np.inf]])
    peaks = (changes > padded[:-2]) & (changes >= padded[2:])
    return np.sort(best(changes + 2.0 * peaks, k))


class DPSelect(SelectorBase):
    """DPSelect, the selector of ReTaKe (Wang et al., arXiv 2412.20504): frames where visual features change most.

    The changes are cosine distances between the embeddings of successive frames; that of the first is 1. The source
    uses the features of the language model's own vision tower.

    Args:
        exact: The same rule; there is nothing to repair.
    """

    name = "dpselect"
    needs = frozenset({"embeddings"})

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        unit = candidates.unit_embeddings()
        return dpselect(np.concatenate([[1.0], 1.0 - (unit[1:] * unit[:-1]).sum(axis=1)]), k)
