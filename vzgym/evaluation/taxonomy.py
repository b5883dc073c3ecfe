"""The failure taxonomy: why an episode's answer is right, right by luck, or wrong.

The definitions, with a picture of each, are in the documentation (`docs/reference/taxonomy.md`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from vzgym.core.actions import Malformed
from vzgym.core.errors import InvalidSetting
from vzgym.episode.answers import GradeStatus
from vzgym.episode.clip import Clip
from vzgym.episode.evidence import clips_seen, evidence_of
from vzgym.episode.record import End, EpisodeRecord

__all__ = ["TAXONOMY_CLASSES", "TaxonomyClass", "classify"]


class TaxonomyClass(StrEnum):
    """Class of an episode. Each episode has exactly one; `classify` defines the order of the tests."""

    GROUNDED = "right_and_grounded"
    """Right, the frames shown prove it, and no turn showed frames after they did."""
    LUCKY = "right_by_luck"
    """Right, but the frames shown do not prove it."""
    REDUNDANT = "redundant"
    """Right, but a turn showed frames after those before it had already proven the answer."""
    WRONG_SEGMENT = "wrong_segment"
    """Wrong, and some evidence was never viewed."""
    TOO_COARSE = "too_coarse"
    """Wrong; all evidence was viewed, but some of it with too few frames."""
    WRONG_ANSWER = "right_evidence_wrong_answer"
    """Wrong, although the frames shown prove the right answer."""
    MALFORMED = "malformed"
    """No answer could be parsed: the last text held no action, or the answer is neither an option nor a number."""
    OUT_OF_BUDGET = "out_of_budget"
    """The rounds ran out without an answer: the last one requested a zoom."""
    VIDEO_ERROR = "video_error"
    """A video error ended the episode."""
    RIGHT = "right_evidence_unknown"
    """Right; the evidence is unknown."""
    WRONG = "wrong_evidence_unknown"
    """Wrong; the evidence is unknown."""
    UNKNOWN = "unknown"
    """The right answer is unknown, or the answer is unscored."""


TAXONOMY_CLASSES: Final[tuple[TaxonomyClass, ...]] = tuple(TaxonomyClass)
"""All classes in table order."""


def classify(record: EpisodeRecord) -> TaxonomyClass:
    """Classify a finished episode.

    The tests are applied in this order:

    1. Video error: `VIDEO_ERROR`.
    2. No answer: `MALFORMED` if no action could be read from the last text, else `OUT_OF_BUDGET`.
    3. An answer that cannot be parsed: `MALFORMED`.
    4. No right answer known: `UNKNOWN`. No evidence known: `RIGHT` or `WRONG`.
    5. Right: `LUCKY` unless the evidence was shown (`vzgym.episode.evidence_shown`); `REDUNDANT` if the clips before
       the last turn with frames had shown it already; else `GROUNDED`.
    6. Wrong: `WRONG_ANSWER` if the evidence was shown; `TOO_COARSE` if each of its intervals was looked at (a zoom's
       window overlaps it, or a shown frame lies in it); else `WRONG_SEGMENT`.

    Args:
        record: A finished episode. If `info.sees_frames` is false, the agent was shown no frames, and no evidence
            counts as shown.

    Raises:
        InvalidSetting: If the episode is unfinished.
    """
    if record.end is None or record.grade is None:
        raise InvalidSetting(
            f"the episode of task {record.task.id!r} is unfinished: only finished episodes have a class"
        )
    if record.end is End.VIDEO_ERROR:
        return TaxonomyClass.VIDEO_ERROR
    if record.end is End.OUT_OF_ROUNDS:
        unreadable = isinstance(record.turns[-1].action, Malformed)
        return TaxonomyClass.MALFORMED if unreadable else TaxonomyClass.OUT_OF_BUDGET
    if record.grade.status is GradeStatus.UNREADABLE:
        return TaxonomyClass.MALFORMED
    evidence = evidence_of(record)
    if record.grade.score is None:
        return TaxonomyClass.UNKNOWN
    if evidence is None:
        return TaxonomyClass.RIGHT if record.grade.is_correct else TaxonomyClass.WRONG
    seen = clips_seen(record)
    shown = evidence.shown(seen)
    if record.grade.is_correct:
        if not shown:
            return TaxonomyClass.LUCKY
        redundant = len(record.clips) > 1 and evidence.shown(_before_last_look(record))
        return TaxonomyClass.REDUNDANT if redundant else TaxonomyClass.GROUNDED
    if shown:
        return TaxonomyClass.WRONG_ANSWER
    return TaxonomyClass.TOO_COARSE if evidence.overlapped(seen) else TaxonomyClass.WRONG_SEGMENT


def _before_last_look(record: EpisodeRecord) -> list[Clip]:
    last = max(number for number, turn in enumerate(record.turns) if turn.clips)
    return clips_seen(record.upto(last))
