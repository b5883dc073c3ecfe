"""Selectors for any scorer: top-k, best windows, binary search, best-first tree.

Binary search, windows and tree have no single source; the definitions here are this package's own.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Indices, SelectorBase, best, centred, check_number
from vzgym.core.errors import InvalidSetting

__all__ = ["BestWindows", "BinarySearch", "TopK", "Tree"]


class TopK(SelectorBase):
    """The `k` candidates of greatest score; ties to the earlier one."""

    name = "top-k"

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        return best(candidates.all_scores(), k)


class BestWindows(SelectorBase):
    """Sliding windows by score: the best ones that do not overlap, with frames spread evenly over them.

    A window's score is the greatest of its frames; the last window ends at the end of the video.

    Args:
        seconds: Length of a window; a sixteenth of the video if not given.
        stride: Distance of two windows as a share of their length, 0 < stride <= 1.
        windows: Number of windows taken, >= 1.
        exact: Keep fewer than `k` frames where the windows hold fewer.
    """

    name = "windows"

    def __init__(
        self, seconds: float | None = None, stride: float = 1.0, windows: int = 4, *, exact: bool = False
    ) -> None:
        super().__init__(exact=exact)
        if seconds is not None:
            check_number("seconds", seconds, 1e-6)
        check_number("stride", stride, 1e-3, most=1.0)
        check_number("windows", windows, 1, whole=True)
        self.seconds, self.stride, self.windows = seconds, stride, windows

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        scores, times, duration = candidates.all_scores(), candidates.times, candidates.duration
        length = min(self.seconds or duration / 16, duration)
        count = max(1, math.ceil((duration - length) / (length * self.stride) - 1e-9) + 1)
        starts = np.minimum(np.arange(count) * length * self.stride, duration - length)
        spans = [
            (int(np.searchsorted(times, start - 1e-9)), int(np.searchsorted(times, start + length - 1e-9)))
            for start in starts
        ]
        spans = [span for span in spans if span[1] > span[0]]
        taken: list[tuple[int, int]] = []
        for index in best(np.array([scores[first:last].max() for first, last in spans]), len(spans)):
            first, last = spans[index]
            if len(taken) < min(self.windows, k) and all(last <= a or first >= b for a, b in taken):
                taken.append((first, last))
        shares = [k // len(taken) + (rank < k % len(taken)) for rank in range(len(taken))]
        parts = [
            first + centred(last - first, min(share, last - first))
            for (first, last), share in zip(taken, shares, strict=True)
        ]
        return np.concatenate(parts)


class BinarySearch(SelectorBase):
    """Halves an interval of candidates again and again, and goes to the half with the greater score.

    From `[a, b)` with `m = (a + b) // 2` it goes to the greater half, ties to the left, until at most `stop` candidates
    are left: 2 * `probes` candidates are scored at each level. The frames are spread evenly over the last interval; if
    it holds fewer than `k`, the best probed candidates are added.

    Args:
        probes: Candidates scored in each half, at the centers of equal parts; 0: all of them, an upper bound.
        rule: "max" or "mean" of the probes. The mean loses short events.
        stop: Number of candidates at which it stops; the greater of 2 and `k` if not given.
        exact: Keep the last interval alone, even if it holds fewer than `k` candidates.

    Raises:
        InvalidSetting: If an option is out of range.
    """

    name = "binary"
    adaptive: ClassVar[bool] = True

    def __init__(self, probes: int = 1, rule: str = "max", stop: int | None = None, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        check_number("probes", probes, 0, whole=True)
        if rule not in ("max", "mean"):
            raise InvalidSetting(f"rule must be 'max' or 'mean', got {rule!r}")
        if stop is not None:
            check_number("stop", stop, 2, whole=True)
        self.probes, self.rule, self.stop = probes, rule, stop

    def search(self, candidates: Candidates, stop: int) -> list[tuple[int, int]]:
        """The intervals `[a, b)` visited, from the whole video to the last one."""
        interval = (0, len(candidates))
        visited = [interval]
        while interval[1] - interval[0] > stop:
            middle = sum(interval) // 2
            halves = ((interval[0], middle), (middle, interval[1]))
            left, right = (self._value(candidates, *half) for half in halves)
            interval = halves[int(right > left)]
            visited.append(interval)
        return visited

    def _value(self, candidates: Candidates, first: int, last: int) -> float:
        count = min(self.probes or last - first, last - first)
        scores = candidates.score_at(first + centred(last - first, count))
        return float(scores.max() if self.rule == "max" else scores.mean())

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        first, last = self.search(candidates, self.stop or max(2, k))[-1]
        return first + centred(last - first, min(k, last - first))


class Tree(SelectorBase):
    """Best-first search in a tree of intervals: probes few candidates, more where scores are high.

    The video is cut in `branches` parts (at `a + length * i // branches`), and the center of each part, `(a + b) // 2`,
    is scored. The part of greatest score with at least two candidates (ties: the earlier) is cut again, until `probes`
    candidates are scored; a cut is always completed. The result is the `k` best probed candidates.

    Args:
        branches: Parts of a cut, >= 2.
        probes: Candidates to score; twice `k` if not given.
        exact: Keep fewer than `k` frames if fewer were probed.
    """

    name = "tree"
    adaptive: ClassVar[bool] = True

    def __init__(self, branches: int = 2, probes: int | None = None, *, exact: bool = False) -> None:
        super().__init__(exact=exact)
        check_number("branches", branches, 2, whole=True)
        if probes is not None:
            check_number("probes", probes, 1, whole=True)
        self.branches, self.probes = branches, probes

    def probe(self, candidates: Candidates, probes: int) -> list[int]:
        """The probed candidates, in the order in which they were scored."""
        probed: dict[int, float] = {}
        leaves: list[tuple[int, int]] = []
        cut = (0, len(candidates))
        while True:
            length = cut[1] - cut[0]
            points = [cut[0] + length * i // self.branches for i in range(self.branches + 1)]
            parts = [(a, b) for a, b in itertools.pairwise(points) if b > a]
            centres = [(a + b) // 2 for a, b in parts]
            for centre, score in zip(centres, candidates.score_at(centres).tolist(), strict=True):
                probed.setdefault(centre, score)
            leaves = sorted([leaf for leaf in leaves if leaf != cut] + parts)
            open_leaves = [leaf for leaf in leaves if leaf[1] - leaf[0] >= 2]
            if len(probed) >= probes or not open_leaves:
                return list(probed)
            cut = max(open_leaves, key=lambda leaf: (probed[sum(leaf) // 2], -leaf[0]))

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        probed = np.sort(np.array(self.probe(candidates, self.probes or 2 * k), dtype=np.int64))
        return probed[best(candidates.score_at(probed), k)]
