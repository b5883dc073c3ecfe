"""What an interface is to the parity check, and what must be the same through all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.making import make_reward
from vzgym.testing.parity.pixels import Seen
from vzgym.testing.parity.script import Script

__all__ = ["Interface", "Trace"]


@dataclass(frozen=True)
class Trace:
    """The facts of an episode that must be the same through every interface.

    Attributes:
        clips: Times and frame hashes of each clip, the overview first.
        turns: Each turn's outcome and refusal code, and the text of a tool.
        rewards: Each turn's raw value of each reward term.
        end: How the episode ended, and how it was graded.
    """

    clips: tuple[tuple[tuple[float, ...], tuple[str, ...]], ...]
    turns: tuple[tuple[str, str, str], ...]
    rewards: tuple[tuple[tuple[str, float | None], ...], ...]
    end: tuple[str, str]

    @classmethod
    def of(cls, record: EpisodeRecord, reward: Mapping[str, float]) -> Trace:
        """The trace of a finished record. Without a reward ledger, the record is scored afterwards."""
        ledger = record.rewards or [step.to_json() for step in make_reward(reward).score_all(record)]
        rewards = tuple(
            tuple((name, term["value"]) for name, term in sorted(entry["terms"].items())) for entry in ledger
        )
        return cls(
            tuple((tuple(clip.times.tolist()), clip.hashes) for clip in record.clips),
            tuple((str(turn.outcome), str(turn.refusal or ""), turn.reply) for turn in record.turns),
            rewards,
            (str(record.end), str(record.grade.status) if record.grade else ""),
        )


class Interface(Protocol):
    """A way to play an episode.

    Attributes:
        name: For the report.
        needs: Packages that it requires.
        has_grid: Whether it has single zooms on a grid only.
        shows_frames: Whether it hands frames to a model, so that they must arrive there: see `pixels`.

    An interface whose other side ends an episode at the first answer has a true attribute `ends_at_answer`; it plays no
    scripts in which answers may be refused (`Budget.min_zooms`).
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """See the class."""
        ...

    @property
    def has_grid(self) -> bool:
        """See the class."""
        ...

    @property
    def shows_frames(self) -> bool:
        """See the class."""
        ...

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """Play a script to its end and return the record.

        Args:
            script: The script.
            seen: Receives everything that the other side's model gets in the episode, in order: text, and pictures in
                the form in which they arrive there.
        """
        ...
