"""Direction: which way something flew past, too fast for one frame to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.actors import Passing
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["WAYS", "Direction", "DirectionSettings"]

WAYS: dict[str, tuple[int, int]] = {
    "left to right": (1, 0),
    "right to left": (-1, 0),
    "top to bottom": (0, 1),
    "bottom to top": (0, -1),
}
"""The options, and each one's step in x and y."""

# Two frames at least this share of a pass apart tell its direction.
_APART = 0.4


@dataclass(frozen=True)
class DirectionSettings(SceneSettings):
    """Settings of the direction family; see `SceneSettings` for the others.

    Args:
        ways: Number of directions, and of options: 2 (left and right) or 4.
        event_seconds: Length of a pass, from one edge of the picture to the other.
        ball_size: Diameter of what flies past, as a share of the shorter side, in (0, 0.5].
    """

    ways: int = 4
    event_seconds: float = 1.4
    ball_size: float = 0.28

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ways not in (2, 4):
            raise InvalidSetting(f"DirectionSettings.ways must be 2 or 4, got {self.ways}")
        if not 0 < self.ball_size <= 0.5:
            raise InvalidSetting(f"DirectionSettings.ball_size must be in (0, 0.5], got {self.ball_size}")
        frames = self.event_frames(self.event_seconds)
        if self.part < 1:
            raise InvalidSetting(
                f"a pass of {self.event_seconds} s at {self.fps} fps has {frames} frames, but needs 3 at least to show "
                f"its direction"
            )
        self.needs_rate(self.needed_fps, frames / self.fps)

    @property
    def part(self) -> int:
        """Frames of the first and of the last part of a pass, one of each of which must be seen."""
        return int(_APART * round(self.event_seconds * self.fps))

    @property
    def needed_fps(self) -> float:
        """One frame in each part."""
        return self.fps / self.part


class Direction(Family):
    """A disc without a trail crosses the picture once in each scene. Chance is 1 / ways.

    One frame shows that it passes, two show which way: a matter of the frame rate.
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

    @property
    def num_options(self) -> int:
        """One option for each direction."""
        s = self.settings
        assert isinstance(s, DirectionSettings)
        return s.ways

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, DirectionSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        names = tuple(WAYS)[: s.ways]
        options = tuple(names[i] for i in rng.permutation(s.ways))
        question = self._question(rng, stage)
        radius = s.ball_size / 2 * min(1.0, s.aspect)
        passes = []
        for scene in range(s.scenes):
            start = stage.draw_start(rng, scene, length)
            x, y = (0.25 + 0.5 * rng.random(2)).tolist()
            color = tuple(EVENT_COLORS.values())[int(rng.integers(len(EVENT_COLORS)))]
            way = names[int(rng.integers(s.ways))]
            if scene == stage.target:
                way, event = options[position], (start, start + length)
            elif scene in stage.idle:
                continue
            across, down = WAYS[way]
            near, far = 1.1 * radius, (s.aspect if across else 1.0) - 1.1 * radius
            ends = [(v, y) if across else (x * s.aspect, v) for v in (near, far)]
            if across + down < 0:
                ends.reverse()
            passes.append(Passing(start, start + length, color, ends[0], ends[1], radius))
        placement = Placement(tuple(stage.starts(stage.asked, length)), ((0, s.part), (length - s.part, length)), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(passes),
            question,
            options,
            position,
            (Interval(event[0] / s.fps, event[1] / s.fps),),
            {
                "needed_fps": s.needed_fps,
                "difficulty": search_difficulty(placement, 1.0 / s.needed_fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [[0.0, 0.0, 1.0, 1.0]],
                "varies": [[event[0] / s.fps, event[1] / s.fps]],
            },
        )


FAMILIES.register(Direction.name, Direction)
