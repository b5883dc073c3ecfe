"""Needle: the color of one flash, too short for the overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import Draft, Family, region_around
from vzgym.tasks.procedural.pixels import shows_bright_color
from vzgym.tasks.procedural.reader import ColorReader
from vzgym.tasks.procedural.render.painter import Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.render.shapes import SHAPES
from vzgym.tasks.procedural.search import Search, find_event
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["Needle", "NeedleSettings"]


@dataclass(frozen=True)
class NeedleSettings(SceneSettings):
    """Settings of the needle family; see `SceneSettings` for the others.

    Args:
        colors: Number of colors, and of options: 2 to 8.
        event_seconds: Length of the flash.
        flash_size: Diameter of the flash, as a share of the shorter side, in (0, 0.9].
    """

    colors: int = 4
    event_seconds: float = 1.0
    flash_size: float = 0.55

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(2 <= self.colors <= len(EVENT_COLORS), "colors", f"2 to {len(EVENT_COLORS)}")
        self.need(0 < self.flash_size <= 0.9, "flash_size", "in (0, 0.9]")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)


class Needle(Family[NeedleSettings]):
    """One flash of a colored shape in each scene; the question is the color of one flash. Chance is 1 / colors."""

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
        # As of the control family: the question does not say whether the overview shows the shape.
        "shape": ("What colour is the shape in the {scene} scene?",),
    }

    reader = ColorReader()
    search = Search(find_event, shows_bright_color)

    @property
    def num_options(self) -> int:
        """One option for each color."""
        return self.settings.colors

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        names = tuple(EVENT_COLORS)[: s.colors]
        options = tuple(names[i] for i in rng.permutation(s.colors))
        question = self.draw_question(rng, timeline)
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin = radius * 1.08
        flashes = []
        for scene in range(s.scenes):
            start = timeline.draw_start(rng, scene, length)
            shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
            x, y = rng.random(2)
            color = names[int(rng.integers(s.colors))]
            if scene == timeline.target:
                color = options[position]
            elif scene in timeline.idle:
                continue
            flash = Flash(
                start,
                start + length,
                shape,
                EVENT_COLORS[color],
                margin + x * (s.aspect - 2 * margin),
                margin + y * (1.0 - 2 * margin),
                radius,
            )
            flashes.append(flash)
            if scene == timeline.target:
                event = flash
        return Draft(
            actors=flashes,
            question=question,
            options=options,
            evidence=(s.interval(event.first, event.last),),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                regions=(region_around(event.x, event.y, 1.1 * radius, 1.1 * radius, s.aspect),),
                placement=Placement(timeline.starts(timeline.asked, length), ((0, length),), s.fps),
            ),
        )
