"""Q-Frame: Gumbel sampling of scores (Zhang et al., ICCV 2025, arXiv 2506.22139)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from vzgym.baselines.selectors.base import Candidates, Floats, Indices, SelectorBase, best, check_number

__all__ = ["QFrame", "gumbel_order", "resolutions"]

_SLACK = 1e-10


def gumbel_order(logits: ArrayLike, noise: ArrayLike, temperature: float = 0.8) -> Indices:
    """The order of candidates by `log p - log(-log(u + 1e-10) + 1e-10)`, greatest first, p = softmax(logits / tau).

    Args:
        logits: Shape `(n,)`.
        noise: u, uniform in [0, 1), shape `(n,)`.
        temperature: tau, > 0.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    shifted = scaled - scaled.max()
    # Not log(softmax): it would be -inf for all candidates far below the greatest, and their order undefined.
    log_p = shifted - math.log(np.exp(shifted).sum())
    gumbel = -np.log(-np.log(np.asarray(noise, dtype=np.float64) + _SLACK) + _SLACK)
    return best(log_p + gumbel, len(scaled))


def resolutions(order: Indices, high: int = 4, middle: int = 8, low: int = 32) -> tuple[Indices, Floats]:
    """The frames of the multi-resolution form, and the scale of width and height at which each is shown.

    The first `high` of the order are shown at half width and height, the next `middle` at a quarter, the next `low` at
    an eighth: 4 + 8 + 32 frames cost as many visual tokens as 8 at half size. With fewer candidates there are fewer.

    Args:
        order: Candidates, best first.
        high: Frames at 1/2.
        middle: Frames at 1/4.
        low: Frames at 1/8.

    Returns:
        Indices sorted by time, and their scales, both of shape `(m,)`.
    """
    chosen = np.asarray(order, dtype=np.int64)[: high + middle + low]
    scales = np.repeat([1 / 2, 1 / 4, 1 / 8], [high, middle, low])[: len(chosen)]
    by_time = np.argsort(chosen)
    return chosen[by_time], scales[by_time]


class QFrame(SelectorBase):
    """Samples `k` frames without replacement, by the scores' softmax with temperature (the Gumbel top-k trick).

    The multi-resolution form, `play="sizes"` of the policies, shows `resolutions` of `gumbel_order`.

    Args:
        temperature: tau, > 0. (The source's scripts use 0.8, its function's own default is 1.)
        scale: Multiplied with the scores. The source's logits are dot products of LongCLIP features that are *not*
            normalized; with cosines tau 0.8 would be almost uniform sampling, so they are multiplied by 100, CLIP's
            logit scale. Use 1 for logits.
        exact: Sample even if all scores are equal. (The source does not seed its generator; this one always does.)
    """

    name = "q-frame"
    most = 128

    def __init__(self, temperature: float = 0.8, scale: float = 100.0, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        check_number("temperature", temperature, 1e-9)
        check_number("scale", scale, 1e-9)
        self.temperature, self.scale = temperature, scale

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        return self._order(candidates, rng)[:k]

    def select_sizes(self, candidates: Candidates, k: int, seed: int = 0) -> tuple[Indices, Floats]:
        """Select frames of three sizes that cost as many visual tokens as `k` frames of the largest.

        That is k/2 frames, k frames at half their width and height, and 4k at a quarter: 4, 8 and 32 of the source for
        k = 8.

        Args:
            candidates: The candidates.
            k: Number of frames of the largest size that cost as much, >= 1.
            seed: Seeds all randomness.

        Returns:
            Indices sorted by time, and the share of each frame's pixels in those of the largest, both of shape `(m,)`;
            m is at most `most_sizes(k)`.
        """
        order = self._order(candidates, np.random.default_rng(seed))
        chosen, scales = resolutions(order, *_levels(k))
        return chosen, (scales / scales.max(initial=1 / 8)) ** 2

    @staticmethod
    def most_sizes(k: int) -> int:
        """The number of frames that `select_sizes` selects among enough candidates."""
        return sum(_levels(k))

    def _order(self, candidates: Candidates, rng: np.random.Generator) -> Indices:
        noise = rng.random(len(candidates))
        return gumbel_order(self.scale * candidates.all_scores(), noise, self.temperature)


def _levels(k: int) -> tuple[int, int, int]:
    return (k + 1) // 2, k, 4 * k
