"""The controls to report beside every result: blind, random, overview, uniform, sliding, oracle."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from vzgym.baselines.base import Baseline, ZoomingBaseline, sample_zoom
from vzgym.baselines.readers import ReaderSpec
from vzgym.core.actions import Answer, Zoom, Zooms
from vzgym.core.budget import Budget, group_zooms
from vzgym.core.errors import InvalidSetting
from vzgym.tasks.procedural.family import expert_zooms
from vzgym.tasks.task import VideoTask

__all__ = ["CONTROLS", "Blind", "Oracle", "OverviewOnly", "RandomZoom", "SlidingWindow", "Uniform"]


class Blind(Baseline):
    """Guesses one of the options without frames: chance."""

    name: str = "blind"
    observation: ClassVar[Any] = "dialogue"

    def act(self, observation: Any, info: dict[str, Any]) -> Answer:
        """A seeded guess."""
        return self.guess(info)


class OverviewOnly(Baseline):
    """Answers from the overview, without a zoom."""

    name: str = "overview"

    def act(self, observation: Any, info: dict[str, Any]) -> Answer:
        """What the overview shows."""
        return self.answer(observation, info)


class Uniform(Baseline):
    """Answers from evenly spaced frames, as many as a zooming policy may see, in place of overview and zooms.

    Args:
        frames: Number of frames; the run's `max_frames` (128 with the paper's budget) if not given.
        reader: Answers from pixels; see `Baseline`.

    Raises:
        InvalidSetting: If `frames` is below 1.
    """

    name: str = "uniform"

    def __init__(self, frames: int | None = None, reader: ReaderSpec | None = None) -> None:
        super().__init__(reader)
        if frames is not None and (isinstance(frames, bool) or not isinstance(frames, int) or frames < 1):
            raise InvalidSetting(f"uniform needs a whole number of frames >= 1, got {frames!r}")
        self.frames = frames

    def prepare(self, budget: Budget) -> Budget:
        """A budget with all frames in the overview and no zoom."""
        frames = budget.max_frames if self.frames is None else self.frames
        return super().prepare(budget.with_zooms(0, overview_fps=math.inf, overview_frames=frames))

    def act(self, observation: Any, info: dict[str, Any]) -> Answer:
        """What the frames show."""
        return self.answer(observation, info)


class RandomZoom(ZoomingBaseline):
    """Uses all zooms on random windows (`sample_zoom`), then answers from all frames."""

    name: str = "random"

    def plan(self, info: dict[str, Any]) -> list[Zoom]:
        """As many random zooms as the budget allows."""
        return [sample_zoom(self.rng, info["duration"], self.budget) for _ in range(self.budget.max_zooms)]


class SlidingWindow(ZoomingBaseline):
    """Covers the whole video with equal windows, one per zoom, each with a full clip."""

    name: str = "sliding"

    def plan(self, info: dict[str, Any]) -> list[Zoom]:
        """`max_zooms` windows of equal length, each of `clip_frames` frames as far as the fps bounds allow.

        A video too long even for the lowest fps is covered by windows with gaps between them.
        """
        duration, budget = info["duration"], self.budget
        if not budget.max_zooms:
            return []
        step = duration / budget.max_zooms
        fps = min(max(budget.clip_frames / step, budget.min_fps), budget.max_fps)
        length = min(step, budget.clip_frames / fps)
        starts = [step * i for i in range(budget.max_zooms)]
        return [Zoom(start, min(start + length, duration), fps) for start in starts]


class Oracle(ZoomingBaseline):
    """Knows where the evidence is, makes the cheapest zooms that show it, and reads the answer from the pixels.

    Where the budget allows several zooms in a turn, it makes as many of them in one turn as fit.

    Privileged: a ceiling for policies that must find the place themselves, and a check that the frames do hold the
    answer. It does not know the answer.

    Raises:
        TaskError: From `reveal`, if a task's evidence is unknown, or the budget cannot show it.
    """

    name: str = "oracle"

    _expert: tuple[Zoom, ...] | None = None

    def reveal(self, task: VideoTask) -> None:
        """Receive the task; only its expert's zooms are used."""
        self._expert = expert_zooms(task, self.budget)

    def plan(self, info: dict[str, Any]) -> list[Zoom | Zooms]:
        """The expert's zooms, in as few turns as possible.

        Raises:
            InvalidSetting: If the task was not revealed.
        """
        if self._expert is None:
            raise InvalidSetting("the oracle needs each task before the episode: call reveal(task)")
        return group_zooms(self._expert, self.budget)


CONTROLS: tuple[type[Baseline], ...] = (Blind, RandomZoom, OverviewOnly, Uniform, SlidingWindow, Oracle)
"""The baselines that every result is compared with, in order of their information."""
