"""Rewards for what the zooms do to the probabilities of the options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.episode.record import End, EpisodeRecord
from vzgym.rewards.base import Need, ProbabilityAnswerer, RewardContext
from vzgym.rewards.options import need_number
from vzgym.tasks.task import answer_index

__all__ = ["ConfidenceGain", "InformationGain"]


def _before_and_after(
    record: EpisodeRecord, context: RewardContext
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Probabilities of the options from the overview alone, and from the overview and all clips."""
    answerer = context.answerer
    if not isinstance(answerer, ProbabilityAnswerer):
        return None
    before = answerer.option_probabilities(record, [0])
    after = answerer.option_probabilities(record, range(len(record.clips)))
    return None if before is None or after is None else (before, after)


@dataclass(frozen=True)
class ConfidenceGain:
    """How much the zooms raised the log-odds of the right option.

    Formula: at the end clamp(logit p - logit q, -limit, limit), where p is the probability of the right option given
    the overview and all clips, q that given the overview alone, and logit p = ln(p / (1 - p)); 0 before, and 0 without
    a zoom. Unscored after a video error, without options or a known answer.
    Range: [-limit, limit].
    Source: vzgym, the log-odds form of rewards for gained confidence; compare `rescue_regress`, its counterpart on
    answers.
    Known to break: the policy that is trained gives its own probabilities, so it can gain by being unsure, or wrong, at
    first: use the probabilities of a frozen copy.

    Args:
        limit: Bound on the gain, > 0.
    """

    limit: float = 5.0

    name: ClassVar[str] = "confidence_gain"
    needs: ClassVar[frozenset[Need]] = frozenset({"probabilities"})

    def __post_init__(self) -> None:
        need_number(self.name, "limit", self.limit, above=0.0)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        task = record.task
        gold = answer_index(task.options, task.answer) if task.options and task.answer else None
        if gold is None or record.end is End.VIDEO_ERROR:
            return None
        if record.end is None or len(record.clips) < 2:
            return 0.0
        found = _before_and_after(record, context)
        if found is None:
            return None
        before, after = (_logit(float(probabilities[gold])) for probabilities in found)
        return min(self.limit, max(-self.limit, after - before))


@dataclass(frozen=True)
class InformationGain:
    """How much the zooms reduced the uncertainty about the options, right or wrong.

    Formula: at the end H(q) - H(p), the entropies in nats of the options' probabilities given the overview alone (q)
    and given the overview and all clips (p); 0 before, and 0 without a zoom. Unscored after a video error and without
    options.
    Range: [-ln n, ln n] for n options.
    Source: vzgym; the information gain of classical active vision, on the options of a question.
    Known to break: it needs no right answer, so a policy that becomes sure of a wrong option collects it: gate it with
    `when: correct`; as `confidence_gain` otherwise.
    """

    name: ClassVar[str] = "information_gain"
    needs: ClassVar[frozenset[Need]] = frozenset({"probabilities"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR or not record.task.options:
            return None
        if record.end is None or len(record.clips) < 2:
            return 0.0
        found = _before_and_after(record, context)
        return None if found is None else _entropy(found[0]) - _entropy(found[1])


def _logit(probability: float) -> float:
    # Certainty has no finite odds; the limit of the gain bounds what is left.
    kept = min(max(probability, 1e-9), 1.0 - 1e-9)
    return math.log(kept / (1.0 - kept))


def _entropy(probabilities: NDArray[np.float64]) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())
