"""Count: how often a lamp lights up within a burst too short for the overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family, region_of
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.painter import Lamp
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["Count", "CountSettings", "pulse_pattern"]


def pulse_pattern(frames: int, pulses: int) -> list[tuple[int, int]]:
    """A burst cut into `2 * pulses - 1` nearly equal runs, lit and dark in turn, lit at both ends.

    The burst has the same length for every number of pulses.

    Args:
        frames: Frames of the burst.
        pulses: How many times it is lit, >= 1.

    Returns:
        All runs, dark ones included: first and one-past-last frame, from 0.
    """
    bounds = np.rint(np.linspace(0, frames, 2 * pulses)).astype(int).tolist()
    return list(pairwise(bounds))


@dataclass(frozen=True)
class CountSettings(SceneSettings):
    """Settings of the count family; see `SceneSettings` for the others.

    Args:
        counts: How often the lamp may light up: the options, in order.
        event_seconds: Length of the burst, whatever the count.
        lamp_size: Diameter of the lamp, as a share of the shorter side, in (0, 0.8].
    """

    counts: tuple[int, ...] = (2, 3, 4, 5)
    event_seconds: float = 1.8
    lamp_size: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", tuple(self.counts))
        super().__post_init__()
        if len(self.counts) < 2 or list(self.counts) != sorted(set(self.counts)) or self.counts[0] < 1:
            raise InvalidSetting(
                f"CountSettings.counts must be at least two different numbers >= 1 in order, got {self.counts}"
            )
        if not 0 < self.lamp_size <= 0.8:
            raise InvalidSetting(f"CountSettings.lamp_size must be in (0, 0.8], got {self.lamp_size}")
        frames = self.event_frames(self.event_seconds)
        if self.shortest_run < 1:
            raise InvalidSetting(
                f"{self.counts[-1]} pulses need {2 * self.counts[-1] - 1} frames at least, but a burst of "
                f"{self.event_seconds} s at {self.fps} fps has {frames}"
            )
        self.needs_rate(self.needed_fps, frames / self.fps)

    @property
    def shortest_run(self) -> int:
        """Frames of the shortest lit or dark run over all counts."""
        frames = self.event_frames(self.event_seconds)
        return min(b - a for count in self.counts for a, b in pulse_pattern(frames, count))

    @property
    def needed_fps(self) -> float:
        """One frame in every run of every count: at least two samples a period."""
        return self.fps / self.shortest_run


class Count(Family):
    """A lamp hangs in every scene; in one short burst it lights up n times. Chance is 1 / len(counts).

    While the burst lasts the lamp's rim glows, lit or not, so that one frame anywhere in it shows where to look.
    """

    name: ClassVar[str] = "count"
    Settings = CountSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "How many times does the lamp light up in the {scene} scene?",
            "Count the pulses of the lamp in the {scene} scene. How many are there?",
            "In the {scene} scene, how often is the lamp switched on?",
        ),
        "none": (
            "How many times does a lamp light up in this video?",
            "Count the pulses of the lamp in this video. How many are there?",
            "Once in this video a lamp blinks. How often is it switched on?",
        ),
    }

    @property
    def num_options(self) -> int:
        """One option for each count."""
        s = self.settings
        assert isinstance(s, CountSettings)
        return len(s.counts)

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`. Options are numbers in order."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, CountSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        options = tuple(str(count) for count in s.counts)
        question = self._question(rng, stage)
        radius = s.lamp_size / 2 * min(1.0, s.aspect)
        lamps = []
        for scene in range(s.scenes):
            first, last = stage.frames_of(scene)
            start = stage.draw_start(rng, scene, length)
            x, y = rng.random(2)
            count = s.counts[int(rng.integers(len(s.counts)))]
            burst: tuple[int, int] | None = (start, start + length)
            if scene == stage.target:
                count, event = s.counts[position], (start, start + length)
            elif scene in stage.idle:
                burst = None
            runs = pulse_pattern(length, count)[::2] if burst else []
            margin = radius * 1.15
            lamps.append(
                Lamp(
                    first,
                    last,
                    margin + x * (s.aspect - 2 * margin),
                    margin + y * (1.0 - 2 * margin),
                    radius,
                    burst,
                    tuple((start + a, start + b) for a, b in runs),
                )
            )
        lamp = lamps[stage.target]
        runs_of_all = {run for count in s.counts for run in pulse_pattern(length, count)}
        placement = Placement(tuple(stage.starts(stage.asked, length)), tuple(sorted(runs_of_all)), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(lamps),
            question,
            options,
            position,
            (Interval(event[0] / s.fps, event[1] / s.fps),),
            {
                "needed_fps": s.needed_fps,
                "difficulty": search_difficulty(placement, 1.0 / s.needed_fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [region_of(lamp.x, lamp.y, 1.1 * radius, 1.1 * radius, s.aspect)],
                "varies": [[event[0] / s.fps, event[1] / s.fps]],
            },
        )


FAMILIES.register(Count.name, Count)
