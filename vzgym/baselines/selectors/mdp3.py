"""MDP3: determinantal point processes and dynamic programming (Sun et al., ICCV 2025, arXiv 2501.02885)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Floats, SelectorBase, check_number

__all__ = ["MDP3", "kernel", "mdp3"]

_ALPHAS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
_JITTER = 1e-8
"""Least squared pivot: identical frames make the kernel matrix singular."""


def kernel(first: Floats, second: Floats) -> Floats:
    """Sum of Gaussian kernels, `sum over a in {1/8, 1/4, 1/2, 1, 2} of exp(-|x - y|^2 / (2 a))`; k(x, x) = 5.

    Args:
        first: Shape `(n, d)`.
        second: Shape `(m, d)`.

    Returns:
        Shape `(n, m)`.
    """
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :] - 2.0 * first @ second.T
    squares = np.maximum(squares, 0.0)
    total: Floats = sum((np.exp(-squares / (2.0 * alpha)) for alpha in _ALPHAS), np.zeros_like(squares))
    return total


@dataclass(frozen=True)
class _State:
    """A set of frames: its value, and the trace of its frames."""

    value: float
    trace: tuple[int, ...]


def mdp3(
    frames: Floats, text: Floats, k: int, *, segment: int = 32, relevance: float = 0.2, exact: bool = False
) -> tuple[list[int], float]:
    """Select frames by the value F(S) = (2 / lambda) * sum log r_i + log det L_S.

    L and r are the kernels among frames and between frames and text. The video is cut into segments. In each segment
    frames are added greedily to the last frame of the trace so far, and the best value of each total number is kept.
    F counts that last frame anew in each segment, as in the source.

    Args:
        frames: Unit embeddings, shape `(n, d)`.
        text: Unit embedding of the question, shape `(d,)`.
        k: The number of frames wanted, <= n.
        segment: Candidates in a segment.
        relevance: lambda, > 0; relevance weighs 2 / lambda.
        exact: Take the absolute value of a negative pivot, as in the source, instead of a small positive one.

    Returns:
        The indices, sorted, and the value.
    """
    likeness = kernel(frames, frames)
    gains = 2.0 / relevance * np.log(kernel(frames, text[None, :])[:, 0])
    states: dict[int, _State] = {0: _State(0.0, ())}
    for first in range(0, len(frames), segment):
        last = min(first + segment, len(frames))
        following = dict(states)
        for count, state in states.items():
            picks = _greedy(likeness, gains, state.trace[-1:], range(first, last), k - count, exact)
            for added, (pick, value) in enumerate(picks, start=1):
                trace = (*state.trace, *sorted(pick))
                total = state.value + value
                if count + added not in following or total > following[count + added].value:
                    following[count + added] = _State(total, trace)
        states = following
    found = states[k]
    return sorted(found.trace), found.value


def _greedy(
    likeness: Floats, gains: Floats, base: tuple[int, ...], pool: range, most: int, exact: bool
) -> list[tuple[tuple[int, ...], float]]:
    """The first 1, 2, ... `most` greedy picks of a pool, each with the value of base and picks together."""
    pool_indices = np.array(pool)
    pivots = np.diag(likeness)[pool_indices].copy()
    rows = np.zeros((0, len(pool_indices)))
    value = 0.0
    if base:
        index = base[0]
        value = float(gains[index] + math.log(likeness[index, index]))
        row = likeness[index, pool_indices] / math.sqrt(likeness[index, index])
        rows = row[None, :]
        pivots = pivots - row**2
    picked: list[int] = []
    found = []
    free = np.ones(len(pool_indices), dtype=bool)
    for _ in range(min(most, len(pool_indices))):
        positive = np.maximum(np.abs(pivots) if exact else pivots, 0.0 if exact else _JITTER)
        with np.errstate(divide="ignore"):
            gain = gains[pool_indices] + np.log(positive)
        gain[~free] = -np.inf
        place = int(gain.argmax())
        if not free[place]:
            # All that is left has a value of minus infinity.
            place = int(np.flatnonzero(free)[0])
        value += float(gain[place])
        picked.append(int(pool_indices[place]))
        found.append((tuple(picked), value))
        free[place] = False
        root = math.sqrt(max(float(positive[place]), _JITTER))
        row = (likeness[pool_indices[place], pool_indices] - rows.T @ rows[:, place]) / root
        rows = np.vstack([rows, row])
        pivots = pivots - row**2
    return found


class MDP3(SelectorBase):
    """Relevant and diverse frames, by greedy determinantal point processes and dynamic programming over segments.

    The source uses 128 uniform candidates with SigLIP embeddings; its text embedding includes the options.

    Args:
        segment: Candidates in a segment; 32, or 128 for more than 32 frames, if not given.
        relevance: lambda, > 0; lower values weigh relevance more.
        exact: Keep negative pivots as their absolute values, and all candidates if there are no more than `k`.
    """

    name = "mdp3"
    needs = frozenset({"embeddings", "text"})
    fps = None
    most = 128
    with_options: ClassVar[bool] = True

    def __init__(self, segment: int | None = None, relevance: float = 0.2, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        if segment is not None:
            check_number("segment", segment, 1, whole=True)
        check_number("relevance", relevance, 1e-9)
        self.segment, self.relevance = segment, relevance

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> list[int]:
        """See `SelectorBase.choose`."""
        if len(candidates) <= k:
            return list(range(len(candidates)))
        segment = self.segment or (32 if k <= 32 else 128)
        frames, text = candidates.unit_embeddings(), candidates.unit_text()
        return mdp3(frames, text, k, segment=segment, relevance=self.relevance, exact=self.exact)[0]
