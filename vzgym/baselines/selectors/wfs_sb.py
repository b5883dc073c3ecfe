"""WFS-SB: segments from a wavelet of the scores, then frames by segment (CVPR 2026, arXiv 2603.00512)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Floats, Indices, SelectorBase, best, centred, check_number
from vzgym.baselines.selectors.packages import optional
from vzgym.baselines.selectors.pixels import apportion

__all__ = ["WFSSB", "SegmentWeights", "coarse_detail", "segment_peaks"]


def coarse_detail(scores: Floats, wavelet: str = "db4") -> Floats:
    """The coarsest detail of a wavelet decomposition at level `max(1, floor(log2 n - 3))`, shape `(n,)`.

    Zeros for scores too few for one level.

    Raises:
        DependencyNotInstalled: If PyWavelets is missing.
    """
    pywt = optional("pywt", WFSSB.name)
    most = pywt.dwt_max_level(len(scores), pywt.Wavelet(wavelet).dec_len)
    if most < 1:
        return np.zeros_like(scores)
    level = max(1, min(math.floor(math.log2(len(scores)) - 3), most))
    approximation, detail, *finer = pywt.wavedec(scores, wavelet, level=level)
    kept = [np.zeros_like(approximation), detail, *(np.zeros_like(part) for part in finer)]
    found: Floats = pywt.waverec(kept, wavelet)[: len(scores)]
    return found


def segment_peaks(detail: Floats) -> Indices:
    """Peaks of the absolute detail, which divide the segments.

    Their height is at least mean + 0.5 std, their prominence 0.05 of the range, their distance max(5, 0.02 n).

    Raises:
        DependencyNotInstalled: If SciPy is missing.
    """
    strength = np.abs(detail)
    peaks, _ = optional("scipy.signal", WFSSB.name).find_peaks(
        strength,
        height=strength.mean() + 0.5 * strength.std(),
        prominence=0.05 * (strength.max() - strength.min()),
        distance=max(5, 0.02 * len(detail)),
    )
    found: Indices = np.asarray(peaks, dtype=np.int64)
    return found


@dataclass(frozen=True)
class SegmentWeights:
    """The weight of a segment: a weighted sum of its share of the length, mean, maximum and relative variance.

    Attributes:
        length: Weight of its length / n.
        mean: Weight of its mean score.
        peak: Weight of its greatest score.
        variance: Weight of its variance / (variance of all + 1e-8).
    """

    length: float = 0.4
    mean: float = 0.2
    peak: float = 0.3
    variance: float = 0.1

    def of(self, scores: Floats, segments: list[tuple[int, int]]) -> Floats:
        """Weights of segments `(first, last)`, `last` exclusive."""
        spread = float(scores.var()) + 1e-8
        return np.array(
            [
                self.length * (last - first) / len(scores)
                + self.mean * scores[first:last].mean()
                + self.peak * scores[first:last].max()
                + self.variance * scores[first:last].var() / spread
                for first, last in segments
            ]
        )


class WFSSB(SelectorBase):
    """Cuts the video at the peaks of the scores' coarsest wavelet detail, and shares the frames among the segments.

    Of more than three segments those of weight below `max(0.05, mean - eta * std)` are dropped. The frames are shared
    in proportion to the softmax of the weights, by largest remainders. In a segment the best frame comes first, then
    maximal marginal relevance, `0.5 * (2 s - 1) - 0.5 * likeness`; likeness to the nearest chosen frame is the cosine
    of the embeddings or, without them, `exp(-distance / 10)`. Without peaks half of the frames are uniform, half the
    best ones. Needs the extra `selectors` (SciPy, PyWavelets).

    The weights and eta are those of the source's configuration file, which its results use; its class has other
    defaults (0.3, 0.4, 0.2, 0.1 and 1.5).

    Args:
        eta: See above.
        weights: Length, mean, peak and variance; see `SegmentWeights`.
        exact: Keep fewer than `k` frames where segments are shorter than their share.
    """

    name = "wfs-sb"

    def __init__(
        self,
        eta: float = 1.2,
        weights: tuple[float, float, float, float] = (0.4, 0.2, 0.3, 0.1),
        *,
        exact: bool = False,
    ) -> None:
        super().__init__(exact=exact)
        check_number("eta", eta, 0)
        self.eta, self.weights = eta, SegmentWeights(*weights)

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        n, scores = len(candidates), candidates.all_scores()
        if n <= k:
            return np.arange(n)
        peaks = segment_peaks(coarse_detail(scores)) if n >= 2 else np.empty(0, dtype=np.int64)
        if not len(peaks):
            return np.concatenate([centred(n, k // 2), best(scores, k - k // 2)])
        bounds = [0, *peaks.tolist(), n]
        segments = [(first, last) for first, last in itertools.pairwise(bounds) if last > first]
        return self.from_segments(candidates, segments, k)

    def kept(self, scores: Floats, segments: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], Floats]:
        """The segments that are not dropped, and their weights."""
        weights = self.weights.of(scores, segments)
        if len(segments) <= 3:
            return segments, weights
        keep = weights >= max(0.05, weights.mean() - self.eta * weights.std())
        if not keep.any():
            keep[:] = True
        return [segment for segment, stays in zip(segments, keep, strict=True) if stays], weights[keep]

    def from_segments(self, candidates: Candidates, segments: list[tuple[int, int]], k: int) -> Indices:
        """Select frames in given segments."""
        scores = candidates.all_scores()
        kept, weights = self.kept(scores, segments)
        shares = apportion(np.exp(weights - weights.max()), k)
        unit = None if candidates.embeddings is None else candidates.unit_embeddings()
        chosen: list[int] = []
        for (first, last), share in zip(kept, shares.tolist(), strict=True):
            chosen += _relevant_and_apart(scores, unit, first, last, share)
        return np.array(chosen, dtype=np.int64)


def _relevant_and_apart(scores: Floats, unit: Floats | None, first: int, last: int, count: int) -> list[int]:
    """Up to `count` frames of a segment by maximal marginal relevance."""
    pool = np.arange(first, last)
    chosen: list[int] = []
    likeness = np.full(len(pool), -np.inf)
    while len(chosen) < min(count, len(pool)):
        worth = 0.5 * (2.0 * scores[pool] - 1.0) - 0.5 * likeness if chosen else scores[pool].copy()
        worth[np.isin(pool, chosen)] = -np.inf
        taken = int(pool[int(worth.argmax())])
        chosen.append(taken)
        to_taken = np.exp(-np.abs(pool - taken) / 10.0) if unit is None else unit[pool] @ unit[taken]
        likeness = np.maximum(likeness, to_taken)
    return chosen
