"""Continuation of wrong roll-outs by a teacher.

A reflection of the paper (VideoZoomer, section 3.2) is a wrong roll-out without its answer, continued by a teacher with
"The previous tool call was incorrect because ...", a better zoom, and the answer.
"""

from __future__ import annotations

import re
from typing import Final

from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Outcome, Turn

__all__ = ["HINT", "is_reflection", "kept_turns", "names_previous_call"]

HINT: Final = (
    '\n\nThe answer given from what you have seen so far was wrong. Look again: begin your thought with "The previous '
    'tool call was incorrect because", say what it missed, then zoom into a better place; answer once you have seen '
    "what is asked for. Do not mention this note."
)
"""Appended to the last message for a teacher. Not part of the trajectory."""

_PREVIOUS_CALL = re.compile(r"\bprevious (?:tool )?(?:call|zoom)", re.IGNORECASE)


def kept_turns(wrong: EpisodeRecord) -> list[Turn]:
    """The turns of a wrong roll-out that a teacher continues: its zooms, without failed turns and answer.

    At least one zoom is left to the teacher: if the roll-out used all of them, the last one is dropped.
    """
    zooms = [turn for turn in wrong.turns if turn.outcome is Outcome.EXECUTED and turn.well_formed]
    return zooms[: max(0, wrong.budget.max_zooms - 1)]


def is_reflection(record: EpisodeRecord, kept: int) -> bool:
    """Whether a continuation is a reflection: it names the previous call, and its first turn is a new zoom.

    Args:
        record: The continued roll-out.
        kept: Number of turns kept from the roll-out.
    """
    if len(record.turns) <= kept:
        return False
    turn = record.turns[kept]
    before = [earlier.action for earlier in record.turns[:kept]]
    new = turn.outcome is Outcome.EXECUTED and bool(turn.zooms) and turn.action not in before
    return new and names_previous_call(turn.text)


def names_previous_call(text: str) -> bool:
    """Whether a turn's text names the previous call."""
    return bool(_PREVIOUS_CALL.search(text))
