"""FOCUS: frames as a bandit problem over parts of the video (arXiv 2510.27280, ICLR 2026)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from vzgym.baselines.selectors.base import Candidates, Floats, SelectorBase, best, check_number, min_max

__all__ = ["FOCUS", "Arm", "upper_bound"]

_MIN_ARMS, _MAX_ARMS, _MIN_ZOOMED = 4, 32, 4


def upper_bound(scores: ArrayLike, total: int, least_variance: float = 1e-6) -> float:
    """Upper confidence bound of an arm, `mean + sqrt(2 ln N * max(var, least) / n) + 3 ln N / n`.

    Args:
        scores: The arm's n scores.
        total: N, the number of scores of all arms.
        least_variance: Lower limit of the variance.
    """
    found = np.asarray(scores, dtype=np.float64)
    if total <= 1 or not len(found):
        return float(found.mean()) if len(found) else 0.0
    log, n = math.log(total), len(found)
    return float(found.mean()) + math.sqrt(2 * log * max(float(found.var()), least_variance) / n) + 3 * log / n


@dataclass
class Arm:
    """A part of the video.

    Attributes:
        first: Its first candidate.
        last: Its last candidate, inclusive.
        coarse: The candidates scored to rank the arm; scores of the fine stage do not count, as in the source.
        bound: Its upper confidence bound.
    """

    first: int
    last: int
    coarse: list[int] = field(default_factory=list)
    bound: float = 0.0

    @property
    def centre(self) -> int:
        """The candidate in the middle."""
        return (self.first + self.last) // 2


class FOCUS(SelectorBase):
    """Scores a few frames of each part of the video, then more frames in the most promising parts.

    Of `max(8, ceil(duration / arm_seconds))` arms each gets its center and `random_probes` further frames scored. The
    `max(4, ceil(share * arms))` arms of greatest upper confidence bound get `fine_fps` frames a second scored around
    their center, a share `even` of them evenly spaced, the rest at random. Of the `k` frames, `top_share` are the best
    scored ones. The others are drawn in the best arms, in equal numbers, by the softmax of the arm's coarse scores
    (each candidate has that of the nearest scored one), at least `min(1 s, duration / k / 4)` apart from the former.

    Args:
        arm_seconds: Approximate length of an arm.
        share: Share of the arms that get the fine stage, and that frames are drawn from.
        random_probes: Random frames scored in each arm beside its center.
        fine_fps: Frames a second in the fine stage.
        even: Share of them evenly spaced.
        top_share: Share of the frames that are the best scored ones.
        temperature: Of the softmax.
        exact: Keep fewer than `k` frames if the arms have no more, and clip scores to 0 to 1 as the source does.
    """

    name = "focus"
    fps = None
    adaptive: ClassVar[bool] = True

    def __init__(
        self,
        arm_seconds: float = 16.0,
        share: float = 0.25,
        random_probes: int = 2,
        fine_fps: float = 1.0,
        even: float = 0.5,
        top_share: float = 0.2,
        temperature: float = 0.06,
        *,
        exact: bool = False,
    ) -> None:
        super().__init__(exact=exact)
        check_number("arm_seconds", arm_seconds, 1e-6)
        check_number("share", share, 0, most=1)
        check_number("random_probes", random_probes, 0, whole=True)
        check_number("fine_fps", fine_fps, 1e-6)
        check_number("even", even, 0, most=1)
        check_number("top_share", top_share, 0, most=1)
        check_number("temperature", temperature, 1e-9)
        self.arm_seconds, self.share, self.random_probes, self.fine_fps = arm_seconds, share, random_probes, fine_fps
        self.even, self.top_share, self.temperature = even, top_share, temperature

    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> list[int]:
        """See `SelectorBase.choose`."""
        arms, scored = self.explore(candidates, rng)
        count = round(self.top_share * min(k, len(scored)))
        # Equal scores: the source takes the frame that was scored first.
        order = np.array(scored if self.exact else sorted(scored))
        top = order[best(candidates.score_at(order), count)].tolist()
        return [*top, *self._draw(candidates, arms, top, k, rng)]

    def explore(self, candidates: Candidates, rng: np.random.Generator) -> tuple[list[Arm], list[int]]:
        """Score candidates in both stages.

        Returns:
            The arms in order of their bounds, and the scored candidates in the order in which they were scored.
        """
        arms, stride = self.arms(candidates)
        for arm in arms:
            others = np.array([i for i in range(arm.first, arm.last + 1) if i != arm.centre], dtype=np.int64)
            extra = rng.choice(others, size=min(self.random_probes, len(others)), replace=False)
            arm.coarse = [arm.centre, *extra.tolist()]
        coarse = [index for arm in arms for index in arm.coarse]
        candidates.score_at(coarse)
        for arm in arms:
            arm.bound = upper_bound(candidates.score_at(arm.coarse), len(coarse))
        ranked = sorted(arms, key=lambda arm: -arm.bound)
        zoomed = ranked[: max(_MIN_ZOOMED, math.ceil(len(arms) * self.share))]
        seen = set(coarse)
        fine: set[int] = set()
        for arm in zoomed:
            fine |= self._fine(candidates, arm, stride, seen | fine, rng)
        candidates.score_at(sorted(fine))
        return ranked, [*coarse, *sorted(fine)]

    def arms(self, candidates: Candidates) -> tuple[list[Arm], int]:
        """The arms in order of time, and the stride; candidates beyond the last whole arm belong to none."""
        n = len(candidates)
        wanted = max(8, math.ceil(n * candidates.step / self.arm_seconds - 1e-9))
        stride = max(1, n // wanted)
        count = n // stride
        size = n // count
        return [Arm(i * size, (i + 1) * size - 1) for i in range(count)], stride

    def _fine(
        self, candidates: Candidates, arm: Arm, stride: int, seen: set[int], rng: np.random.Generator
    ) -> set[int]:
        n, fps = len(candidates), 1.0 / candidates.step
        wanted = max(8, math.ceil(n * candidates.step / self.arm_seconds - 1e-9))
        half = max(1, round(max(1.0 / fps, n / fps / wanted / 2.0) * fps))
        first, last = max(0, arm.centre - half), min(n - 1, arm.centre + half)
        width = last - first + 1
        samples = max(1, width // min(stride, max(1, round(fps / self.fine_fps))))
        even = round(samples * self.even)
        found: set[int] = set()
        if even:
            gap = width / even
            found = {min(last, first + int(i * gap + gap / 2)) for i in range(even)} - seen
        others = np.array([i for i in range(first, last + 1) if i not in seen | found], dtype=np.int64)
        extra = rng.choice(others, size=min(samples - even, len(others)), replace=False)
        return found | set(extra.tolist())

    def _draw(
        self, candidates: Candidates, ranked: list[Arm], top: list[int], k: int, rng: np.random.Generator
    ) -> list[int]:
        """Draw the frames that are not the top ones."""
        need = k - len(top)
        count = min(max(_MIN_ARMS, math.ceil(len(ranked) * self.share)), _MAX_ARMS, len(ranked))
        seconds = len(candidates) * candidates.step
        gap = 0 if seconds / k <= 0.2 else round(min(1.0, 0.25 * seconds / k) / candidates.step)
        chosen, drawn = set(top), []
        for rank, arm in enumerate(ranked[:count]):
            share = need // count + (rank < need % count)
            free = [i for i in range(arm.first, arm.last + 1) if i not in chosen]
            apart = [i for i in free if all(abs(i - other) >= gap for other in chosen)]
            pool = np.array(apart or free, dtype=np.int64)
            if not share or not len(pool):
                continue
            picked = rng.choice(pool, size=min(share, len(pool)), replace=False, p=self._weights(candidates, arm, pool))
            drawn += picked.tolist()
            chosen |= set(picked.tolist())
        return drawn

    def _weights(self, candidates: Candidates, arm: Arm, pool: np.ndarray) -> Floats:
        coarse = np.array(arm.coarse)
        near = np.abs(coarse[None, :] - pool[:, None]).argmin(axis=1)
        scores = candidates.score_at(coarse[near])
        if self.exact:
            scores = np.clip(scores, 0.0, 1.0)
        scaled = min_max(scores) if scores.max() > scores.min() else np.ones_like(scores)
        weights = np.exp((scaled - scaled.max()) / self.temperature)
        if (weights > 0).sum() < len(pool):
            # Underflow: the generator cannot draw more frames than have a weight.
            weights = np.maximum(weights, 1e-300)
        found: Floats = weights / weights.sum()
        return found
