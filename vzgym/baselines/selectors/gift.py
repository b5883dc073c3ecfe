"""GIFT (CVPR 2026), as described by others; its authors have published no code."""

from __future__ import annotations

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Floats, SelectorBase, best, check_number, min_max

__all__ = ["GIFT", "gift", "novelty"]


def novelty(relevance: Floats, frames: Floats) -> Floats:
    """Squared distance of each frame to the nearest frame of greater relevance, shape `(n,)`.

    A frame without a more relevant one gets the greatest distance of any two frames.

    Args:
        relevance: Shape `(n,)`.
        frames: Unit embeddings, shape `(n, d)`.
    """
    squares = np.maximum(2.0 - 2.0 * frames @ frames.T, 0.0)
    greater = relevance[None, :] > relevance[:, None]
    nearest = np.where(greater, squares, np.inf).min(axis=1)
    found: Floats = np.where(np.isfinite(nearest), nearest, squares.max())
    return found


def gift(relevance: Floats, frames: Floats, k: int, batch: int = 9) -> list[int]:
    """Take the `batch` frames of greatest relevance times novelty, remove them, and repeat.

    Args:
        relevance: >= 0, shape `(n,)`.
        frames: Unit embeddings, shape `(n, d)`.
        k: The number of frames wanted.
        batch: Frames taken before novelty is computed again.
    """
    left = np.arange(len(relevance))
    chosen: list[int] = []
    while len(chosen) < k and len(left):
        worth = relevance[left] * novelty(relevance[left], frames[left])
        taken = left[best(worth, min(batch, k - len(chosen)))]
        chosen += taken.tolist()
        left = np.setdiff1d(left, taken)
    return sorted(chosen)


class GIFT(SelectorBase):
    """Relevant frames that are unlike all more relevant ones.

    Relevance is the scores' or, without scores, the cosine of frame and text, scaled to 0 to 1.

    Args:
        batch: Frames taken before novelty is computed again, >= 1.
        exact: The same rule; there is nothing to repair.
    """

    name = "gift"
    needs = frozenset({"embeddings", "text"})
    fps = None
    most = 128

    def __init__(self, batch: int = 9, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        check_number("batch", batch, 1, whole=True)
        self.batch = batch

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> list[int]:
        """See `SelectorBase.choose`."""
        frames = candidates.unit_embeddings()
        relevance = min_max(frames @ candidates.unit_text())
        return gift(np.nan_to_num(relevance, nan=1.0), frames, k, self.batch)
