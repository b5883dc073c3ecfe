"""Count: how often a lamp lights up within a burst too short for the overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting
from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import Draft, Family, region_around
from vzgym.tasks.procedural.pixels import near
from vzgym.tasks.procedural.reader import NO_READING, PictureReader, Reading
from vzgym.tasks.procedural.render.painter import Lamp
from vzgym.tasks.procedural.render.palette import LAMP_LIT, LAMP_RING
from vzgym.tasks.procedural.search import Search, find_burst
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["Count", "CountReader", "CountSettings", "pulse_pattern"]

# Smallest share of the picture that a lamp takes, and how far its pixels may be from its colors.
_LEAST_AREA = 0.004
_TOLERANCE = 52


def pulse_pattern(frames: int, pulses: int) -> list[tuple[int, int]]:
    """Split a burst into `2 * pulses - 1` nearly equal runs, alternately lit and dark, lit at both ends.

    The burst has the same length for every number of pulses.

    Args:
        frames: Frames of the burst.
        pulses: Number of lit runs, >= 1.

    Returns:
        All runs, dark ones included: first and one-past-last frame, from 0.
    """
    bounds = np.rint(np.linspace(0, frames, 2 * pulses)).astype(int).tolist()
    return list(pairwise(bounds))


@dataclass(frozen=True)
class CountSettings(SceneSettings):
    """Settings of the count family; see `SceneSettings` for the others.

    Args:
        counts: Possible numbers of pulses: the options, in order.
        event_seconds: Length of the burst, whatever the count.
        lamp_size: Diameter of the lamp, as a share of the shorter side, in (0, 0.8].
    """

    counts: tuple[int, ...] = (2, 3, 4, 5)
    event_seconds: float = 1.8
    lamp_size: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", tuple(self.counts))
        super().__post_init__()
        in_order = list(self.counts) == sorted(set(self.counts))
        self.need(
            len(self.counts) >= 2 and in_order and self.counts[0] >= 1,
            "counts",
            "at least two different numbers >= 1 in order",
        )
        self.need(0 < self.lamp_size <= 0.8, "lamp_size", "in (0, 0.8]")
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


def _shows_burst(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Frames whose lamp has a glowing rim, lit or not."""
    rim, glass = near(frames, LAMP_RING, _TOLERANCE), near(frames, LAMP_LIT, _TOLERANCE)
    return np.asarray(rim + glass >= _LEAST_AREA, dtype=np.bool_)


class CountReader(PictureReader):
    """Counts how often the lamp's glass turns bright in the frames of the queried scenes, in order of time."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`.

        The confidence grows with the number of frames in the burst, up to two for each pulse of the largest option;
        it is small if the count is not an option (then the nearest option is returned).
        """
        counts = {option: int(option) for option in options if option.strip().isdecimal()}
        if options and not counts:
            return NO_READING
        burst = _shows_burst(shown) & asked
        if not burst.any():
            return NO_READING
        rim, glass = near(shown, LAMP_RING, _TOLERANCE), near(shown, LAMP_LIT, _TOLERANCE)
        lit = burst & (glass >= 0.25 * (rim + glass))
        ordered = lit[np.argsort(times, kind="stable")]
        pulses = int(ordered[0]) + int((ordered[1:] & ~ordered[:-1]).sum())
        if pulses == 0:
            # A frame between two pulses shows that there is a burst, but not its count.
            return NO_READING
        if not counts:
            return Reading(str(pulses), min(1.0, int(burst.sum()) / (2 * pulses)))
        best = min(counts, key=lambda option: abs(counts[option] - pulses))
        seen = min(1.0, int(burst.sum()) / (2 * max(counts.values()) - 1))
        return Reading(best, seen if counts[best] == pulses else 0.25 * seen)


class Count(Family[CountSettings]):
    """A lamp hangs in every scene; in one short burst it lights up n times. Chance is 1 / len(counts).

    The lamp's rim glows throughout the burst, lit or not, so that any one frame of the burst locates it.
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

    reader = CountReader()
    search = Search(find_burst, _shows_burst)

    @property
    def num_options(self) -> int:
        """One option for each count."""
        return len(self.settings.counts)

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`. Options are numbers in order."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        options = tuple(str(count) for count in s.counts)
        question = self.draw_question(rng, timeline)
        radius = s.lamp_size / 2 * min(1.0, s.aspect)
        margin = radius * 1.15
        lamps = []
        for scene in range(s.scenes):
            first, last = timeline.frames_of(scene)
            start = timeline.draw_start(rng, scene, length)
            x, y = rng.random(2)
            count = s.counts[int(rng.integers(len(s.counts)))]
            burst: tuple[int, int] | None = (start, start + length)
            if scene == timeline.target:
                count, event = s.counts[position], (start, start + length)
            elif scene in timeline.idle:
                burst = None
            runs = pulse_pattern(length, count)[::2] if burst else []
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
        lamp = lamps[timeline.target]
        runs_of_all = {run for count in s.counts for run in pulse_pattern(length, count)}
        return Draft(
            actors=lamps,
            question=question,
            options=options,
            evidence=(s.interval(*event),),
            requirements=EvidenceRequirements(
                min_fps=s.needed_fps,
                regions=(region_around(lamp.x, lamp.y, 1.1 * radius, 1.1 * radius, s.aspect),),
                placement=Placement(timeline.starts(timeline.asked, length), tuple(sorted(runs_of_all)), s.fps),
            ),
        )
