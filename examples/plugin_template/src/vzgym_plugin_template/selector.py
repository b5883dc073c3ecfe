"""A frame selector: a name, what it needs, and one method."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Apart:
    """Takes the best frames, each at least some seconds from those before it; then the best of the others."""

    name = "template apart"
    needs = frozenset({"scores"})

    def __init__(self, seconds: float = 2.0) -> None:
        self.seconds = seconds

    def select(self, candidates: Any, k: int, seed: int = 0) -> NDArray[np.int64]:
        """Select min(n, k) candidates."""
        order = np.argsort(-candidates.all_scores(), kind="stable")
        chosen: list[int] = []
        for index in order:
            if all(abs(candidates.times[index] - candidates.times[other]) >= self.seconds for other in chosen):
                chosen.append(int(index))
        chosen += [int(index) for index in order if index not in set(chosen)]
        return np.sort(np.array(chosen[:k], dtype=np.int64))
