"""VideoTree: clusters of frames, refined where they are relevant (Wang et al., CVPR 2025, arXiv 2405.19209)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from vzgym.baselines.selectors.base import Candidates, Floats, Indices, SelectorBase, check_number
from vzgym.baselines.selectors.packages import optional

__all__ = ["VideoTree", "clusters_by_cosine", "expand", "nearest_to_mean", "thirds"]

Rate = Callable[[list[int]], Sequence[int]]
"""Rates frames from 1 (irrelevant) to 3 (relevant)."""


def clusters_by_cosine(frames: Floats, count: int, rng: np.random.Generator, passes: int = 15) -> Indices:
    """k-means by cosine, from random frames as centers.

    Args:
        frames: Unit embeddings, shape `(n, d)`.
        count: The number of clusters; at most n.
        rng: Source of randomness.
        passes: Maximum number of passes.

    Returns:
        The cluster of each frame, shape `(n,)`.
    """
    count = min(count, len(frames))
    centres = frames[rng.choice(len(frames), size=count, replace=False)]
    labels = np.zeros(len(frames), dtype=np.int64)
    for _ in range(passes):
        labels = (frames @ centres.T).argmax(axis=1)
        moved = centres.copy()
        for cluster in range(count):
            members = frames[labels == cluster]
            # An empty cluster gets a random frame.
            mean = members.mean(axis=0) if len(members) else frames[int(rng.integers(len(frames)))]
            moved[cluster] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        if np.allclose(moved, centres, atol=1e-6):
            break
        centres = moved
    return labels


def nearest_to_mean(frames: Floats, members: Indices) -> int:
    """The member nearest to the members' mean; ties to the earlier."""
    mean = frames[members].mean(axis=0)
    return int(members[int(np.linalg.norm(frames[members] - mean, axis=1).argmin())])


def thirds(scores: Floats, all_scores: Floats) -> list[int]:
    """Ratings 1 to 3 by thirds of the range of all scores."""
    low, high = float(all_scores.min()), float(all_scores.max())
    if low == high:
        return [2] * len(scores)
    return [min(int(3 * (score - low) / (high - low)) + 1, 3) for score in scores.tolist()]


def expand(
    frames: Floats,
    rate: Rate,
    rng: np.random.Generator,
    *,
    first: int = 8,
    most: int = 32,
    relevant: int = 4,
    branches: int = 4,
    exact: bool = False,
) -> tuple[Indices, dict[int, int]]:
    """Both stages of VideoTree.

    Breadth: start with `first` clusters, and double their number until the centers of at least `relevant` are rated 3,
    or there are `most`. Depth: a cluster rated 2 is split in `branches` by Ward's method, one rated 3 is split twice.
    Every node of the tree gives the frame nearest to its mean.

    Args:
        frames: Unit embeddings, shape `(n, d)`.
        rate: Rates frames 1 to 3; a missing rating counts as 3.
        rng: Source of randomness.
        first: Clusters at first.
        most: Maximum number of clusters.
        relevant: Clusters rated 3 that are enough.
        branches: Parts of a split.
        exact: Give ratings, which are in order of time, to clusters in order of their numbers, as the source does.

    Returns:
        The frames, sorted, and the ratings of the centers.

    Raises:
        DependencyNotInstalled: If SciPy is missing.
    """
    count = first
    while True:
        labels = clusters_by_cosine(frames, count, rng)
        members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
        members = [group for group in members if len(group)]
        centres = [nearest_to_mean(frames, group) for group in members]
        by_time = sorted(centres)
        given = list(rate(by_time))[: len(by_time)]
        ratings = dict(zip(by_time, given + [3] * (len(by_time) - len(given)), strict=True))
        if sum(rating == 3 for rating in ratings.values()) >= relevant or count >= min(most, len(frames)):
            break
        count *= 2
    found: set[int] = set(centres)
    for index, (centre, group) in enumerate(zip(centres, members, strict=True)):
        rating = ratings[by_time[index]] if exact else ratings[centre]
        for part in _split(frames, group, branches) if rating >= 2 else []:
            found.add(nearest_to_mean(frames, part))
            for piece in _split(frames, part, branches) if rating >= 3 else []:
                found.add(nearest_to_mean(frames, piece))
    return np.array(sorted(found), dtype=np.int64), ratings


def _split(frames: Floats, members: Indices, parts: int) -> list[Indices]:
    """Split a group by Ward's method; a group of one stays whole."""
    if len(members) < 2:
        return [members]
    hierarchy = optional("scipy.cluster.hierarchy", VideoTree.name)
    labels = hierarchy.fcluster(hierarchy.linkage(frames[members], "ward"), parts, "maxclust")
    return [members[labels == label] for label in np.unique(labels)]


class VideoTree(SelectorBase):
    """VideoTree without a language model: the ratings are thirds of the range of the scores.

    The number of frames follows from the tree; of more than `k` the best scored ones are kept. The agent of this name
    asks a model for the ratings. Needs the extra `selectors` (SciPy).

    Args:
        first: Clusters at first.
        clusters: Maximum number of clusters.
        relevant: Clusters rated 3 that are enough.
        branches: Parts of a split.
        exact: All frames of the tree, whatever `k` is; see also `expand`.
    """

    name = "videotree"
    needs = frozenset({"scores", "embeddings"})
    adaptive: ClassVar[bool] = True

    def __init__(
        self, first: int = 8, clusters: int = 32, relevant: int = 4, branches: int = 4, *, exact: bool = False
    ) -> None:
        super().__init__(exact=exact)
        for option, value in {"first": first, "clusters": clusters, "relevant": relevant, "branches": branches}.items():
            check_number(option, value, 1, whole=True)
        self.first, self.clusters, self.relevant, self.branches = first, clusters, relevant, branches

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Indices:
        """See `SelectorBase.choose`."""
        scores = candidates.all_scores()
        found, _ = expand(
            candidates.unit_embeddings(),
            lambda frames: thirds(scores[frames], scores),
            rng,
            first=self.first,
            most=self.clusters,
            relevant=self.relevant,
            branches=self.branches,
            exact=self.exact,
        )
        return found
