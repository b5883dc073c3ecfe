"""AKS: adaptive keyframe sampling (Tang et al., CVPR 2025, arXiv 2502.21271)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Floats, SelectorBase, best, check_number, min_max

__all__ = ["AKS", "LONGVIDEOBENCH", "VIDEOMME"]


class AKS(SelectorBase):
    """Splits the video in halves where scores are spread, and takes the best frames of each part.

    With scores scaled to 0 to 1, a part stays whole if the mean of its `k` greatest scores exceeds its mean by more
    than `threshold`, or at the maximum depth; otherwise it is split at `length // 2`. A part of depth d gives its
    `int(k / 2^d)` best frames. The threshold is rarely exceeded and a part no longer than `k` always splits, so that
    the usual result is simply the best frames of equal parts.

    The source's command `frame_select.py` has threshold 0.8 and depth 5, which fit its released frames for Video-MME,
    but not those for LongVideoBench, which fit 0.2 and 3: the presets `aks-videomme` and `aks-longvideobench`.

    Args:
        threshold: `t1` of the source.
        depth: `all_depth` of the source. If not exact, at most `floor(log2(k))`, since a deeper part would give none.
        exact: Keep the source's behavior: an empty result if `k < 2^depth`, fewer than `k` frames if it is no
            multiple of `2^depth` or a part is too short, and the first frames of each part if all scores are equal.
    """

    name = "aks"

    def __init__(self, threshold: float = 0.8, depth: int = 5, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        check_number("threshold", threshold, -math.inf)
        check_number("depth", depth, 0, whole=True)
        self.threshold, self.depth = threshold, depth

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> list[int]:
        """See `SelectorBase.choose`."""
        if len(candidates) < k:
            return list(range(len(candidates)))
        scores = min_max(candidates.all_scores())
        depth = self.depth if self.exact else min(self.depth, math.floor(math.log2(k)))
        chosen: list[int] = []
        for first, last, level in self.leaves(scores, k, depth):
            chosen += (first + best(scores[first:last], int(k / 2**level))).tolist()
        return chosen

    def leaves(self, scores: Floats, k: int, depth: int) -> list[tuple[int, int, int]]:
        """The parts `(first, last, depth)`, in order of time; `last` is exclusive.

        Args:
            scores: Scaled to 0 to 1, shape `(n,)`.
            k: The number of frames wanted of the whole video, which the rule uses at every depth.
            depth: Maximum depth.
        """
        found = []
        open_parts = [(0, len(scores), 0)]
        while open_parts:
            first, last, level = open_parts.pop()
            part = scores[first:last]
            spread = part[best(part, k)].mean() - part.mean() if len(part) else math.nan
            # Comparisons with nan (equal scores, empty parts) are false: such a part is split, as in the source.
            if spread > self.threshold or level >= depth:
                found.append((first, last, level))
            else:
                middle = first + (last - first) // 2
                open_parts += [(middle, last, level + 1), (first, middle, level + 1)]
        return found


VIDEOMME = partial(AKS, threshold=0.8, depth=5)
"""Settings that reproduce the frames released for Video-MME."""
LONGVIDEOBENCH = partial(AKS, threshold=0.2, depth=3)
"""Settings for LongVideoBench, as stated by TSPO's reimplementation."""
