"""The exact probability that given frames show a task's event, and the difficulty of finding it."""

from __future__ import annotations

from numpy.typing import ArrayLike

from vzgym.core.budget import Budget
from vzgym.core.errors import TaskError
from vzgym.tasks.evidence import Placement
from vzgym.tasks.task import VideoTask

__all__ = ["hit_rate", "search_difficulty"]


def hit_rate(task: VideoTask, times: ArrayLike) -> float:
    """The probability that frames at `times` show the required evidence, over the family's placement of the event.

    Everything except the event's start is as in the task: the scene that the question names is known. Required are one
    frame of a flash, or one frame in each lit and dark run of a burst, for any count.

    Args:
        task: A procedural task.
        times: Times of the frames seen, in seconds, any order, shape `(n,)`.

    Returns:
        An exact probability, in [0, 1].

    Raises:
        TaskError: If the task does not define where its event may lie.
    """
    placement = task.requirements.placement
    if placement is None:
        raise TaskError(f"task {task.id!r} does not define where its event may lie (requirements.placement)")
    return placement.hit_rate(times)


def search_difficulty(placement: Placement, step: float, budget: Budget) -> float:
    """Difficulty in [0, 1): `s / (s + r)`, s = seconds to search, r = seconds that one zoom surely covers.

    Args:
        placement: Where the event may lie.
        step: Largest distance in seconds between frames that cannot miss the evidence.
        budget: Defines the frames of a zoom.
    """
    reach = max(1, budget.clip_frames - 1) * step
    return round(placement.seconds / (placement.seconds + reach), 6)
