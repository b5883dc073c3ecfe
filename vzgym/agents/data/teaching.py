"""Policies that speak, played in the plain engine, and teachers that go on from others' mistakes.

The paper's reflections (VideoZoomer, section 3.2): a wrong roll-out without its answer, continued by a teacher with
"The previous tool call was incorrect because ...", a better zoom, and the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vzgym.core.actions import Zoom
from vzgym.episode.dialogue import Message, TextBlock
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord, Outcome, Turn
from vzgym.policies.policy import Spending, TextPolicy
from vzgym.protocols.base import TextProtocol

__all__ = ["HINT", "goes_back", "goes_back_in_words", "kept_turns", "speak"]

HINT: Final = (
    '\n\nThe answer given from what you have seen so far was wrong. Look again: begin your thought with "The previous '
    'tool call was incorrect because", say what it missed, then zoom into a better place; answer once you have seen '
    "what is asked for. Do not mention this note."
)
"""What a teacher is told behind the last thing that it sees. The trajectory does not keep it."""

_BACK = re.compile(r"\bprevious (?:tool )?(?:call|zoom)", re.IGNORECASE)


def speak(policy: TextPolicy, episodes: Sequence[Episode], protocol: TextProtocol, hint: str = "") -> None:
    """Let a policy play episodes to their end, all together; what it cost goes into their records.

    Args:
        policy: After its `reset`.
        episodes: Worded by `protocol`.
        protocol: Reads its texts.
        hint: Told to the policy behind the message that is the latest now, in each of its turns; kept nowhere.
    """
    spending = Spending(len(episodes))
    running = [place for place, episode in enumerate(episodes) if not episode.ended]
    told = [len(episode.messages) - 1 for episode in episodes]
    while running:
        dialogues = [_hinted(episodes[place].messages, told[place], hint) for place in running]
        texts = policy.respond(dialogues)
        spending.add(policy, running)
        for place, text in zip(running, texts, strict=True):
            parsed = protocol.parse(text)
            episodes[place].step(parsed.action, text=text, well_formed=parsed.well_formed)
        running = [place for place in running if not episodes[place].ended]
    for place, episode in enumerate(episodes):
        spending.note(place, episode.record)


def _hinted(messages: Sequence[Message], place: int, hint: str) -> tuple[Message, ...]:
    if not hint:
        return tuple(messages)
    told = messages[place]
    return (*messages[:place], Message(told.role, (*told.blocks, TextBlock(hint))), *messages[place + 1 :])


def kept_turns(wrong: EpisodeRecord) -> list[Turn]:
    """Of a wrong roll-out, what a teacher goes on from: its zooms, without failed turns and answer.

    One zoom at least is left to the teacher: of a roll-out that used them all, the last is dropped.
    """
    zooms = [turn for turn in wrong.turns if turn.outcome is Outcome.EXECUTED and turn.well_formed]
    return zooms[: max(0, wrong.budget.max_zooms - 1)]


def goes_back(record: EpisodeRecord, kept: int) -> bool:
    """Whether a continuation is a reflection: it names the previous call, and its first turn is a new zoom.

    Args:
        record: The continued roll-out.
        kept: How many turns were there before.
    """
    if len(record.turns) <= kept:
        return False
    turn = record.turns[kept]
    before = [earlier.action for earlier in record.turns[:kept]]
    new = turn.outcome is Outcome.EXECUTED and isinstance(turn.action, Zoom) and turn.action not in before
    return new and goes_back_in_words(turn.text)


def goes_back_in_words(text: str) -> bool:
    """Whether a turn's text names the previous call."""
    return bool(_BACK.search(text))
