"""BOLT: inverse transform sampling of scores (Liu et al., CVPR 2025, arXiv 2503.21483)."""

from __future__ import annotations

from functools import partial

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Indices, SelectorBase, check_number, min_max

__all__ = ["BOLT", "LONGVIDEOBENCH"]


class BOLT(SelectorBase):
    """Takes evenly spaced quantiles of the scores' distribution over time.

    With x the scores scaled to 0 to 1, to the power `power`, and c the cumulative sum of x / sum(x), the frames are the
    first with `c >= u` for u = `linspace(1 / k, 1 - 1 / k, k)`. The candidate of least score is never taken by the
    rule. The source uses power 3 for Video-MME and MLVU (the preset `bolt`), and 2.5 for LongVideoBench
    (`bolt-longvideobench`).

    Args:
        power: Sharpens the distribution, > 0; 1: not at all.
        exact: Keep repeats (one sharp peak gives one frame `k` times, `k = 2` always gives one frame twice).
    """

    name = "bolt"

    def __init__(self, power: float = 3.0, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        check_number("power", power, 1e-6)
        self.power = power

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        weights = min_max(candidates.all_scores()) ** self.power
        cumulated = np.cumsum(weights / weights.sum())
        targets = np.linspace(1 / k, 1 - 1 / k, k)
        if k == 1 and not self.exact:
            # The source's target is 1, which is the last frame or, by rounding, beyond it.
            targets = np.array([0.5])
        found: Indices = np.minimum(np.searchsorted(cumulated, targets, side="left"), len(cumulated) - 1)
        return found


LONGVIDEOBENCH = partial(BOLT, power=2.5)
"""The source's setting for LongVideoBench."""
