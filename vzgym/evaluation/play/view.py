"""What a person sees of an episode: everything that a policy may see, and never the answer or the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gymnasium import Space

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode.clip import Clip
from vzgym.episode.episode import Episode
from vzgym.episode.turn import Turn

__all__ = ["PlayerObservation", "PlayerView"]


@dataclass(frozen=True)
class PlayerView:
    """The state of an episode for a person.

    Attributes:
        question: The question.
        options: Its options; empty for an open question.
        duration: Length of the video in seconds.
        budget: The limits.
        clips: The frames so far, with pixels: the overview, then those of the zooms.
        turns: The turns so far.
        rounds_left: Remaining rounds, the current one included.
        zooms_left: Remaining zooms.
        frames_left: Maximum number of frames that the remaining zooms can show.
        zooms_due: Zooms that are missing before an answer is accepted.
    """

    question: str
    options: tuple[str, ...]
    duration: float
    budget: Budget
    clips: tuple[Clip, ...]
    turns: tuple[Turn, ...]
    rounds_left: int
    zooms_left: int
    frames_left: int
    zooms_due: int = 0

    @classmethod
    def of(cls, episode: Episode) -> PlayerView:
        """The current state of an episode."""
        record = episode.record
        return cls(
            question=record.task.question,
            options=record.task.options,
            duration=record.task.duration,
            budget=record.budget,
            clips=tuple(record.clips),
            turns=tuple(record.turns),
            rounds_left=episode.rounds_left,
            zooms_left=episode.zooms_left,
            frames_left=episode.frames_left,
            zooms_due=episode.zooms_due,
        )


class PlayerObservation:
    """Observation module whose observations are `PlayerView`s."""

    def space(self, budget: Budget) -> Space[Any]:
        """See `ObservationModule`."""
        return _ViewSpace()

    def observe(self, episode: Episode) -> PlayerView:
        """See `ObservationModule`."""
        return PlayerView.of(episode)


class _ViewSpace(Space[PlayerView]):
    """The space of all views, from which nothing can be sampled."""

    def contains(self, x: Any) -> bool:
        return isinstance(x, PlayerView)

    def sample(self, mask: Any = None, probability: Any = None) -> PlayerView:
        raise InvalidSetting("views of a person cannot be sampled")

    @property
    def is_np_flattenable(self) -> bool:
        return False
