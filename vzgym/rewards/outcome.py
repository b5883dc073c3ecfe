"""Rewards for the outcome: was the answer right, was the form kept."""

from __future__ import annotations

from typing import ClassVar

from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext

__all__ = ["Accuracy", "Format"]


class Accuracy:
    """Whether the answer is right.

    Formula: at the end of the episode 1 if the grade is "correct", else 0; 0 before. Unscored where the episode is
    (no right answer known, or a video error), and then the whole episode is.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.9).
    Known to break: on multiple choice alone it also pays guessing.
    """

    name: ClassVar[str] = "accuracy"
    needs: ClassVar[frozenset[Need]] = frozenset()
    essential: ClassVar[bool] = True

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        return record.grade.score if record.grade is not None else 0.0


class Format:
    """Whether every turn kept the protocol's form.

    Formula: at the end 1 if the episode ended with an answer and each of its turns is well-formed, else 0; 0 before.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.1), mended: the official check looks at the last turn's
    text only, and a lenient parser then lets malformed calls drift.
    Known to break: a large weight suppresses exploration.
    """

    name: ClassVar[str] = "format"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        return float(record.end is End.ANSWERED and all(turn.well_formed for turn in record.turns))
