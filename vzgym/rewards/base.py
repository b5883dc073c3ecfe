"""Interface of reward modules.

A module reads the record after each turn and returns the raw increment of that turn. It keeps no state and reads no
pixels, so saved runs are scored exactly as live ones. Weights belong to the composition (`RewardMix`), never to a
module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol, TypeAlias, runtime_checkable

from numpy import float64
from numpy.typing import NDArray

from vzgym.core.registry import Registry
from vzgym.episode.record import EpisodeRecord

__all__ = ["NEEDS", "REWARDS", "Answerer", "Need", "ProbabilityAnswerer", "RewardContext", "RewardModule"]

Need: TypeAlias = Literal["evidence", "group", "answerer", "first_answer", "probabilities", "timing"]
"""Input that a module may require beyond the record; see `NEEDS`. Without it the module is unscored."""

NEEDS: Final[Mapping[Need, str]] = {
    "evidence": "known evidence intervals of the task",
    "group": "the other roll-outs of the same task",
    "answerer": "an answerer, which answers again from selected clips",
    "first_answer": "the answer before the first zoom: `info.first_answer` of the record, or an answerer",
    "probabilities": "an answerer that gives the probabilities of the options",
    "timing": "wall times or costs of a scorer, which are recorded after the end of an episode",
}
"""Description of each need."""


class Answerer(Protocol):
    """Answers a record's question again from selected clips only (for sufficiency and counterfactual credit)."""

    def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
        """Answer given only the clips at these positions of `record.clips`; None if there is no answer."""
        ...


@runtime_checkable
class ProbabilityAnswerer(Answerer, Protocol):
    """An answerer that also says how probable it finds each option (for confidence rewards)."""

    def option_probabilities(self, record: EpisodeRecord, clips: Sequence[int]) -> NDArray[float64] | None:
        """Probabilities of the task's options given only the clips at these positions of `record.clips`.

        Returns:
            float64, shape `(options,)`, >= 0, sum 1; None if the task has no options, or they are unknown.
        """
        ...


@dataclass(frozen=True, slots=True)
class RewardContext:
    """Additional inputs for scoring a record.

    Attributes:
        group: Finished records of the same task, including this one, if roll-outs are grouped.
        answerer: Answers again from selected clips, if available.
        progress: Training progress in [0, 1]; None outside training.
    """

    group: Sequence[EpisodeRecord] | None = None
    answerer: Answerer | None = None
    progress: float | None = None


class RewardModule(Protocol):
    """One term of a reward.

    Class attributes:
        name: Name under which the module is registered and logged.
        needs: Required inputs; see `Need`.
    """

    name: ClassVar[str]

    @property
    def needs(self) -> frozenset[Need]:
        """See the class."""
        ...

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """Return the raw increment of the latest turn.

        Args:
            record: The episode up to and including that turn; `record.end` is set if it was the last.
            context: Additional inputs.

        Returns:
            A finite number, or None if the turn cannot be scored, which differs from 0.
        """
        ...


REWARDS: Registry[RewardModule] = Registry("reward module", "vzgym.rewards", "vzgym.rewards.registration")
