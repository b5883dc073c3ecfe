"""DIG: rate the middle of each piece of the video, and sample around the best ones (CVPR 2026, arXiv 2512.04000)."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from vzgym.baselines.selectors.base import Candidates, Floats, Indices, SelectorBase, check_number
from vzgym.baselines.selectors.packages import optional
from vzgym.baselines.selectors.uniform import CONVENTIONS
from vzgym.core.errors import InvalidSetting

__all__ = ["DIG", "refine", "survivors", "within"]


def survivors(ratings: ArrayLike) -> Indices:
    """The pieces that are kept.

    Ratings are scaled to 0 to 100, and zeros dropped. The rest is reduced in two ways: (a) subtract the mean and clip
    at 0, until no further rating becomes 0; (b) subtract half the maximum once. The one that keeps fewer pieces
    counts, (a) if equal.

    Args:
        ratings: One for each piece.

    Returns:
        Indices of pieces; empty if all ratings are equal.
    """
    given = np.asarray(ratings, dtype=np.float64)
    if not len(given) or given.max() == given.min():
        return np.empty(0, dtype=np.int64)
    scaled = (given - given.min()) / (given.max() - given.min() + 1e-8) * 100.0
    places = np.flatnonzero(scaled > 0)
    if len(places) == 1:
        return places
    by_mean = scaled[places]
    while True:
        zeros = int((by_mean == 0).sum())
        by_mean = np.maximum(by_mean - by_mean.mean(), 0.0)
        if int((by_mean == 0).sum()) == zeros:
            break
    by_half = np.maximum(scaled[places] - 0.5 * scaled[places].max(), 0.0)
    final = by_mean if (by_mean > 0).sum() <= (by_half > 0).sum() else by_half
    kept: Indices = places[final > 0]
    return kept


def refine(ratings: ArrayLike, boundaries: list[int], window: int = 2, *, exact: bool = False) -> list[tuple[int, int]]:
    """The intervals around the pieces that are kept, merged where they overlap.

    Args:
        ratings: One for each piece.
        boundaries: First candidates of the pieces, and the end: one more than ratings.
        window: Boundaries that are kept on each side of a piece's own first one.
        exact: Never go beyond the last but one boundary, so that the last piece is never whole, as in the source.

    Returns:
        Intervals `(first, last)`, both inclusive; the whole video if nothing is kept.
    """
    count = len(np.asarray(ratings))
    end = count - 1 if exact else count
    spans = [
        (boundaries[max(0, piece - window)], boundaries[min(end, piece + window)])
        for piece in survivors(ratings).tolist()
    ]
    merged: list[tuple[int, int]] = []
    for first, last in spans:
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged or [(boundaries[0], boundaries[-1])]


def within(intervals: list[tuple[int, int]], k: int) -> Indices:
    """`k` evenly spaced indices in the joined intervals, `int(linspace(0, length - 1, k))`."""
    joined = np.concatenate([np.arange(first, last + 1) for first, last in intervals])
    return joined[CONVENTIONS["linspace"](len(joined), k)]


class DIG(SelectorBase):
    """Samples uniformly around the pieces of the video that are rated best.

    The video is cut where the cosine distance of successive embeddings has a peak of prominence 0.1 (a local question;
    a global one gets uniform frames, as the source's language model decides). The middle of each piece is scored: in
    the source by a language model, 0 to 100. Needs the extra `selectors` (SciPy).

    Args:
        window: Boundaries kept on each side of a piece.
        prominence: Of the peaks.
        question: "local" or "global".
        exact: Keep repeats where the intervals are short, and never the last piece as a whole.

    Raises:
        InvalidSetting: If an option is out of range.
    """

    name = "dig"
    needs = frozenset({"scores", "embeddings"})
    fps = 2.0
    adaptive: ClassVar[bool] = True

    def __init__(
        self, window: int = 2, prominence: float = 0.1, question: str = "local", *, exact: bool = False
    ) -> None:
        super().__init__(exact=exact)
        check_number("window", window, 1, whole=True)
        check_number("prominence", prominence, 0)
        if question not in ("local", "global"):
            raise InvalidSetting(f"question must be 'local' or 'global', got {question!r}")
        self.window, self.prominence, self.question = window, prominence, question

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        n = len(candidates)
        if self.question == "global" or n < 2:
            return CONVENTIONS["linspace"](n, k)
        boundaries = self.boundaries(candidates.unit_embeddings())
        middles = [(a + b) // 2 for a, b in itertools.pairwise(boundaries)]
        return within(refine(candidates.score_at(middles), boundaries, self.window, exact=self.exact), k)

    def boundaries(self, unit: Floats) -> list[int]:
        """The first candidates of the pieces, and the last candidate."""
        changes = 1.0 - (unit[1:] * unit[:-1]).sum(axis=1)
        peaks, _ = optional("scipy.signal", self.name).find_peaks(changes, prominence=self.prominence)
        return [0, *(int(peak) for peak in peaks if peak > 0), len(unit) - 1]
