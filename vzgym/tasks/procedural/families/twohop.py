"""Two hops: a card says in which scene to look, and there a colour lights up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family, region_of
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.actors import Card
from vzgym.tasks.procedural.render.painter import Actor, Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS, SCENE_HUES
from vzgym.tasks.procedural.render.shapes import SHAPES
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["FLASH_COLORS", "TwoHop", "TwoHopSettings"]

FLASH_COLORS = tuple(name for name in EVENT_COLORS if name != "white")
"""Colours of flashes: none that could be taken for a card."""


@dataclass(frozen=True)
class TwoHopSettings(SceneSettings):
    """Settings of the two-hop family; see `SceneSettings` for the others.

    Args:
        colors: Number of colours, and of options: 2 to 7.
        event_seconds: Length of the card's show, and of a flash.
        flash_size: Diameter of a flash, and width of a card, as a share of the shorter side, in (0, 0.9].
    """

    colors: int = 4
    event_seconds: float = 1.0
    flash_size: float = 0.55

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.colors <= len(FLASH_COLORS):
            raise InvalidSetting(f"TwoHopSettings.colors must be 2 to {len(FLASH_COLORS)}, got {self.colors}")
        if not 0 < self.flash_size <= 0.9:
            raise InvalidSetting(f"TwoHopSettings.flash_size must be in (0, 0.9], got {self.flash_size}")
        fewest = 3 if self.cue == "partial" else 2
        if self.scenes < fewest:
            raise InvalidSetting(f"two hops with cue {self.cue!r} need {fewest} scenes at least, got {self.scenes}")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)
        self.needs_zooms(2, "a card and a flash in another scene")


class TwoHop(Family):
    """A card in one scene shows another scene's hue; the colour that flashes there is asked for. Chance is 1 / colours.

    There is a flash in every scene but the card's own, so that the second hop is of no use before the first.
    """

    name: ClassVar[str] = "twohop"
    Settings = TwoHopSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "A card in the {scene} scene shows the colour of another scene. Which colour flashes in that one?",
            "In the {scene} scene a card points to another scene by its colour. What flashes there?",
            "Follow the card of the {scene} scene to the scene of its colour: which colour flashes there?",
        ),
        "none": (
            "A card in this video shows the colour of another scene. Which colour flashes in that one?",
            "Once in this video a card points to another scene by its colour. What flashes there?",
            "Follow the card of this video to the scene of its colour: which colour flashes there?",
        ),
    }

    @property
    def num_options(self) -> int:
        """One option for each colour."""
        s = self.settings
        assert isinstance(s, TwoHopSettings)
        return s.colors

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`. The evidence is the card, then the flash; only the flash depends on the answer."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, TwoHopSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        names = FLASH_COLORS[: s.colors]
        options = tuple(names[i] for i in rng.permutation(s.colors))
        question = self._question(rng, stage)
        unnamed = () if s.cue == "none" else stage.asked
        elsewhere = [scene for scene in range(s.scenes) if scene != stage.target and scene not in unnamed]
        goal = elsewhere[int(rng.integers(len(elsewhere)))]
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin = radius * 1.08
        actors: list[Actor] = []
        places: dict[int, tuple[int, float, float]] = {}
        for scene in range(s.scenes):
            start = stage.draw_start(rng, scene, length)
            shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
            x, y = rng.random(2).tolist()
            x, y = margin + x * (s.aspect - 2 * margin), margin + y * (1.0 - 2 * margin)
            color = names[int(rng.integers(s.colors))]
            places[scene] = (start, x, y)
            if scene == stage.target:
                hue = SCENE_HUES[stage.scenes[goal].hue]
                actors.append(Card(start, start + length, hue, x, y, radius))
                continue
            if scene == goal:
                color = options[position]
            actors.append(Flash(start, start + length, shape, EVENT_COLORS[color], x, y, radius))
        spans = [
            (places[scene][0] / s.fps, places[scene][0] / s.fps + length / s.fps) for scene in (stage.target, goal)
        ]
        second = Placement(tuple(stage.starts((goal,), length)), ((0, length),), s.fps)
        placement = Placement(tuple(stage.starts(stage.asked, length)), ((0, length),), s.fps, (second,))
        return self._task(
            id,
            seed,
            stage,
            tuple(actors),
            question,
            options,
            position,
            tuple(Interval(*span) for span in spans),
            {
                "needed_fps": s.fps / length,
                "difficulty": search_difficulty(placement, length / s.fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [
                    region_of(*places[scene][1:], 1.1 * radius, 1.1 * radius, s.aspect)
                    for scene in (stage.target, goal)
                ],
                "varies": [list(spans[1])],
            },
        )


FAMILIES.register(TwoHop.name, TwoHop)
