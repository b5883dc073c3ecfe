"""Policies that speak, played in the plain engine, and teachers that go on from others' mistakes."""

from __future__ import annotations

from collections.abc import Sequence

from vzgym.baselines.policy import Spending, TextPolicy
from vzgym.episode.episode import Episode
from vzgym.protocols.base import TextProtocol

__all__ = ["speak"]


def speak(policy: TextPolicy, episodes: Sequence[Episode], protocol: TextProtocol) -> None:
    """Let a policy play episodes to their end, all together; what it cost goes into their records.

    Args:
        policy: After its `reset`.
        episodes: Worded by `protocol`.
        protocol: Reads its texts.
    """
    spending = Spending(len(episodes))
    running = [place for place, episode in enumerate(episodes) if not episode.ended]
    while running:
        texts = policy.respond([tuple(episodes[place].messages) for place in running])
        spending.add(policy, running)
        for place, text in zip(running, texts, strict=True):
            parsed = protocol.parse(text)
            episodes[place].step(parsed.action, text=text, well_formed=parsed.well_formed)
        running = [place for place in running if not episodes[place].ended]
    for place, episode in enumerate(episodes):
        spending.note(place, episode.record.info)
