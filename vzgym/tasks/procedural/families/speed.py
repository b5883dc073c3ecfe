"""Speed: which of several discs flew fastest, while all of them were in sight for as long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.actors import Passing
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["Speed", "SpeedSettings"]

# Two frames at least this share of the flight apart tell which disc is fastest.
_APART = 0.4
# Of the way that is free: how far the fastest disc flies, and the slowest at least, as a share of that.
_FARTHEST, _SLOWEST = 0.75, 0.2


@dataclass(frozen=True)
class SpeedSettings(SceneSettings):
    """Settings of the speed family; see `SceneSettings` for the others.

    Args:
        discs: Number of discs, and of options: 2 to 5.
        event_seconds: How long the discs fly, all of them at once.
        rivals: The greatest speed of the others, as a share of the fastest disc's, in [0.3, 0.8].
        disc_size: Diameter of a disc, as a share of its lane's height, in [0.3, 0.9].
    """

    discs: int = 4
    event_seconds: float = 1.4
    rivals: float = 0.6
    disc_size: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.discs <= 5:
            raise InvalidSetting(f"SpeedSettings.discs must be 2 to 5, got {self.discs}")
        if not 0.3 <= self.rivals <= 0.8:
            raise InvalidSetting(f"SpeedSettings.rivals must be in [0.3, 0.8], got {self.rivals}")
        if not 0.3 <= self.disc_size <= 0.9:
            raise InvalidSetting(f"SpeedSettings.disc_size must be in [0.3, 0.9], got {self.disc_size}")
        frames = self.event_frames(self.event_seconds)
        if self.part < 1:
            raise InvalidSetting(
                f"a flight of {self.event_seconds} s at {self.fps} fps has {frames} frames, but needs 3 at least to "
                f"show who is fastest"
            )
        self.needs_rate(self.needed_fps, frames / self.fps)

    @property
    def part(self) -> int:
        """Frames of the first and of the last part of a flight, one of each of which must be seen."""
        return int(_APART * round(self.event_seconds * self.fps))

    @property
    def needed_fps(self) -> float:
        """One frame in each part."""
        return self.fps / self.part


class Speed(Family):
    """Discs of several colours fly for a moment, each in a lane of its own; which is fastest? Chance is 1 / discs.

    All are seen for equally long, start anywhere, and fly either way: one frame shows the discs, two show their speed.
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

    @property
    def num_options(self) -> int:
        """One option for each disc."""
        s = self.settings
        assert isinstance(s, SpeedSettings)
        return s.discs

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`. Options are the discs' colours, the same ones in every scene."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, SpeedSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        names = tuple(EVENT_COLORS)
        options = tuple(names[i] for i in rng.permutation(len(names))[: s.discs])
        question = self._question(rng, stage)
        flights: list[Passing] = []
        for scene in range(s.scenes):
            start = stage.draw_start(rng, scene, length)
            fastest = int(rng.integers(s.discs))
            if scene == stage.target:
                fastest, event = position, (start, start + length)
            # Drawn in idle scenes too, so that what follows does not depend on where they are.
            made = self._flights(rng, start, options, fastest)
            if scene not in stage.idle:
                flights += made
        placement = Placement(tuple(stage.starts(stage.asked, length)), ((0, s.part), (length - s.part, length)), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(flights),
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

    def _flights(self, rng: np.random.Generator, start: int, colors: Sequence[str], fastest: int) -> list[Passing]:
        """One scene's discs. Lane, way and the share of the free way behind each are drawn apart from the speeds."""
        s = self.settings
        assert isinstance(s, SpeedSettings)
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


FAMILIES.register(Speed.name, Speed)
