"""Speed: which of several discs is fastest; all are visible for the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.procedural.family import Draft, Family
from vzgym.tasks.procedural.motion import MotionSettings
from vzgym.tasks.procedural.pixels import bright_labels, shows_bright_color
from vzgym.tasks.procedural.reader import NO_READING, PictureReader, Reading
from vzgym.tasks.procedural.render.actors import Passing
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.search import Search, find_burst
from vzgym.tasks.procedural.timeline import Timeline

__all__ = ["Speed", "SpeedReader", "SpeedSettings"]

# Distance of the fastest disc as a share of the free way, and the slowest's minimum as a share of that.
_FARTHEST, _SLOWEST = 0.75, 0.2
# Smallest share of the picture that counts as a disc.
_LEAST_AREA = 0.002
# Smallest displacement that counts as motion, as a share of the picture's width.
_LEAST_WAY = 0.06


@dataclass(frozen=True)
class SpeedSettings(MotionSettings):
    """Settings of the speed family; see `MotionSettings` for the others.

    Args:
        discs: Number of discs, and of options: 2 to 5.
        rivals: The greatest speed of the others, as a share of the fastest disc's, in [0.3, 0.8].
        disc_size: Diameter of a disc, as a share of its lane's height, in [0.3, 0.9].
    """

    discs: int = 4
    rivals: float = 0.6
    disc_size: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(2 <= self.discs <= 5, "discs", "2 to 5")
        self.need(0.3 <= self.rivals <= 0.8, "rivals", "in [0.3, 0.8]")
        self.need(0.3 <= self.disc_size <= 0.9, "disc_size", "in [0.3, 0.9]")


class SpeedReader(PictureReader):
    """Follows the disc of each color through the frames of the queried scenes."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`. The confidence grows with the distance of the fastest: 1 from 40 % of the picture on."""
        labels = bright_labels(shown)
        labels[~asked] = -1
        order = np.argsort(times, kind="stable")
        choices = {option.lower(): option for option in options} or {name: name for name in EVENT_COLORS}
        ways: dict[str, float] = {}
        for place, name in enumerate(EVENT_COLORS):
            here = labels[order] == place
            seen = here[here.mean(axis=(1, 2)) >= _LEAST_AREA]
            if name in choices and len(seen) >= 2:
                # Pixels of a disc's rim may match another color; the median is robust to them.
                first, last = (float(np.median(np.nonzero(one)[1])) for one in (seen[0], seen[-1]))
                ways[name] = abs(last - first) / labels.shape[2]
        best = max(ways, key=lambda name: ways[name], default=None)
        if best is None or ways[best] < _LEAST_WAY:
            return NO_READING
        return Reading(choices[best], min(1.0, ways[best] / 0.4))


class Speed(Family[SpeedSettings]):
    """Discs of several colors fly briefly, each in its own lane; which is fastest? Chance is 1 / discs.

    All are visible for the same time, start anywhere and fly either way: one frame shows the discs, two their speeds.
    """

    name: ClassVar[str] = "speed"
    Settings = SpeedSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "Which disc flies fastest in the {scene} scene?",
            "Several discs fly at once in the {scene} scene. Which colour is the fastest?",
            "What colour is the disc with the highest speed in the {scene} scene?",
        ),
        "none": (
            "Which disc flies fastest in this video?",
            "Once in this video several discs fly at once. Which colour is the fastest?",
            "What colour is the disc with the highest speed in this video?",
        ),
    }

    reader = SpeedReader()
    search = Search(find_burst, shows_bright_color)

    @property
    def num_options(self) -> int:
        """One option for each disc."""
        return self.settings.discs

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`. Options are the discs' colors, the same ones in every scene."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        names = tuple(EVENT_COLORS)
        options = tuple(names[i] for i in rng.permutation(len(names))[: s.discs])
        question = self.draw_question(rng, timeline)
        flights: list[Passing] = []
        for scene in range(s.scenes):
            start = timeline.draw_start(rng, scene, length)
            fastest = int(rng.integers(s.discs))
            if scene == timeline.target:
                fastest, event = position, (start, start + length)
            # Drawn in idle scenes too, so that later draws do not depend on which scenes are idle.
            made = self._flights(rng, start, options, fastest)
            if scene not in timeline.idle:
                flights += made
        return Draft(
            actors=flights,
            question=question,
            options=options,
            evidence=(s.interval(*event),),
            requirements=s.requirements(timeline),
        )

    def _flights(self, rng: np.random.Generator, start: int, colors: Sequence[str], fastest: int) -> list[Passing]:
        """The discs of one scene. Lanes, directions and starting points are independent of the speeds."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        radius = s.disc_size / 2 * min(1.0 / s.discs, 0.3 * s.aspect)
        free = s.aspect - 2.2 * radius
        lanes = rng.permutation(s.discs)
        speeds = _SLOWEST + (s.rivals - _SLOWEST) * rng.random(s.discs)
        behind, ways = rng.random(s.discs), rng.integers(2, size=s.discs)
        speeds[fastest] = 1.0
        made = []
        for disc, name in enumerate(colors):
            way = _FARTHEST * float(speeds[disc])
            y = (int(lanes[disc]) + 0.5) / s.discs
            places = [float(behind[disc]) * (1.0 - way) + done * way for done in (0.0, 1.0)]
            ends = [(1.1 * radius + place * free, y) for place in places]
            if ways[disc]:
                ends.reverse()
            made.append(Passing(start, start + length, EVENT_COLORS[name], ends[0], ends[1], radius))
        return made
