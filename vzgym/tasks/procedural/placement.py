"""Where a task's event may lie, and the exact chance that given frames show enough of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vzgym.core.budget import Budget
from vzgym.core.errors import TaskError
from vzgym.tasks.task import VideoTask
from vzgym.video.base import FRAME_SLACK

__all__ = ["Placement", "hit_rate", "search_difficulty"]


@dataclass(frozen=True, slots=True)
class Placement:
    """The distribution of an event's start, and what a viewer must see of it.

    Args:
        starts: Half-open ranges of frames. The event starts at any frame of them, all equally likely.
        needs: Half-open ranges of frames, counted from the event's start. Each needs at least one frame seen.
        fps: Frames a second of the video.
        also: Further events that must be seen too, each placed independently of the others.
    """

    starts: tuple[tuple[int, int], ...]
    needs: tuple[tuple[int, int], ...]
    fps: float
    also: tuple[Placement, ...] = ()

    @property
    def parts(self) -> tuple[Placement, ...]:
        """Every event's own placement, in the order of the evidence."""
        return (replace(self, also=()), *self.also)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for a task's metadata."""
        own = {"starts": [list(r) for r in self.starts], "needs": [list(r) for r in self.needs], "fps": self.fps}
        return {**own, "also": [part.to_dict() for part in self.also]} if self.also else own

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Placement:
        """Back from `to_dict`."""
        return cls(
            tuple((int(a), int(b)) for a, b in values["starts"]),
            tuple((int(a), int(b)) for a, b in values["needs"]),
            float(values["fps"]),
            tuple(cls.from_dict(part) for part in values.get("also", ())),
        )

    @property
    def seconds(self) -> float:
        """How many seconds of starts there are: what must be searched."""
        return sum(high - low for part in self.parts for low, high in part.starts) / self.fps

    def at(self, starts: Sequence[int]) -> Placement:
        """The same where it is known at which frame each event starts."""
        one, *others = (
            replace(part, starts=((start, start + 1),)) for part, start in zip(self.parts, starts, strict=True)
        )
        return replace(one, also=tuple(others))

    def hit_rate(self, times: ArrayLike) -> float:
        """The share of starts for which frames at `times` show all that is needed, exact."""
        return math.prod(part._own_hit_rate(times) for part in self.parts)

    def _own_hit_rate(self, times: ArrayLike) -> float:
        seen = np.unique(np.floor((np.asarray(times, dtype=np.float64).reshape(-1) + FRAME_SLACK) * self.fps))
        starts = np.concatenate([np.arange(low, high) for low, high in self.starts])
        enough = np.ones(len(starts), dtype=bool)
        for low, high in self.needs:
            enough &= np.searchsorted(seen, starts + high) > np.searchsorted(seen, starts + low)
        return float(enough.mean())


def hit_rate(task: VideoTask, times: ArrayLike) -> float:
    """The probability that frames at `times` show what the task needs, over its family's placement of the event.

    Everything but the event's start is as in the task: the scene that the question names is known. What is needed:
    one frame of a flash; of a burst, one frame in each lit and dark run, whatever the count.

    Args:
        task: A procedural task.
        times: Times of the frames seen, in seconds, any order, shape `(n,)`.

    Returns:
        An exact probability, in [0, 1].

    Raises:
        TaskError: If the task does not say where its event may lie.
    """
    values = task.metadata.get("placement")
    if values is None:
        raise TaskError(f"task {task.id!r} does not say where its event may lie (metadata 'placement')")
    return Placement.from_dict(values).hit_rate(times)


def search_difficulty(placement: Placement, step: float, budget: Budget) -> float:
    """A difficulty in [0, 1): `s / (s + r)`, s = seconds to search, r = seconds that one zoom searches for sure.

    Args:
        placement: Where the event may lie.
        step: Largest distance between frames that cannot miss what is needed, in seconds.
        budget: Gives the frames of a zoom.
    """
    reach = max(1, budget.clip_frames - 1) * step
    return round(placement.seconds / (placement.seconds + reach), 6)
