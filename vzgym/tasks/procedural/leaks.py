"""Guessing answers without frames: from the positions of earlier answers, and from what is known about a task.

If these guesses beat chance, a suite gives its answers away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["guess_from_history", "guess_from_metadata", "predictable"]

_NEIGHBOURS = 15
_HISTORY_RULES = (
    "the rarest position so far",
    "the most common position so far",
    "the least recent position",
    "the most frequent successor of the last position",
    "the most frequent successor of the last two positions",
)


def predictable(places: Sequence[int], options: int) -> list[str]:
    """What the positions of right options reveal about later ones.

    Args:
        places: Positions of right options in the order of the tasks, 0 to `options` - 1.
        options: Number of positions.

    Returns:
        A sentence for each position that is too frequent or too rare, and for each rule of `guess_from_history` that is
        right too often.
    """
    count, chance = len(places), 1.0 / options
    # Four standard errors: one false alarm in 30,000 guesses.
    most = count * chance + 4.0 * math.sqrt(count * chance * (1 - chance))
    found = [
        f"the right option is at position {place} in {places.count(place)} of {count} tasks"
        for place in range(options)
        if abs(places.count(place) - count * chance) > most - count * chance
    ]
    found += [
        f"guessing {rule} is right in {right} of {count} tasks in a row"
        for rule, right in guess_from_history(places, options).items()
        if right > most
    ]
    return [f"{sentence}, but chance is 1 in {options}" for sentence in found]


def guess_from_history(places: Sequence[int], options: int) -> dict[str, int]:
    """Guess each position from earlier ones, as a blind policy could that learns the right answers.

    Args:
        places: Positions of right options in the order of the tasks, 0 to `options` - 1.
        options: Number of positions.

    Returns:
        The number of right guesses by rule.
    """
    counts = [0] * options
    latest = [-1] * options
    after: dict[tuple[int, ...], list[int]] = {}
    right = dict.fromkeys(_HISTORY_RULES, 0)
    for turn, place in enumerate(places):
        contexts = [tuple(places[max(0, turn - length) : turn]) for length in (1, 2)]
        successors = [after.setdefault(context, [0] * options) for context in contexts]
        guesses = (
            counts.index(min(counts)),
            counts.index(max(counts)),
            latest.index(min(latest)),
            *(followed.index(max(followed)) for followed in successors),
        )
        for rule, guess in zip(_HISTORY_RULES, guesses, strict=True):
            right[rule] += guess == place
        counts[place] += 1
        latest[place] = turn
        for followed in successors:
            followed[place] += 1
    return right


def guess_from_metadata(
    facts: NDArray[np.float64], places: NDArray[np.int64], others: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Guess the position of the right option of tasks from the most similar other tasks.

    The 15 nearest neighbors vote (columns standardized, ties broken by order).

    Args:
        facts: Shape `(n, m)`: m facts about each task to learn from, n >= 1.
        places: Shape `(n,)`: their right positions.
        others: Shape `(k, m)`: the facts about the tasks to guess.

    Returns:
        int64, shape `(k,)`: the guessed positions.
    """
    spread = facts.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    guesses = np.zeros(len(others), dtype=np.int64)
    for index, row in enumerate(others):
        distance = (((facts - row) / scale) ** 2).sum(axis=1)
        near = np.argsort(distance, kind="stable")[:_NEIGHBOURS]
        guesses[index] = np.bincount(places[near]).argmax()
    return guesses
