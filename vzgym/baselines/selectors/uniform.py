"""Uniform selection, in the three conventions of the field."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Indices, SelectorBase, centred
from vzgym.core.errors import InvalidSetting

__all__ = ["ARANGE", "CENTRE", "CONVENTIONS", "LINSPACE", "Uniform"]

CONVENTIONS: dict[str, Callable[[int, int], Indices]] = {
    "linspace": lambda n, k: np.linspace(0, n - 1, k).astype(np.int64),
    "centre": centred,
    "arange": lambda n, k: (np.arange(k) * n / k).astype(np.int64),
}
"""Indices of `k` of `n` candidates. `linspace` takes both ends and rounds down (LLaVA, lmms-eval, VideoAgent); `centre`
takes the centers of equal parts (TSN); `arange` takes their starts, never the end (FRAG)."""


class Uniform(SelectorBase):
    """Evenly spaced candidates, without a scorer.

    Args:
        convention: "linspace", "centre" or "arange"; see `CONVENTIONS`.
        exact: Keep repeats if there are fewer candidates than frames.

    Raises:
        InvalidSetting: If there is no such convention.
    """

    name = "uniform"
    needs = frozenset()

    def __init__(self, convention: str = "centre", *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        if convention not in CONVENTIONS:
            raise InvalidSetting(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
        self.convention = convention
        self.name = f"uniform-{convention}"

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        return CONVENTIONS[self.convention](len(candidates), k)


LINSPACE = partial(Uniform, convention="linspace")
CENTRE = partial(Uniform, convention="centre")
ARANGE = partial(Uniform, convention="arange")
