"""Decoy: a garland of lights marks the wrong moment; what is asked for flashes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family, region_of
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.actors import Bulbs, Ring
from vzgym.tasks.procedural.render.painter import Actor, Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["DISC_COLORS", "Decoy", "DecoySettings"]

DISC_COLORS = tuple(name for name in EVENT_COLORS if name != "white")
"""Colours of discs and rings: none that could be taken for the lights."""


@dataclass(frozen=True)
class DecoySettings(SceneSettings):
    """Settings of the decoy family; see `SceneSettings` for the others.

    Args:
        colors: Number of colours, and of options: 2 to 7.
        event_seconds: Length of the disc's flash.
        decoy_seconds: Length of the ring's flash, which misleads.
        flash_size: Diameter of disc and ring, as a share of the shorter side, in (0, 0.7].
    """

    colors: int = 4
    event_seconds: float = 1.0
    decoy_seconds: float = 1.6
    flash_size: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.colors <= len(DISC_COLORS):
            raise InvalidSetting(f"DecoySettings.colors must be 2 to {len(DISC_COLORS)}, got {self.colors}")
        if not 0 < self.flash_size <= 0.7:
            raise InvalidSetting(f"DecoySettings.flash_size must be in (0, 0.7], got {self.flash_size}")
        frames = self.event_frames(self.event_seconds)
        self.event_frames(self.decoy_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)
        self.needs_gaps(2, "a disc and a decoy")


class Decoy(Family):
    """A disc and a ring flash in each scene; the disc's colour is asked for. Chance is 1 / colours.

    The ring lasts longer, and a garland of lights hangs over its part of the scene, which the overview shows. Its
    colour says nothing about the disc's. Who looks where the lights are finds a ring, and must search on.
    """

    name: ClassVar[str] = "decoy"
    Settings = DecoySettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "What colour is the full disc, not the ring, in the {scene} scene?",
            "A ring and a full disc flash in the {scene} scene. Which colour is the disc?",
            "Which colour does the disc without a hole have in the {scene} scene?",
        ),
        "none": (
            "What colour is the full disc, not the ring, in this video?",
            "Rings and one full disc flash in this video. Which colour is the disc?",
            "Which colour does the disc without a hole have in this video?",
        ),
    }

    @property
    def num_options(self) -> int:
        """One option for each colour."""
        s = self.settings
        assert isinstance(s, DecoySettings)
        return s.colors

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`. There is a decoy in every scene, with a disc or without."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, DecoySettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length, longer = s.event_frames(s.event_seconds), s.event_frames(s.decoy_seconds)
        names = DISC_COLORS[: s.colors]
        options = tuple(names[i] for i in rng.permutation(s.colors))
        question = self._question(rng, stage)
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin, below = radius * 1.08, 0.2
        actors: list[Actor] = []
        free: dict[int, list[tuple[int, int]]] = {}
        for scene in range(s.scenes):
            gaps = list(stage.gaps[scene])
            lit = gaps.pop(int(rng.integers(len(gaps))))
            free[scene] = gaps
            start = stage.draw_start_in(rng, gaps, length)
            false = stage.draw_start_in(rng, [lit], longer)
            spots = [
                (margin + x * (s.aspect - 2 * margin), below + radius + y * max(0.0, 1.0 - below - radius - margin))
                for x, y in rng.random((2, 2)).tolist()
            ]
            color, ring = (names[int(i)] for i in rng.integers(s.colors, size=2))
            # The overview shows the lights on the first of these frames, and on the last one if the scene goes on.
            hung = min(lit[1] + 1, stage.frames_of(scene)[1])
            actors.append(Bulbs(lit[0], hung, max(5, round(6 * s.aspect)), 0.035 * min(1.0, s.aspect)))
            actors.append(Ring(false, false + longer, EVENT_COLORS[ring], *spots[0], radius))
            if scene == stage.target:
                color, event, lure = options[position], (start, start + length), (false, false + longer)
                region = region_of(*spots[1], 1.1 * radius, 1.1 * radius, s.aspect)
            elif scene in stage.idle:
                continue
            actors.append(Flash(start, start + length, "disc", EVENT_COLORS[color], *spots[1], radius))
        starts = [r for scene in stage.asked for r in stage.starts_in(free[scene], length)]
        placement = Placement(tuple(starts), ((0, length),), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(actors),
            question,
            options,
            position,
            (Interval(event[0] / s.fps, event[1] / s.fps),),
            {
                "needed_fps": s.fps / length,
                "difficulty": search_difficulty(placement, length / s.fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [region],
                "decoys": [[lure[0] / s.fps, lure[1] / s.fps]],
                "varies": [[event[0] / s.fps, event[1] / s.fps]],
            },
        )


FAMILIES.register(Decoy.name, Decoy)
