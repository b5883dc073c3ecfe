"""Base classes of the baselines: a frame reader, a budget, and a seeded guess if the reader finds no answer."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vzgym.baselines.readers import FrameReader, ReaderSpec, make_reader
from vzgym.core.actions import Answer, Zoom, Zooms, frames_asked
from vzgym.core.budget import Budget
from vzgym.tasks.task import option_letter

__all__ = ["Baseline", "ZoomingBaseline", "sample_zoom"]


def sample_zoom(rng: np.random.Generator, duration: float, budget: Budget) -> Zoom:
    """Sample a valid random zoom.

    The number of frames is uniform in 1 to `clip_frames`, the length log-uniform between the shortest and the longest
    that this number of frames can cover within the fps bounds and the video, the start uniform over what is left.

    Args:
        rng: Source of randomness.
        duration: Length of the video in seconds.
        budget: The budget, with the limits.
    """
    count = int(rng.integers(1, budget.clip_frames + 1))
    shortest = min(count / budget.max_fps, duration)
    longest = min(count / budget.min_fps, duration)
    length = float(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
    fps = float(np.clip(count / length, budget.min_fps, budget.max_fps))
    start = float(rng.uniform(0.0, duration - length)) if length < duration else 0.0
    end = min(start + length, duration)
    # Rounding of the end can push the number of frames over the limit: end half a frame earlier.
    if frames_asked(end - start, fps) > budget.clip_frames:
        end = start + (budget.clip_frames - 0.5) / fps
    # A window shorter than the resolution of times must not become empty.
    return Zoom(start, max(end, math.nextafter(start, math.inf)), fps)


class Baseline(ABC):
    """A policy that does not learn. It uses only the default observation and `info`.

    `vzgym.evaluate` calls `prepare` with the budget of the run; call it first in a loop of your own.

    Args:
        reader: Answers from pixels, by object, name, `"module:Class"` or mapping; the procedural families' own reader
            if not given.

    Raises:
        UnknownName: If the reader's name is not registered.
        InvalidSetting: If it is not a reader.
    """

    name: str
    observation: ClassVar[Any] = "default"
    action: ClassVar[Any] = "default"

    def __init__(self, reader: ReaderSpec | None = None) -> None:
        self.reader: FrameReader = make_reader(reader)
        self.budget = Budget()
        self.rng = np.random.default_rng(0)

    def prepare(self, budget: Budget) -> Budget:
        """Receive the budget of the run; returns the budget to play with."""
        self.budget = budget
        return budget

    def reset(self, seed: int) -> None:
        """Start an episode."""
        self.rng = np.random.default_rng(seed)

    @abstractmethod
    def act(self, observation: Any, info: dict[str, Any]) -> Zoom | Zooms | Answer:
        """One round's action."""

    def answer(self, observation: Any, info: dict[str, Any]) -> Answer:
        """The reader's answer from all frames so far; a seeded guess among the options if it finds none."""
        count = int(observation["num_frames"])
        reading = self.reader.read(
            observation["frames"][:count], observation["frame_times"][:count], info["question"], info["options"]
        )
        return self.guess(info) if reading.option is None else Answer(reading.option)

    def guess(self, info: dict[str, Any]) -> Answer:
        """One of the options, uniformly; an empty answer to an open question."""
        options = info["options"]
        return Answer(option_letter(int(self.rng.integers(len(options)))) if options else "")


class ZoomingBaseline(Baseline):
    """Executes a plan of zooms, then answers from all frames."""

    _plan: list[Zoom | Zooms] | None = None

    @abstractmethod
    def plan(self, info: dict[str, Any]) -> Sequence[Zoom | Zooms]:
        """The zooms of each turn, planned before the first one; turns beyond the budget are ignored."""

    def reset(self, seed: int) -> None:
        """Start an episode."""
        super().reset(seed)
        self._plan = None

    def act(self, observation: Any, info: dict[str, Any]) -> Zoom | Zooms | Answer:
        """The plan's next turn while one is left and allowed; then the answer."""
        if self._plan is None:
            self._plan = list(self.plan(info))
        if self._plan and observation["budget_left"][0] > 0:
            return self._plan.pop(0)
        return self.answer(observation, info)
