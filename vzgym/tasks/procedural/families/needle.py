"""Needle: the colour of one flash, too short for the overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family, region_of
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.painter import Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.render.shapes import SHAPES
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["Needle", "NeedleSettings"]


@dataclass(frozen=True)
class NeedleSettings(SceneSettings):
    """Settings of the needle family; see `SceneSettings` for the others.

    Args:
        colors: Number of colours, and of options: 2 to 8.
        event_seconds: Length of the flash.
        flash_size: Diameter of the flash, as a share of the shorter side, in (0, 0.9].
    """

    colors: int = 4
    event_seconds: float = 1.0
    flash_size: float = 0.55

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.colors <= len(EVENT_COLORS):
            raise InvalidSetting(f"NeedleSettings.colors must be 2 to {len(EVENT_COLORS)}, got {self.colors}")
        if not 0 < self.flash_size <= 0.9:
            raise InvalidSetting(f"NeedleSettings.flash_size must be in (0, 0.9], got {self.flash_size}")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)


class Needle(Family):
    """One flash of a coloured shape in each scene; the colour of one of them is asked for. Chance is 1 / colours."""

    name: ClassVar[str] = "needle"
    Settings = NeedleSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "What colour lights up in the {scene} scene?",
            "Which colour is the shape that flashes during the {scene} scene?",
            "In the {scene} scene a shape appears for a moment. What is its colour?",
        ),
        "none": (
            "What colour lights up in this video?",
            "Which colour is the shape that flashes somewhere in the video?",
            "At some moment a shape appears. What is its colour?",
        ),
    }

    @property
    def num_options(self) -> int:
        """One option for each colour."""
        s = self.settings
        assert isinstance(s, NeedleSettings)
        return s.colors

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, NeedleSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        names = tuple(EVENT_COLORS)[: s.colors]
        options = tuple(names[i] for i in rng.permutation(s.colors))
        question = self._question(rng, stage)
        flashes = []
        for scene in range(s.scenes):
            start = stage.draw_start(rng, scene, length)
            radius = s.flash_size / 2 * min(1.0, s.aspect)
            shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
            margin = radius * 1.08
            x, y = rng.random(2)
            color = names[int(rng.integers(s.colors))]
            if scene == stage.target:
                color = options[position]
            elif scene in stage.idle:
                continue
            flashes.append(
                Flash(
                    start,
                    start + length,
                    shape,
                    EVENT_COLORS[color],
                    margin + x * (s.aspect - 2 * margin),
                    margin + y * (1.0 - 2 * margin),
                    radius,
                )
            )
            if scene == stage.target:
                event = (start, start + length)
                region = region_of(flashes[-1].x, flashes[-1].y, 1.1 * radius, 1.1 * radius, s.aspect)
        placement = Placement(tuple(stage.starts(stage.asked, length)), ((0, length),), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(flashes),
            question,
            options,
            position,
            (Interval(event[0] / s.fps, event[1] / s.fps),),
            {
                "needed_fps": s.fps / length,
                "difficulty": search_difficulty(placement, length / s.fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [region],
                "varies": [[event[0] / s.fps, event[1] / s.fps]],
            },
        )


FAMILIES.register(Needle.name, Needle)
