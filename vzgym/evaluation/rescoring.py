"""Scoring a saved run under another reward, without playing the policy again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vzgym.core.errors import InvalidSetting
from vzgym.core.statistics import Estimate, mean
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import Answerer, RewardContext
from vzgym.rewards.group import rescore
from vzgym.rewards.making import RewardSpec, make_reward
from vzgym.rewards.mix import RewardMix, StepReward

__all__ = ["RunScore", "score_run"]


@dataclass(frozen=True)
class RunScore:
    """A run under a reward.

    Attributes:
        mix: The reward.
        records: The run's records.
        ledgers: For each record the reward of each of its turns.
    """

    mix: RewardMix
    records: Sequence[EpisodeRecord]
    ledgers: Sequence[Sequence[StepReward]]

    @property
    def totals(self) -> list[float | None]:
        """For each record the sum of its turns; None if unscored."""
        return [_total([step.total for step in ledger]) for ledger in self.ledgers]

    @property
    def saved(self) -> list[float | None]:
        """The same as the records keep it from when they were played; None if unscored, or without a reward."""
        return [_total([entry["total"] for entry in record.rewards or ()]) for record in self.records]

    @property
    def total(self) -> Estimate:
        """Mean of the totals over the scored episodes, with its interval."""
        return self._mean(self.totals)

    def terms(self) -> dict[str, tuple[Estimate, Estimate, float]]:
        """For each term: mean raw value an episode, mean contribution an episode, share of episodes it could not score.

        Means are over the episodes that it scored in every turn.
        """
        found = {}
        for name in self.mix.terms:
            rows = [[step.terms[name] for step in ledger] for ledger in self.ledgers]
            values = [_total([item.value for item in row]) for row in rows]
            paid = [
                None if value is None else math.fsum(item.contribution for item in row)
                for row, value in zip(rows, values, strict=True)
            ]
            unscored = sum(value is None for value in values) / len(values)
            found[name] = (self._mean(values), self._mean(paid), unscored)
        return found

    def _mean(self, values: Sequence[float | None]) -> Estimate:
        """The mean over tasks of each task's mean: several roll-outs of one task are no independent observations."""
        tasks: dict[str, list[float]] = {}
        for record, value in zip(self.records, values, strict=True):
            if value is not None:
                tasks.setdefault(record.task.id, []).append(value)
        return mean([math.fsum(known) / len(known) for known in tasks.values()])

    def to_json(self) -> dict[str, Any]:
        """JSON form: the reward, its mean, each term."""
        return {
            "reward": self.mix.to_spec(),
            "episodes": len(self.records),
            "total": self.total.to_json(),
            "saved": self._mean(self.saved).to_json(),
            "terms": {
                name: {"value": value.to_json(), "contribution": paid.to_json(), "unscored": share}
                for name, (value, paid, share) in self.terms().items()
            },
        }


def _total(turns: Sequence[float | None]) -> float | None:
    known = [turn for turn in turns if turn is not None]
    return math.fsum(known) if turns and len(known) == len(turns) else None


def score_run(
    records: Sequence[EpisodeRecord],
    reward: RewardSpec,
    *,
    answerer: Answerer | None = None,
    progress: float | None = None,
) -> RunScore:
    """Score finished records of a run under a reward.

    Args:
        records: The records, in any order; those of the same task are a group.
        reward: The reward: a preset, a YAML file, a mapping, a mix.
        answerer: Answers again from chosen clips, for the terms that need it.
        progress: Training progress in [0, 1], for annealed terms of records that do not keep their own.

    Raises:
        InvalidSetting: If there is no record, or the progress is out of range.
    """
    if not records:
        raise InvalidSetting("there are no records to score")
    if progress is not None and not 0 <= progress <= 1:
        raise InvalidSetting(f"progress must be in [0, 1], got {progress}")
    mix = make_reward(reward)
    return RunScore(mix, records, rescore(mix, records, RewardContext(answerer=answerer, progress=progress)))
