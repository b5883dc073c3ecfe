"""Dynamic sampling (DAPO, arXiv 2503.14476): groups without a signal give way to groups of further tasks.

A group whose roll-outs all have the same reward has advantage 0 and changes no weight. Here are the decisions and the
work on tensors; `vzgym.agents.training.episode_trainer.EpisodeTrainer` generates the further batches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl.trainer.utils import nanstd, pad, split_pixel_values_by_grid, unsplit_pixel_values_by_grid

__all__ = ["batch_advantages", "further_tasks", "groups_with_signal", "matches", "replace_rollouts", "total_rewards"]

_EQUAL = 1e-6
"""Totals that differ by at most this are equal: what remains is rounding of float32."""


def total_rewards(rewards: Tensor, weights: Tensor) -> Tensor:
    """The reward of each roll-out.

    Args:
        rewards: Of each roll-out by each reward function, (roll-outs, functions); nan if unscored.
        weights: Of the functions, (functions,).

    Returns:
        Weighted sums, (roll-outs,); nan for a roll-out that no function scores.
    """
    totals = (rewards * weights).nansum(dim=1)
    totals[rewards.isnan().all(dim=1)] = torch.nan
    return totals


def groups_with_signal(totals: Tensor, group_size: int) -> list[bool]:
    """Whether the scored roll-outs of each group differ in their reward.

    Args:
        totals: See `total_rewards`; of whole groups, one after the other.
        group_size: Roll-outs of a group.
    """
    groups = totals.view(-1, group_size)
    spread = groups.nan_to_num(nan=-torch.inf).amax(dim=1) - groups.nan_to_num(nan=torch.inf).amin(dim=1)
    return [bool(value) for value in spread > _EQUAL]


def further_tasks(tasks: int, played: Collection[int], key: Sequence[int]) -> list[int]:
    """An order in which the other tasks are drawn.

    It depends on nothing but the arguments, so that it is the same in all processes and after a restart.

    Args:
        tasks: Number of tasks.
        played: The tasks of the first batch, which are left out.
        key: The run's seed, its step, and the number of the generation batch in that step.
    """
    order = np.random.default_rng(list(key)).permutation(tasks)
    return [int(task) for task in order[~np.isin(order, list(played))]]


def matches(wanting: Sequence[bool], offered: Sequence[bool]) -> list[tuple[int, int]]:
    """Pairs of the next place that wants a group and the next group that is offered, each used once.

    Args:
        wanting: For each place of the batch, whether its group has no signal.
        offered: For each group of a further batch, whether it has one.
    """
    places = [place for place, wants in enumerate(wanting) if wants]
    groups = [group for group, has in enumerate(offered) if has]
    return list(zip(places, groups, strict=False))


def replace_rollouts(
    batch: Mapping[str, Any], further: Mapping[str, Any], rows: Sequence[tuple[int, int]], pad_token: int, image: int
) -> dict[str, Any]:
    """A batch in which some roll-outs are those of a further batch.

    Args:
        batch: What TRL's `_generate_and_score_completions` returns: tensors of the roll-outs, padded to the longest
            one; pixels and grids of all their images, one after the other.
        further: Another such batch.
        rows: Pairs of a roll-out of `batch` and the one of `further` that takes its place.
        pad_token: Token that prompts (on the left) and completions (on the right) are padded with.
        image: Token of an image's placeholders.

    Returns:
        As `batch`, padded to the longest roll-out of both; scalars are those of `batch`.
    """
    ours, theirs = _by_rollout(batch), _by_rollout(further)
    for one, other in ((ours, theirs), (theirs, ours)):
        _complete(one, other, image)
    chosen = dict(rows)
    joined: dict[str, Any] = {}
    for key, values in ours.items():
        mine = [theirs[key][chosen[row]] if row in chosen else value for row, value in enumerate(values)]
        joined[key] = mine if isinstance(values, _Listed) else _padded(key, mine, pad_token)
    for key in [key for key in joined if key.endswith(_PROMPT)]:
        name = key.removesuffix(_PROMPT)
        joined[name] = torch.cat([joined.pop(key), joined.pop(name + _COMPLETION)], dim=1)
    scalars = {key: value for key, value in batch.items() if isinstance(value, Tensor) and not value.ndim}
    return {**unsplit_pixel_values_by_grid(joined), **scalars}


def batch_advantages(totals: Tensor, every: Tensor, group_size: int) -> Tensor:
    """Advantages that are scaled by the deviation of the whole batch, as TRL computes them.

    Args:
        totals: Rewards of this process's roll-outs, (roll-outs,).
        every: Those of all processes.
        group_size: Roll-outs of a group.
    """
    means = totals.view(-1, group_size).nanmean(dim=1).repeat_interleave(group_size)
    advantages: Tensor = (totals - means) / (nanstd(every) + 1e-4)
    return advantages.nan_to_num(nan=0.0)


_PROMPT, _COMPLETION = "/prompt", "/completion"
"""Suffixes of the two parts of token types, which are padded on either side."""


class _Listed(list[Any]):
    """Values of roll-outs that differ in size and are joined without padding, or numbers."""


def _by_rollout(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The values of each roll-out, by name."""
    prompt = batch["prompt_ids"].size(1)
    parts: dict[str, Any] = {}
    known = {key: value for key, value in batch.items() if value is not None}
    for key, value in split_pixel_values_by_grid(known).items():
        if isinstance(value, list):
            parts[key] = _Listed(value)
        elif key.endswith("token_type_ids"):
            parts[key + _PROMPT], parts[key + _COMPLETION] = list(value[:, :prompt]), list(value[:, prompt:])
        elif value.ndim:
            parts[key] = list(value)
    return parts


def _complete(batch: dict[str, Any], other: Mapping[str, Any], image: int) -> None:
    """Add what a batch lacks beside another one: without any image it has no pixels, and may have no token types."""
    for key in other.keys() - batch.keys():
        if key.endswith((_PROMPT, _COMPLETION)):
            ids = batch["prompt_ids" if key.endswith(_PROMPT) else "completion_ids"]
            batch[key] = [(row == image).to(other[key][0].dtype) for row in ids]
        else:
            none = other[key][0][:0] if isinstance(other[key][0], Tensor) else 0
            batch[key] = _Listed([none] * len(batch["prompt_ids"]))


def _padded(key: str, rows: list[Tensor], pad_token: int) -> Tensor:
    if not rows[0].ndim:
        return torch.stack(rows)
    value = pad_token if key in ("prompt_ids", "completion_ids") else int(key == "tool_mask")
    padded: Tensor = pad(rows, value, "left" if key.startswith("prompt") or key.endswith(_PROMPT) else "right")
    return padded
