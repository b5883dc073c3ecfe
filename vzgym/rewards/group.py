"""Scores groups of roll-outs of one task, and saved records.

Some terms compare a roll-out with the others of its task. They are scored when the group is complete. Trainers
call `score_group` with the roll-outs of one prompt; `rescore` scores a saved run again.
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
    """Score each turn of the roll-outs of one task as a group.

    Args:
        mix: The reward.
        records: Finished roll-outs of the same task, one or more.
        context: Answerer, progress and so on; the mix's own context if None. Its `group` is set here.

    Returns:
        For each record, in order, the reward of each of its turns: `result[i][t]`. The reward of roll-out `i` is the
        sum of the totals, or None if one of them is None.

    Raises:
        InvalidSetting: If a record is unfinished, or the records are of different tasks.
    """
    for record in records:
        if record.end is None:
            raise InvalidSetting(f"a group holds finished records; that of task {record.task.id!r} is unfinished")
        if record.task.id != records[0].task.id:
            raise InvalidSetting(
                f"a group holds roll-outs of one task, got {records[0].task.id!r} and {record.task.id!r}"
            )
    together = replace(mix.context if context is None else context, group=tuple(records))
    return [mix.score_all(record, together) for record in records]


def rescore(
    mix: RewardMix, records: Sequence[EpisodeRecord], context: RewardContext | None = None
) -> list[list[StepReward]]:
    """Score finished records under this reward, exactly as live scoring would have done.

    Records of the same task and budget, by the same policy and (in training) of the same step form a group if there are
    at least two. A record's training progress is its `info.progress` if set, else that of the context.

    Args:
        mix: The reward.
        records: Finished records, of any tasks, in any order.
        context: Answerer, progress and so on; the mix's own context if None.

    Returns:
        For each record, in order, the reward of each of its turns.
    """
    around = mix.context if context is None else context
    members: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        # Tasks of two sets may have the same id, in a mixture of sets too.
        task = (record.task.id, record.task.video, record.task.question)
        members[task, record.budget, record.info.policy, record.info.step].append(place)
    ledgers: list[list[StepReward]] = [[] for _ in records]
    for places in members.values():
        group = tuple(records[place] for place in places) if len(places) > 1 else None
        for place in places:
            kept = records[place].info.progress
            progress = around.progress if kept is None else kept
            ledgers[place] = mix.score_all(records[place], replace(around, group=group, progress=progress))
    return ledgers
