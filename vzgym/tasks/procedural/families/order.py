"""Order: the order of several flashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import Draft, Family, region_around
from vzgym.tasks.procedural.pixels import bright_colors, shows_bright_color
from vzgym.tasks.procedural.reader import NO_READING, PictureReader, Reading
from vzgym.tasks.procedural.render.painter import Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.render.shapes import SHAPES
from vzgym.tasks.procedural.search import Search, search_everywhere
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["Order", "OrderReader", "OrderSettings", "in_words"]

# Smallest share of the picture that counts as a flash.
_LEAST_AREA = 0.004


def in_words(colors: Sequence[str]) -> str:
    """Format colors in order as an option: "red, then blue, then green"."""
    return ", then ".join(colors)


@dataclass(frozen=True)
class OrderSettings(SceneSettings):
    """Settings of the order family; see `SceneSettings` for the others.

    Args:
        events: Flashes per scene, each of a different color: 2 to 4.
        orders: Number of options: 2 to 6, and at most the number of possible orders.
        colors: Number of colors: `events` (for 2 events: 4) to 8.
        event_seconds: Length of each flash.
        flash_size: Diameter of a flash, as a share of the shorter side, in (0, 0.9].
    """

    events: int = 3
    orders: int = 4
    colors: int = 4
    event_seconds: float = 1.0
    flash_size: float = 0.45

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(2 <= self.events <= 4, "events", "2 to 4")
        fewest = max(self.events, 4 if self.events == 2 else 0)
        rule = f"{fewest} to {len(EVENT_COLORS)} for {self.events} events"
        self.need(fewest <= self.colors <= len(EVENT_COLORS), "colors", rule)
        most = 4 if self.events == 2 else 6
        self.need(2 <= self.orders <= most, "orders", f"2 to {most} for {self.events} events")
        self.need(0 < self.flash_size <= 0.9, "flash_size", "in (0, 0.9]")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)
        self.needs_gaps(self.events, f"{self.events} flashes")
        self.needs_zooms(self.events, f"{self.events} flashes, far apart,")


class OrderReader(PictureReader):
    """Lists the colors that light up in the queried scenes, and chooses a consistent option."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`. The first of n consistent options, with confidence 1 / n."""
        area = bright_colors(shown)
        area[~asked] = 0.0
        seen: list[str] = []
        for index in np.argsort(times, kind="stable"):
            color = tuple(EVENT_COLORS)[int(area[index].argmax())]
            if area[index].max() >= _LEAST_AREA and color not in seen:
                seen.append(color)
        if not seen:
            return NO_READING
        if not options:
            return Reading(in_words(seen), 0.5)
        agreeing = [option for option in options if _agrees(seen, option.lower().split(", then "))]
        return Reading(agreeing[0], 1.0 / len(agreeing)) if agreeing else NO_READING


def _agrees(seen: Sequence[str], order: Sequence[str]) -> bool:
    """Whether the seen colors are a subsequence of the order."""
    return [color for color in order if color in seen] == list(seen)


class Order(Family[OrderSettings]):
    """Several flashes in different parts of a scene; the question is their order. Chance is 1 / orders.

    For two flashes each option has its reverse among the others, so that one flash alone decides nothing.
    """

    name: ClassVar[str] = "order"
    Settings = OrderSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "In which order do the colours light up in the {scene} scene?",
            "Several shapes flash in the {scene} scene, one after the other. In which order?",
            "Which colour comes first in the {scene} scene, and which come after it?",
        ),
        "none": (
            "In which order do the colours light up in this video?",
            "Several shapes flash in this video, one after the other. In which order?",
            "Which colour comes first in this video, and which come after it?",
        ),
    }

    reader = OrderReader()
    search = Search(search_everywhere, shows_bright_color)

    @property
    def num_options(self) -> int:
        """One option for each order offered."""
        return self.settings.orders

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`. The evidence is every flash of the queried scene."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        orders = self._orders(rng)
        question = self.draw_question(rng, timeline)
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin = radius * 1.08
        flashes: list[Flash] = []
        for scene in range(s.scenes):
            shown = orders[position] if scene == timeline.target else orders[int(rng.integers(len(orders)))]
            groups = self._parts(timeline.gaps[scene])
            for color, gaps in zip(shown, groups, strict=True):
                start = timeline.draw_start_in(rng, gaps, length)
                shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
                x, y = rng.random(2).tolist()
                if scene in timeline.idle:
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
        first, last = timeline.frames_of(timeline.target)
        events = [flash for flash in flashes if first <= flash.first < last]
        # Each flash lies in its own part of the scene.
        by_scene = [self._parts(timeline.gaps[scene]) for scene in timeline.asked]
        one, *others = (
            Placement(
                tuple(r for groups in by_scene for r in timeline.starts_in(groups[place], length)),
                ((0, length),),
                s.fps,
            )
            for place in range(s.events)
        )
        return Draft(
            actors=flashes,
            question=question,
            options=tuple(in_words(order) for order in orders),
            evidence=tuple(s.interval(event.first, event.last) for event in events),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                regions=tuple(region_around(e.x, e.y, 1.1 * radius, 1.1 * radius, s.aspect) for e in events),
                placement=replace(one, also=tuple(others)),
            ),
        )

    def _orders(self, rng: np.random.Generator) -> list[tuple[str, ...]]:
        s = self.settings
        names = [tuple(EVENT_COLORS)[i] for i in rng.permutation(s.colors)]
        if s.events == 2:
            a, b, c, d = names[:4]
            every = [(a, b), (b, a), (c, d), (d, c)][: s.orders]
        else:
            every = list(permutations(names[: s.events]))
        return [every[i] for i in rng.permutation(len(every))[: s.orders]]

    def _parts(self, gaps: Sequence[tuple[int, int]]) -> list[Sequence[tuple[int, int]]]:
        bounds = np.rint(np.linspace(0, len(gaps), self.settings.events + 1)).astype(int).tolist()
        return [gaps[low:high] for low, high in pairwise(bounds)]
