"""Scoring records that were saved, or that belong together.

Some terms look at the other roll-outs of the same task. They can only be scored once the group is complete:
`score_group` is what a trainer calls with the roll-outs of one prompt, `rescore` what a saved run is scored anew with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from vzgym.core.errors import InvalidSetting
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import RewardContext
from vzgym.rewards.mix import RewardMix, StepReward

__all__ = ["rescore", "score_group"]


def score_group(
    mix: RewardMix, records: Sequence[EpisodeRecord], context: RewardContext | None = None
) -> list[list[StepReward]]:
    """Score the roll-outs of one task, each turn of each, with the group in view.

    Args:
        mix: The reward.
        records: Finished roll-outs of one and the same task; one alone is a group of one.
        context: What else surrounds them (answerer, progress; the mix's own context if None); its `group` is set here.

    Returns:
        For each record, in order, the reward of each of its turns: `result[i][t]`. The whole reward of roll-out `i` is
        the sum of the totals, or None if one of them is.

    Raises:
        InvalidSetting: If a record is unfinished, or two are of different tasks.
    """
    for record in records:
        if record.end is None:
            raise InvalidSetting(f"a group holds finished records; that of task {record.task.id!r} still runs")
        if record.task.id != records[0].task.id:
            raise InvalidSetting(
                f"a group holds roll-outs of one task, got {records[0].task.id!r} and {record.task.id!r}"
            )
    together = replace(mix.context if context is None else context, group=tuple(records))
    return [mix.score_all(record, together) for record in records]


def rescore(
    mix: RewardMix, records: Sequence[EpisodeRecord], context: RewardContext | None = None
) -> list[list[StepReward]]:
    """Score finished records anew, as they would have been scored live under this reward.

    Records of the same task, by the same policy and (in training) of the same step are a group if there are two or more
    of them; a task that was played once has none. The training progress of a record is the one that it keeps in
    `info.progress`, if any, else the context's.

    Args:
        mix: The reward.
        records: Finished records, of any tasks, in any order.
        context: What else surrounds them; the mix's own context if None.

    Returns:
        For each record, in order, the reward of each of its turns.
    """
    around = mix.context if context is None else context
    members: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        members[record.task.id, record.info.policy, record.info.step].append(place)
    ledgers: list[list[StepReward]] = [[] for _ in records]
    for places in members.values():
        group = tuple(records[place] for place in places) if len(places) > 1 else None
        for place in places:
            kept = records[place].info.progress
            progress = around.progress if kept is None else kept
            ledgers[place] = mix.score_all(records[place], replace(around, group=group, progress=progress))
    return ledgers
