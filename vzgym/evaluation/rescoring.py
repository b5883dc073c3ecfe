"""Scores saved runs under another reward, without new roll-outs."""

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
    """A run scored under a reward.

    Attributes:
        mix: The reward.
        records: The run's records.
        ledgers: For each record, the reward of each turn.
    """

    mix: RewardMix
    records: Sequence[EpisodeRecord]
    ledgers: Sequence[Sequence[StepReward]]

    @property
    def totals(self) -> list[float | None]:
        """For each record, the sum over its turns; None if unscored."""
        return [_total([step.total for step in ledger]) for ledger in self.ledgers]

    @property
    def saved(self) -> list[float | None]:
        """The totals saved in the records; None if unscored, or without a reward."""
        return [_total([entry["total"] for entry in record.rewards or ()]) for record in self.records]

    @property
    def total(self) -> Estimate:
        """Mean of the totals over the scored episodes, with its interval."""
        return self._mean(self.totals)

    def terms(self) -> dict[str, tuple[Estimate, Estimate, float]]:
        """For each term: mean raw value and mean contribution per episode, and share of unscored episodes.

        Means are over the episodes in which the term was scored in every turn.
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
        """Mean over tasks of each task's mean, since roll-outs of one task are not independent."""
        tasks: dict[str, list[float]] = {}
        for record, value in zip(self.records, values, strict=True):
            if value is not None:
                tasks.setdefault(record.task.id, []).append(value)
        return mean([math.fsum(known) / len(known) for known in tasks.values()])

    def to_json(self) -> dict[str, Any]:
        """JSON form: the reward, its mean and each term."""
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
        records: The records, in any order; those of the same task form a group.
        reward: The reward: a preset, a YAML file, a mapping, a mix.
        answerer: Answers again from selected clips, for terms that need it.
        progress: Training progress in [0, 1], for annealed terms of records without a saved progress.

    Raises:
        InvalidSetting: If there are no records, or the progress is out of range.
    """
    if not records:
        raise InvalidSetting("there are no records to score")
    if progress is not None and not 0 <= progress <= 1:
        raise InvalidSetting(f"progress must be in [0, 1], got {progress}")
    mix = make_reward(reward)
    return RunScore(mix, records, rescore(mix, records, RewardContext(answerer=answerer, progress=progress)))
