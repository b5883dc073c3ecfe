"""Rewards that compare a roll-out with the others of its group."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_choice, need_flag, need_number
from vzgym.rewards.outcome import Format

__all__ = ["Curiosity", "Difficulty", "QualityFirst", "ToolBenefit"]


def _score(record: EpisodeRecord) -> float | None:
    return None if record.grade is None else record.grade.score


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


@dataclass(frozen=True)
class QualityFirst:
    """Cost as a tie-break among roll-outs with the same grade.

    Formula: at the end mean(cost of the equals) - cost, where the equals are the group's roll-outs with the same grade,
    including this one; 0 before. The cost is the used share of the budget's frames ("frames") or rounds ("calls"). The
    weight is the paper's beta, 0.05. Unscored if the grade is unscored; roll-outs with an unscored grade are ignored.
    Range: [-1, 1]; it sums to 0 over the equals.
    Source: VideoEvolve (arXiv 2610.10183).
    Known to break: among wrong answers it rewards giving up early; `only_correct` restricts it to right ones. With a
    weight above the difference between right and wrong, cost would outweigh accuracy.

    Args:
        cost: "frames" or "calls".
        only_correct: Break ties among right answers only.
    """

    cost: str = "frames"
    only_correct: bool = False

    name: ClassVar[str] = "quality_first"
    needs: ClassVar[frozenset[Need]] = frozenset({"group"})

    def __post_init__(self) -> None:
        need_choice(self.name, "cost", self.cost, ("frames", "calls"))
        need_flag(self.name, "only_correct", self.only_correct)

    def cost_of(self, record: EpisodeRecord) -> float:
        """Cost of a roll-out, in [0, 1]."""
        if self.cost == "calls":
            return len(record.turns) / record.budget.max_rounds
        return record.frames / max(1, record.budget.max_frames)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if context.group is None:
            return None
        if record.grade is None:
            return 0.0
        own = record.grade.score
        if own is None:
            return None
        if self.only_correct and not record.grade.is_correct:
            return 0.0
        equals = [self.cost_of(other) for other in context.group if _score(other) == own]
        return _mean(equals) - self.cost_of(record) if equals else 0.0


@dataclass(frozen=True)
class Difficulty:
    """Accuracy weighted by the difficulty of the task for the group.

    Formula: at the end 1[right] * (0.5 + 0.5 * clamp(2 - m, 0, 1)), where m is the group's mean of accuracy + format,
    in [0, 2]; 0 before. A right answer is worth 0.5 if every roll-out is right and well-formed, and 1 if m <= 1.
    Unscored if the grade is unscored; roll-outs with an unscored grade are left out of m.
    Range: {0} and [0.5, 1].
    Source: the difficulty weight of VITAL (arXiv 2508.04416); that m is the mean of accuracy + format is our
    interpretation, since with accuracy alone the clamp would have no effect.
    Known to break: learners that divide by the group's standard deviation (GRPO) cancel a factor common to the group;
    use learners that do not.
    """

    name: ClassVar[str] = "difficulty"
    needs: ClassVar[frozenset[Need]] = frozenset({"group"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if context.group is None:
            return None
        if record.grade is None:
            return 0.0
        own = record.grade.score
        if own is None:
            return None
        form = Format()
        graded = [(other, score) for other in context.group if (score := _score(other)) is not None]
        mean = _mean(score + (form.score(other, context) or 0.0) for other, score in graded) if graded else 0.0
        return own * (0.5 + 0.5 * min(1.0, max(0.0, 2.0 - mean)))


@dataclass(frozen=True)
class Curiosity:
    """A bonus for zooming while the group rarely zooms, and a price for excess zooms.

    Formula: at the end 1[zoomed] * max(threshold - rate, 0) - price * max(zooms - free, 0), where the rate is the share
    of the group's roll-outs with an executed zoom and zooms is the number in this roll-out; 0 before. Unscored after a
    video error.
    Range: [-price * max_zooms, threshold).
    Source: Pixel-Reasoner (threshold 0.3, price 0.05, one free call).
    Known to break: it keeps the rate near the threshold whether or not zooming helps; in a group of n the rate is a
    multiple of 1 / n, so that for n <= 3 no bonus is possible.

    Args:
        threshold: The rate below which zooming is rewarded, in [0, 1].
        price: Price of each zoom beyond the free ones, >= 0.
        free: Number of free zooms, >= 0.
    """

    threshold: float = 0.3
    price: float = 0.05
    free: int = 1

    name: ClassVar[str] = "curiosity"
    needs: ClassVar[frozenset[Need]] = frozenset({"group"})

    def __post_init__(self) -> None:
        need_number(self.name, "threshold", self.threshold, least=0.0, most=1.0)
        need_number(self.name, "price", self.price, least=0.0)
        need_number(self.name, "free", self.free, least=0)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if context.group is None or record.end is End.VIDEO_ERROR:
            return None
        if record.end is None:
            return 0.0
        rate = _mean(float(other.zooms > 0) for other in context.group) if context.group else 0.0
        bonus = max(self.threshold - rate, 0.0) if record.zooms else 0.0
        return bonus - self.price * max(record.zooms - self.free, 0)


@dataclass(frozen=True)
class ToolBenefit:
    """Zooming is rewarded on tasks where it helps, and penalized where it harms.

    Formula: at the end 1[zoomed] * (a - b), where a is the mean grade of the group's roll-outs with an executed zoom
    and b that of those without; 0 before, and 0 if the group has only one kind. Unscored if the grade is unscored;
    roll-outs with an unscored grade are left out of the means.
    Range: [-1, 1].
    Source: after the tool benefit score of AdaTooler-V (arXiv 2512.16918), which is measured once by a stronger
    model; here each group measures it anew.
    Known to break: in small groups the difference is mostly noise; once all roll-outs zoom, or none does, it is silent.
    """

    name: ClassVar[str] = "tool_benefit"
    needs: ClassVar[frozenset[Need]] = frozenset({"group"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if context.group is None:
            return None
        if record.grade is None:
            return 0.0
        if record.grade.score is None:
            return None
        graded = [(other.zooms > 0, score) for other in context.group if (score := _score(other)) is not None]
        with_zoom = [score for zoomed, score in graded if zoomed]
        without = [score for zoomed, score in graded if not zoomed]
        if not record.zooms or not with_zoom or not without:
            return 0.0
        return _mean(with_zoom) - _mean(without)
