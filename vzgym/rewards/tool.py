"""Rewards for using the zoom."""

from __future__ import annotations

from typing import ClassVar

from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import Need, RewardContext

__all__ = ["ConditionalTool"]


class ConditionalTool:
    """A bonus for a right answer that used the zoom.

    Formula: at the end 1 if the answer is right and at least one zoom was *executed*, else 0; 0 before. Unscored where
    the grade is.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.5), mended: the official code pays for any text that
    looks like a call, malformed and refused ones included.
    Known to break: it pays one needless zoom where the overview suffices.
    """

    name: ClassVar[str] = "conditional_tool"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        return None if record.grade.score is None else record.grade.score * float(record.zooms > 0)
