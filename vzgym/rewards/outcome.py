"""Rewards for the outcome: was the answer right, was the form kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext

__all__ = ["Accuracy", "Format"]


@dataclass(frozen=True)
class Accuracy:
    """Whether the answer is right.

    Formula: at the end of the episode 1 if the grade is "correct", else 0; 0 before. Unscored in every turn if no right
    answer is known, and at the end after a video error; then the whole mix is.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.9).
    Known to break: on multiple choice alone it also pays guessing.
    """

    name: ClassVar[str] = "accuracy"
    needs: ClassVar[frozenset[Need]] = frozenset()
    essential: ClassVar[bool] = True

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not record.task.answer:
            return None
        return record.grade.score if record.grade is not None else 0.0


@dataclass(frozen=True)
class Format:
    """Whether every turn kept the protocol's form.

    Formula: at the end 1 if the episode ended with an answer and each of its turns is well-formed, else 0; 0 before.
    Unscored after a video error, which kept the agent from answering.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.1), corrected: the official check looks at the last turn's
    text only, and a lenient parser then lets malformed calls drift.
    Known to break: a large weight suppresses exploration.
    """

    name: ClassVar[str] = "format"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR:
            return None
        return float(record.end is End.ANSWERED and all(turn.well_formed for turn in record.turns))
