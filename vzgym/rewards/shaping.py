"""Potential-based shaping: a dense reward that preserves the optimal policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.interval import coverage, iou
from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_choice, need_number

__all__ = ["PotentialShaping"]


@dataclass(frozen=True)
class PotentialShaping:
    """Change of a potential in a turn: the coverage of the evidence by zooms.

    Formula: gamma * Phi(s') - Phi(s), with s and s' the states before and after the turn; Phi is the share of the
    evidence's length inside the executed zooms' windows ("coverage"), or their IoU with it ("iou"). Phi of an ended
    episode is 0, so that the discounted sum over any episode is -Phi(s_0) = 0, for every policy. Unscored if the
    evidence is unknown or empty, and in the turn of a video error.
    Range: [-1, 1] a turn.
    Source: Ng, Harada and Russell 1999.
    Known to break: `gamma` must equal the learner's discount, or the invariance is lost; it has no effect on learners
    that use only the sum over an episode (GRPO), which is 0 for gamma 1.

    Args:
        gamma: The learner's discount, in [0, 1].
        potential: "coverage" or "iou".
    """

    gamma: float = 1.0
    potential: str = "coverage"

    name: ClassVar[str] = "potential"
    needs: ClassVar[frozenset[Need]] = frozenset({"evidence"})

    def __post_init__(self) -> None:
        need_number(self.name, "gamma", self.gamma, least=0.0, most=1.0)
        need_choice(self.name, "potential", self.potential, ("coverage", "iou"))

    def phi(self, record: EpisodeRecord) -> float:
        """Potential of a record, in [0, 1]; 0 once it has ended."""
        if record.end is not None:
            return 0.0
        measure = coverage if self.potential == "coverage" else iou
        return measure(record.task.evidence or (), record.windows)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not record.task.evidence or record.end is End.VIDEO_ERROR:
            return None
        if not record.turns:
            return 0.0
        return self.gamma * self.phi(record) - self.phi(record.upto(len(record.turns) - 1))
