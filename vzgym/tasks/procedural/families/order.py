"""Order: which of several flashes came first, and which next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import ClassVar

import numpy as np

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

__all__ = ["Order", "OrderSettings", "in_words"]


def in_words(colors: Sequence[str]) -> str:
    """Colours in their order, as an option says it: "red, then blue, then green"."""
    return ", then ".join(colors)


@dataclass(frozen=True)
class OrderSettings(SceneSettings):
    """Settings of the order family; see `SceneSettings` for the others.

    Args:
        events: Flashes of a scene, each of another colour: 2 to 4.
        orders: Number of options: 2 to 6, and at most the orders that there are.
        colors: The first so many colours are used: `events` (for 2 events: 4) to 8.
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
        if not 2 <= self.events <= 4:
            raise InvalidSetting(f"OrderSettings.events must be 2 to 4, got {self.events}")
        fewest = max(self.events, 4 if self.events == 2 else 0)
        if not fewest <= self.colors <= len(EVENT_COLORS):
            raise InvalidSetting(
                f"OrderSettings.colors must be {fewest} to {len(EVENT_COLORS)} for {self.events} events, "
                f"got {self.colors}"
            )
        most = 4 if self.events == 2 else 6
        if not 2 <= self.orders <= most:
            raise InvalidSetting(
                f"OrderSettings.orders must be 2 to {most} for {self.events} events, got {self.orders}"
            )
        if not 0 < self.flash_size <= 0.9:
            raise InvalidSetting(f"OrderSettings.flash_size must be in (0, 0.9], got {self.flash_size}")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)
        self.needs_gaps(self.events, f"{self.events} flashes")
        self.needs_zooms(self.events, f"{self.events} flashes, far apart,")


class Order(Family):
    """Several flashes of a scene, each in another part of it; their order is asked for. Chance is 1 / orders.

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

    @property
    def num_options(self) -> int:
        """One option for each order offered."""
        s = self.settings
        assert isinstance(s, OrderSettings)
        return s.orders

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`. The evidence is every flash of the scene asked about."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, OrderSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        orders = self._orders(rng)
        question = self._question(rng, stage)
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin = radius * 1.08
        flashes: list[Flash] = []
        for scene in range(s.scenes):
            shown = orders[position] if scene == stage.target else orders[int(rng.integers(len(orders)))]
            groups = self._parts(stage.gaps[scene])
            for color, gaps in zip(shown, groups, strict=True):
                start = stage.draw_start_in(rng, gaps, length)
                shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
                x, y = rng.random(2).tolist()
                if scene in stage.idle:
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
        first, last = stage.frames_of(stage.target)
        events = [flash for flash in flashes if first <= flash.first < last]
        spans = [(event.first / s.fps, event.last / s.fps) for event in events]
        # Each flash lies in its own part of whichever of the scenes asked about it is.
        by_scene = [self._parts(stage.gaps[scene]) for scene in stage.asked]
        one, *others = (
            Placement(
                tuple(r for groups in by_scene for r in stage.starts_in(groups[place], length)),
                ((0, length),),
                s.fps,
            )
            for place in range(s.events)
        )
        placement = Placement(one.starts, one.needs, s.fps, tuple(others))
        return self._task(
            id,
            seed,
            stage,
            tuple(flashes),
            question,
            tuple(in_words(order) for order in orders),
            position,
            tuple(Interval(*span) for span in spans),
            {
                "needed_fps": s.fps / length,
                "difficulty": search_difficulty(placement, length / s.fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [region_of(e.x, e.y, 1.1 * radius, 1.1 * radius, s.aspect) for e in events],
                "varies": [list(span) for span in spans],
            },
        )

    def _orders(self, rng: np.random.Generator) -> list[tuple[str, ...]]:
        s = self.settings
        assert isinstance(s, OrderSettings)
        names = [tuple(EVENT_COLORS)[i] for i in rng.permutation(s.colors)]
        if s.events == 2:
            a, b, c, d = names[:4]
            every = [(a, b), (b, a), (c, d), (d, c)][: s.orders]
        else:
            every = list(permutations(names[: s.events]))
        return [every[i] for i in rng.permutation(len(every))[: s.orders]]

    def _parts(self, gaps: Sequence[tuple[int, int]]) -> list[Sequence[tuple[int, int]]]:
        s = self.settings
        assert isinstance(s, OrderSettings)
        bounds = np.rint(np.linspace(0, len(gaps), s.events + 1)).astype(int).tolist()
        return [gaps[low:high] for low, high in pairwise(bounds)]


FAMILIES.register(Order.name, Order)
