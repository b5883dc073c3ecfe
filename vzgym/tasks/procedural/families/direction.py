"""Direction: which way a disc crosses the picture, for which two frames are needed."""

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

__all__ = ["WAYS", "Direction", "DirectionReader", "DirectionSettings"]

WAYS: dict[str, tuple[int, int]] = {
    "left to right": (1, 0),
    "right to left": (-1, 0),
    "top to bottom": (0, 1),
    "bottom to top": (0, -1),
}
"""The options, and each one's step in x and y."""

# Smallest share of the picture that counts as a disc.
_LEAST_AREA = 0.004
# Smallest displacement that counts as motion, as a share of the picture's width or height.
_LEAST_WAY = 0.12


@dataclass(frozen=True)
class DirectionSettings(MotionSettings):
    """Settings of the direction family; see `MotionSettings` for the others.

    Args:
        ways: Number of directions, and of options: 2 (left and right) or 4.
        ball_size: Diameter of the disc, as a share of the shorter side, in (0, 0.5].
    """

    ways: int = 4
    ball_size: float = 0.28

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(self.ways in (2, 4), "ways", "2 or 4")
        self.need(0 < self.ball_size <= 0.5, "ball_size", "in (0, 0.5]")


class DirectionReader(PictureReader):
    """Follows a bright disc through the frames of the queried scenes, in order of time."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`. The confidence grows with the distance seen: 1 from 40 % of the picture on."""
        lit = bright_labels(shown) >= 0
        seen = np.flatnonzero((lit.mean(axis=(1, 2)) >= _LEAST_AREA) & asked)
        if len(seen) < 2:
            return NO_READING
        ordered = seen[np.argsort(times[seen], kind="stable")]
        (x0, y0), (x1, y1) = (_center(lit[index]) for index in (ordered[0], ordered[-1]))
        across, down = x1 - x0, y1 - y0
        way = max(abs(across), abs(down))
        if way < _LEAST_WAY:
            return NO_READING
        step = (int(np.sign(across)), 0) if abs(across) > abs(down) else (0, int(np.sign(down)))
        name = next(name for name, value in WAYS.items() if value == step)
        choice = next((option for option in options or WAYS if option.lower() == name), None)
        return Reading(choice, min(1.0, way / 0.4)) if choice is not None else NO_READING


def _center(lit: NDArray[np.bool_]) -> tuple[float, float]:
    """The center of the bright pixels, in shares of width and height."""
    y, x = np.nonzero(lit)
    return float(x.mean()) / lit.shape[1], float(y.mean()) / lit.shape[0]


class Direction(Family[DirectionSettings]):
    """A disc without a trail crosses the picture once in each scene. Chance is 1 / ways.

    One frame shows the disc, two show its direction, so the frame rate matters.
    """

    name: ClassVar[str] = "direction"
    Settings = DirectionSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "Which way does the disc fly in the {scene} scene?",
            "A disc crosses the {scene} scene. From where to where?",
            "In which direction does something fly past in the {scene} scene?",
        ),
        "none": (
            "Which way does the disc fly in this video?",
            "A disc crosses the picture once in this video. From where to where?",
            "In which direction does something fly past in this video?",
        ),
    }

    reader = DirectionReader()
    search = Search(find_burst, shows_bright_color)

    @property
    def num_options(self) -> int:
        """One option for each direction."""
        return self.settings.ways

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        names = tuple(WAYS)[: s.ways]
        options = tuple(names[i] for i in rng.permutation(s.ways))
        question = self.draw_question(rng, timeline)
        radius = s.ball_size / 2 * min(1.0, s.aspect)
        passes = []
        for scene in range(s.scenes):
            start = timeline.draw_start(rng, scene, length)
            x, y = (0.25 + 0.5 * rng.random(2)).tolist()
            color = tuple(EVENT_COLORS.values())[int(rng.integers(len(EVENT_COLORS)))]
            way = names[int(rng.integers(s.ways))]
            if scene == timeline.target:
                way, event = options[position], (start, start + length)
            elif scene in timeline.idle:
                continue
            across, down = WAYS[way]
            near, far = 1.1 * radius, (s.aspect if across else 1.0) - 1.1 * radius
            ends = [(v, y) if across else (x * s.aspect, v) for v in (near, far)]
            if across + down < 0:
                ends.reverse()
            passes.append(Passing(start, start + length, color, ends[0], ends[1], radius))
        return Draft(
            actors=passes,
            question=question,
            options=options,
            evidence=(s.interval(*event),),
            requirements=s.requirements(timeline),
        )
