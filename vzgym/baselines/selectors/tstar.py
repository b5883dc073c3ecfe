"""T*: temporal search by a distribution over frames (Ye et al., CVPR 2025, arXiv 2504.02259)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Floats, Indices, SelectorBase, best, check_number
from vzgym.baselines.selectors.packages import optional
from vzgym.core.errors import InvalidSetting

__all__ = ["TStar", "TStarSearch", "spread"]


def spread(scores: Floats, visited: Sequence[int], reach: int = 5) -> Floats:
    """Spread the scores of the best visited frames to their neighbors.

    Each visited frame at or above the 75th percentile of those just visited gives `score / (|offset| + 1)` to the
    frames within `reach`, which keep their own score if it is greater.

    Args:
        scores: Score of each frame, shape `(n,)`.
        visited: The frames just visited, in the order of their visit.
        reach: Greatest offset.

    Returns:
        The new scores, shape `(n,)`.
    """
    spreading = scores.copy()
    confidences = scores[list(visited)]
    threshold = np.percentile(confidences, 75)
    for frame, confidence in zip(visited, confidences, strict=True):
        if confidence >= threshold:
            near = np.arange(max(0, frame - reach), min(len(scores), frame + reach + 1))
            spreading[near] = np.maximum(spreading[near], spreading[frame] / (np.abs(near - frame) + 1))
    return spreading


class TStarSearch:
    """The search: which frames to look at next, and which to return.

    Args:
        n: The number of frames.
        budget: Share of the frames that may be looked at (at most 1000 frames).
        rng: Source of randomness.

    Attributes:
        scores: Score of each frame, shape `(n,)`.
        visited: The frames looked at, in order.
    """

    def __init__(self, n: int, budget: float, rng: np.random.Generator) -> None:
        self.scores: Floats = np.zeros(n)
        self.visited: list[int] = []
        self.budget = min(1000.0, n * budget)
        self._probability: Floats = np.full(n, 1.0 / n)
        self._rng = rng

    def next_frames(self, count: int) -> list[int]:
        """The frames of the next grid: evenly spaced ones at first, then drawn among the unvisited ones.

        They are drawn in proportion to P + count / n, from the top quarter of that.

        Args:
            count: Frames in a grid; fewer are returned if fewer are left.
        """
        n = len(self.scores)
        count = min(count, n)
        if not self.visited:
            frames = np.arange(0, n, n // count)[:count]
        else:
            free = np.ones(n)
            free[self.visited] = 0.0
            weights = (self._probability + count / n) * free
            weights *= weights >= np.percentile(weights, 75)
            count = min(count, int((weights > 0).sum()))
            if not count:
                return []
            frames = self._rng.choice(n, size=count, replace=False, p=weights / weights.sum())
        self.budget -= count
        return [int(frame) for frame in frames]

    def update(self, frames: Sequence[int], confidences: Sequence[float] | Floats) -> None:
        """Take the confidences of frames just looked at.

        Raises:
            DependencyNotInstalled: If SciPy is missing.
        """
        self.visited += [frame for frame in frames if frame not in self.visited]
        self.scores[list(frames)] = confidences
        self.scores = spread(self.scores, frames)
        n, seen = len(self.scores), np.sort(np.array(self.visited))
        smooth = self.scores
        # A cubic spline needs four points.
        if len(seen) >= 4:
            interpolate = optional("scipy.interpolate", TStar.name)
            with warnings.catch_warnings():
                # s = 0.5 suits confidences; on other scales the smoothing may not converge, and its last result counts.
                warnings.simplefilter("ignore", UserWarning)
                smooth = interpolate.UnivariateSpline(seen, self.scores[seen], s=0.5)(np.arange(n))
        sigmoid = 1.0 / (1.0 + np.exp(-np.maximum(1.0 / n, smooth)))
        self._probability = sigmoid / sigmoid.sum()

    def result(self, k: int, *, draw: bool = True) -> Indices:
        """`k` frames: drawn in proportion to their scores, as the source's evaluation does, or the best ones.

        Frames without a score are drawn only if there are no others.
        """
        if not draw:
            return np.sort(best(self.scores, k))
        weights = np.maximum(self.scores, 0.0)
        count = min(k, int((weights > 0).sum()))
        if not count:
            return np.empty(0, dtype=np.int64)
        return np.sort(self._rng.choice(len(weights), size=count, replace=False, p=weights / weights.sum()))


class TStar(SelectorBase):
    """T*'s search with a scorer in place of the object detector: a score is the confidence that the target is there.

    Frames are looked at in grids. The scores of the best of them spread to their neighbors, a spline through all seen
    scores gives the probabilities of the next grid, and the search ends once a score exceeds `confidence`, or the
    budget is used. The agent of this name asks a language model for objects and a detector. Needs the extra `selectors`
    (SciPy).

    Args:
        grid: Frames in a grid, 16 (4 x 4) or 64 (8 x 8) in the source.
        budget: Share of the candidates that may be scored, 0 < budget <= 1; the source has 0.5 and 1.0.
        confidence: The score at which a target counts as found, 0.6 or 0.7 in the source.
        final: "draw" in proportion to the scores, as the source's evaluation does, or "top".
        exact: Keep fewer than `k` frames if fewer have a score.

    Raises:
        InvalidSetting: If an option is out of range.
    """

    name = "t-star"
    adaptive: ClassVar[bool] = True

    def __init__(
        self, grid: int = 16, budget: float = 0.5, confidence: float = 0.6, final: str = "draw", *, exact: bool = False
    ) -> None:
        super().__init__(exact=exact)
        check_number("grid", grid, 1, whole=True)
        check_number("budget", budget, 1e-9, most=1)
        check_number("confidence", confidence, -math.inf)
        if final not in ("draw", "top"):
            raise InvalidSetting(f"final must be 'draw' or 'top', got {final!r}")
        self.grid, self.budget, self.confidence, self.final = grid, budget, confidence, final

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        search = TStarSearch(len(candidates), self.budget, rng)
        found = False
        while not found and search.budget > 0 and (frames := search.next_frames(self.grid)):
            scores = candidates.score_at(frames)
            search.update(frames, scores)
            found = bool((scores > self.confidence).any())
        return search.result(k, draw=self.final == "draw")
