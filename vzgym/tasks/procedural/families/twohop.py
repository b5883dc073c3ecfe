"""Two hops: a card shows another scene's hue, and a color flashes in that scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import Draft, Family, region_around
from vzgym.tasks.procedural.pixels import (
    bright_colors,
    bright_labels,
    crop_bars,
    nearest_hue,
    scene_hues,
    shows_bright_color,
)
from vzgym.tasks.procedural.reader import NO_READING, PictureReader, Reading, vote
from vzgym.tasks.procedural.render.actors import Card
from vzgym.tasks.procedural.render.painter import Actor, Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS, SCENE_HUES
from vzgym.tasks.procedural.render.shapes import SHAPES
from vzgym.tasks.procedural.search import Search, SearchState, Step, next_window
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["FLASH_COLORS", "TwoHop", "TwoHopReader", "TwoHopSettings", "find_card"]

FLASH_COLORS = tuple(name for name in EVENT_COLORS if name != "white")
"""Colors of flashes: none that a reader could confuse with a card."""

# Smallest share of the picture that counts as a card.
_LEAST_CARD = 0.008
_WHITE = tuple(EVENT_COLORS).index("white")


@dataclass(frozen=True)
class TwoHopSettings(SceneSettings):
    """Settings of the two-hop family; see `SceneSettings` for the others.

    Args:
        colors: Number of colors, and of options: 2 to 7.
        event_seconds: Duration of the card, and of a flash.
        flash_size: Diameter of a flash, and width of a card, as a share of the shorter side, in (0, 0.9].
    """

    colors: int = 4
    event_seconds: float = 1.0
    flash_size: float = 0.55

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(2 <= self.colors <= len(FLASH_COLORS), "colors", f"2 to {len(FLASH_COLORS)}")
        self.need(0 < self.flash_size <= 0.9, "flash_size", "in (0, 0.9]")
        if self.scenes < self.fewest_scenes:
            raise InvalidSetting(
                f"two hops with cue {self.cue!r} need at least {self.fewest_scenes} scenes, got {self.scenes}"
            )
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)
        self.needs_zooms(2, "a card and a flash in another scene")

    @property
    def fewest_scenes(self) -> int:
        """One more than the question names: the flash is in another scene than the card."""
        return 3 if self.cue == "partial" else 2


def find_card(shown: NDArray[np.uint8]) -> list[str | None]:
    """The hue on the card in each frame; None if there is no card.

    Args:
        shown: uint8, shape `(n, height, width, 3)`, without bars.
    """
    found: list[str | None] = []
    for frame, labels in zip(shown, bright_labels(shown), strict=True):
        rows, columns = np.nonzero(labels == _WHITE)
        if len(rows) < _LEAST_CARD * labels.size:
            found.append(None)
            continue
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        down, across = max(1, round(0.15 * (bottom - top))), max(1, round(0.15 * (right - left)))
        y, x = (top + bottom) // 2, (left + right) // 2
        spot = frame[y - down : y + down, x - across : x + across]
        found.append(nearest_hue(spot) if spot.size else None)
    return found


def _shows_card(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.array([hue is not None for hue in find_card(frames)], dtype=np.bool_)


class TwoHopReader(PictureReader):
    """Reads the card, then the flash in that scene. Without the card it reads nothing: every scene has a flash."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`. The confidence is the winner's share of the colors seen in the second scene."""
        goals = [hue for hue, here in zip(find_card(shown), asked, strict=True) if here and hue is not None]
        if not goals:
            return NO_READING
        goal = max(sorted(set(goals)), key=goals.count)
        there = np.array([hue == goal for hue in scene_hues(shown)], dtype=np.bool_)
        area = bright_colors(shown)[there]
        area[:, _WHITE] = 0.0
        return vote(area, options)


def _find_card_then_flash(state: SearchState) -> Step | None:
    """Search for a card, then the scene of its hue for a flash. The facts of a step are those of the scene searched."""
    if len(state.event_times()) == 0:
        return next_window(state, state.spans, max(1, (state.zooms_left + 1) // 2))
    goal = next((hue for frames in state.event_clips() for hue in find_card(crop_bars(frames))), None)
    there = [where for hue, where in state.scenes if hue == goal]
    if not there or any(shows_bright_color(crop_bars(frames)).any() for frames in state.scene_clips(goal)):
        return None
    step = next_window(state, there[:1], state.zooms_left)
    if step is None:
        return None
    where = there[0]
    begun = any(window.start < where.end and window.end > where.start for window in state.windows[-1:])
    facts = {**step.facts, "scene": goal, "start": where.start, "end": where.end}
    return Step(step.action, "look_on" if begun else "follow", facts)


class TwoHop(Family[TwoHopSettings]):
    """A card in one scene shows another's hue; the question is the color that flashes there. Chance is 1 / colors.

    Every scene except the card's own has a flash, so the second hop is useless without the first.
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

    reader = TwoHopReader()
    search = Search(_find_card_then_flash, _shows_card, in_other_scenes=True)

    @property
    def num_options(self) -> int:
        """One option for each color."""
        return self.settings.colors

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`. The evidence is the card, then the flash; only the flash depends on the answer."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        names = FLASH_COLORS[: s.colors]
        options = tuple(names[i] for i in rng.permutation(s.colors))
        question = self.draw_question(rng, timeline)
        unnamed = () if s.cue == "none" else timeline.asked
        elsewhere = [scene for scene in range(s.scenes) if scene != timeline.target and scene not in unnamed]
        goal = elsewhere[int(rng.integers(len(elsewhere)))]
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin = radius * 1.08
        actors: list[Actor] = []
        places: dict[int, tuple[int, float, float]] = {}
        for scene in range(s.scenes):
            start = timeline.draw_start(rng, scene, length)
            shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
            x, y = rng.random(2).tolist()
            x, y = margin + x * (s.aspect - 2 * margin), margin + y * (1.0 - 2 * margin)
            color = names[int(rng.integers(s.colors))]
            places[scene] = (start, x, y)
            if scene == timeline.target:
                hue = SCENE_HUES[timeline.scenes[goal].hue]
                actors.append(Card(start, start + length, hue, x, y, radius))
                continue
            if scene == goal:
                color = options[position]
            actors.append(Flash(start, start + length, shape, EVENT_COLORS[color], x, y, radius))
        card, flash = (
            Interval(places[scene][0] / s.fps, places[scene][0] / s.fps + length / s.fps)
            for scene in (timeline.target, goal)
        )
        second = Placement(timeline.starts((goal,), length), ((0, length),), s.fps)
        return Draft(
            actors=actors,
            question=question,
            options=options,
            evidence=(card, flash),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                regions=tuple(
                    region_around(*places[scene][1:], 1.1 * radius, 1.1 * radius, s.aspect)
                    for scene in (timeline.target, goal)
                ),
                placement=Placement(timeline.starts(timeline.asked, length), ((0, length),), s.fps, (second,)),
                varies=(flash,),
            ),
        )
