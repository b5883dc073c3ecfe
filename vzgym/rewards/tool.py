"""Rewards for using the zoom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext

__all__ = ["ConditionalTool", "ToolBonus", "ToolLadder"]


@dataclass(frozen=True)
class ConditionalTool:
    """A bonus for a right answer after an executed zoom.

    Formula: at the end 1 if the answer is right and at least one zoom was *executed*, else 0; 0 before. Unscored if the
    grade is unscored.
    Range: {0, 1}.
    Source: VideoZoomer, section 3.3 (weight 0.5), corrected: the official code rewards any text that looks like a call,
    including malformed and refused ones.
    Known to break: it rewards an unnecessary zoom if the overview suffices.
    """

    name: ClassVar[str] = "conditional_tool"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        return None if record.grade.score is None else record.grade.score * float(record.zooms > 0)


@dataclass(frozen=True)
class ToolBonus:
    """A bonus for using the zoom, right or wrong. For ablations; prefer `conditional_tool`.

    Formula: at the end 1 if at least one zoom was *executed*, else 0; 0 before. Unscored after a video error.
    Range: {0, 1}.
    Source: the unconditional bonus that several papers compare with (ParaVT, Pixel-Reasoner).
    Known to break: the policy learns to zoom without purpose, since the bonus needs no right answer.
    """

    name: ClassVar[str] = "tool_bonus"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR:
            return None
        return float(record.end is not None and record.zooms > 0)


@dataclass(frozen=True)
class ToolLadder:
    """A graded reward from the first parsed call to a right answer with a call.

    Formula: at the end 0.1 if a zoom was parsed from at least one turn; 0.3 instead if at least one was executed; plus
    0.5 if one was executed and the answer is right; 0 before. Unscored if the grade is unscored.
    Range: {0, 0.1, 0.3, 0.8}.
    Source: ParaVT (arXiv 2605.20342).
    Known to break: its lower levels need no right answer; reduce them (`anneal`) once calls are well-formed.
    """

    name: ClassVar[str] = "tool_ladder"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        if record.grade.score is None:
            return None
        if record.zooms:
            return 0.8 if record.grade.is_correct else 0.3
        return 0.1 if any(turn.zooms for turn in record.turns) else 0.0
