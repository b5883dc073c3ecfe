"""What a reward module is.

A module reads a record after each turn and returns the raw increment of that turn. It keeps no
state and sees no pixels, so a saved run is scored exactly as a live one. Weights belong to the composition
(`RewardMix`), never to a module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol, TypeAlias

from vzgym.core.registry import Registry
from vzgym.episode.record import EpisodeRecord

__all__ = ["NEEDS", "REWARDS", "Answerer", "Need", "RewardContext", "RewardModule"]

Need: TypeAlias = Literal["evidence", "group", "answerer", "first_answer", "timing"]
"""What a module may need beyond the bare record; see `NEEDS`. Without it the module is unscored."""

NEEDS: Final[Mapping[Need, str]] = {
    "evidence": "known evidence intervals of the task",
    "group": "the other roll-outs of the same task",
    "answerer": "somebody who answers again from chosen clips",
    "first_answer": "the answer before the first zoom: `info.first_answer` of the record, or an answerer",
    "timing": "the wall times that a run notes after an episode's end",
}
"""Every need, in words."""


class Answerer(Protocol):
    """Answers a record's question again from chosen clips only (for sufficiency and counterfactual credit)."""

    def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
        """The answer given when only the clips at these positions of `record.clips` are seen; None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class RewardContext:
    """What surrounds a record when it is scored.

    Attributes:
        group: Finished records of the same task, this one included, where roll-outs come in groups.
        answerer: Answers again from chosen clips, where there is one.
        progress: How far training has come, in [0, 1], where there is training.
    """

    group: Sequence[EpisodeRecord] | None = None
    answerer: Answerer | None = None
    progress: float | None = None


class RewardModule(Protocol):
    """One term of a reward.

    Class attributes:
        name: The name it is registered and logged under.
        needs: What it cannot do without; see `Need`.
    """

    name: ClassVar[str]

    @property
    def needs(self) -> frozenset[Need]:
        """See the class."""
        ...

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """The raw increment of the record's latest turn.

        Args:
            record: The episode as it stands after that turn; `record.end` is set if it was the last.
            context: What surrounds it.

        Returns:
            A finite number, or None where it cannot be scored, which is not the same as 0.
        """
        ...


REWARDS: Registry[RewardModule] = Registry("reward module", "vzgym.rewards", "vzgym.rewards.registration")
