"""Control: the color of a balloon that stays for a whole scene, so that the overview shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import Draft, Family
from vzgym.tasks.procedural.pixels import shows_bright_color
from vzgym.tasks.procedural.reader import ColorReader
from vzgym.tasks.procedural.render.painter import Balloon
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.search import Search, find_event
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["Control", "ControlSettings"]


@dataclass(frozen=True)
class ControlSettings(SceneSettings):
    """Settings of the control family; see `SceneSettings` for the others.

    Args:
        colors: Number of colors, and of options: 2 to 8.
        balloon_size: Diameter of the balloon, as a share of the shorter side, in (0, 0.6].
    """

    colors: int = 4
    balloon_size: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(2 <= self.colors <= len(EVENT_COLORS), "colors", f"2 to {len(EVENT_COLORS)}")
        self.need(0 < self.balloon_size <= 0.6, "balloon_size", "in (0, 0.6]")


class Control(Family[ControlSettings]):
    """A balloon floats through each scene for as long as it lasts, so the overview shows it. Chance is 1 / colors.

    Zooming is never needed: the family rewards a policy that answers at once.
    """

    name: ClassVar[str] = "control"
    Settings = ControlSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "What colour is the balloon in the {scene} scene?",
            "A balloon floats through the {scene} scene. Which colour is it?",
            "Which colour does the balloon of the {scene} scene have?",
        ),
        "none": (
            "What colour is the balloon in this video?",
            "A balloon floats through this video. Which colour is it?",
            "Which colour does the only balloon have?",
        ),
        "shape": ("What colour is the shape in the {scene} scene?",),
    }

    reader = ColorReader()
    # The overview shows the balloon, so the search is over before it begins.
    search = Search(find_event, shows_bright_color)

    @property
    def num_options(self) -> int:
        """One option for each color."""
        return self.settings.colors

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`. The evidence is `()`: there is nothing to find."""
        s = self.settings
        names = tuple(EVENT_COLORS)[: s.colors]
        options = tuple(names[i] for i in rng.permutation(s.colors))
        question = self.draw_question(rng, timeline)
        radius = s.balloon_size / 2 * min(1.0, s.aspect)
        sway = 0.3 * radius
        side, top, bottom = radius * 1.1 + sway, radius * 1.1 + sway / 2, radius * 1.9
        balloons = []
        for scene in range(s.scenes):
            first, last = timeline.frames_of(scene)
            x, y, phase = rng.random(3).tolist()
            color = names[int(rng.integers(s.colors))]
            if scene == timeline.target:
                color = options[position]
            elif scene in timeline.idle:
                continue
            balloons.append(
                Balloon(
                    first,
                    last,
                    EVENT_COLORS[color],
                    side + x * (s.aspect - 2 * side),
                    top + y * max(0.0, 1.0 - top - bottom),
                    radius,
                    sway,
                    phase,
                    s.fps,
                )
            )
        first, last = timeline.frames_of(timeline.target)
        return Draft(
            actors=balloons,
            question=question,
            options=options,
            evidence=(),
            requirements=EvidenceRequirements(
                min_fps=s.fps / (last - first),
                placement=Placement(((first, first + 1),), ((0, last - first),), s.fps),
                varies=(s.interval(first, last),),
            ),
        )
