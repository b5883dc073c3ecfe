"""Rewards for the outcome: accuracy and format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, RewardContext

__all__ = ["Accuracy", "Format"]


@dataclass(frozen=True)
class Accuracy:
    """Whether the answer is right.

    Formula: at the end of the episode 1 if the grade is "correct", else 0; 0 before. Unscored in every turn if the
    right answer is unknown, and at the end after a video error; the whole mix is then unscored.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.9).
    Known to break: on multiple choice it also rewards guessing.
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
    """Whether every turn followed the format of the protocol.

    Formula: at the end 1 if the episode ended with an answer and each of its turns is well-formed, else 0; 0 before.
    Unscored after a video error, which prevents an answer.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.1), corrected: the official check reads only the last
    turn's text, so that a lenient parser tolerates malformed calls.
    Known to break: a large weight suppresses exploration.
    """

    name: ClassVar[str] = "format"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR:
            return None
        return float(record.end is End.ANSWERED and all(turn.well_formed for turn in record.turns))
