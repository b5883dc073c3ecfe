"""Text: a number on a sign, too small for a frame of the whole picture: a crop of the sign shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from vzgym.core.actions import Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family, region_of, zooms_over
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.actors import Sign, sign_size
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["LEAST_LEGIBLE", "MOST_ILLEGIBLE", "Text", "TextSettings"]

LEAST_LEGIBLE = 7.0
"""Pixels that a digit must be high in the full-resolution picture: one for each of its dots."""

MOST_ILLEGIBLE = 3.0
"""Pixels that a digit may be high in a frame of the whole picture: one for more than two of its dots."""

_DOTS_HIGH = 7
_MARGIN = 1.25


@dataclass(frozen=True)
class TextSettings(SceneSettings):
    """Settings of the text family; see `SceneSettings` for the others.

    Args:
        numbers: Number of options: 2 to 6.
        digits: Digits of each number: 2 to 4.
        event_seconds: How long the number shows.
        glyph_pixels: How high a digit is, in pixels of the full-resolution picture.

    Raises:
        InvalidSetting: Also if the budget has no spatial zoom, if whole frames show a digit larger than
            `MOST_ILLEGIBLE`, or if the full-resolution picture shows it smaller than `LEAST_LEGIBLE`.
    """

    budget: Budget = field(default_factory=lambda: Budget(spatial=True))
    height: int = 708
    width: int = 1272
    numbers: int = 4
    digits: int = 3
    event_seconds: float = 1.4
    glyph_pixels: float = 9.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.numbers <= 6:
            raise InvalidSetting(f"TextSettings.numbers must be 2 to 6, got {self.numbers}")
        if not 2 <= self.digits <= 4:
            raise InvalidSetting(f"TextSettings.digits must be 2 to 4, got {self.digits}")
        if not self.budget.spatial:
            raise InvalidSetting("the text family needs a budget with spatial zoom: Budget(spatial=True)")
        if self.glyph_pixels < LEAST_LEGIBLE:
            raise InvalidSetting(
                f"digits of {self.glyph_pixels} pixels cannot be read even at full resolution: they have "
                f"{_DOTS_HIGH} rows of dots, so {LEAST_LEGIBLE:g} pixels are needed"
            )
        shown = self.budget.fit(self.height, self.width)
        there = self.glyph_pixels * shown[0] / self.height
        if there > MOST_ILLEGIBLE:
            raise InvalidSetting(
                f"digits of {self.glyph_pixels} pixels need no spatial zoom: the budget's {self.budget.max_pixels} "
                f"pixels show {self.width}x{self.height} as {shown[1]}x{shown[0]}, with digits of {there:.1f} pixels, "
                f"but at most {MOST_ILLEGIBLE:g} are illegible"
            )
        if self.height % shown[0] or self.width % shown[1]:
            raise InvalidSetting(
                f"the picture must be a whole multiple of what the budget shows of it, so that a pixel shown is a "
                f"block of the picture: {self.width}x{self.height} is shown as {shown[1]}x{shown[0]}"
            )
        block = max(self.height / shown[0], self.width / shown[1])
        if block > 3 * self.dot * self.height:
            raise InvalidSetting(
                f"digits of {self.glyph_pixels} pixels have 3 dots of {self.dot * self.height:.2f} pixels of paper "
                f"around them, less than the {block:g} pixels of a pixel shown"
            )
        across, down = sign_size(self.digits, self.dot)
        if across * _MARGIN > 0.45 * self.aspect or down * _MARGIN > 0.45:
            raise InvalidSetting(
                f"a sign of {self.digits} digits of {self.glyph_pixels} pixels does not fit the picture"
            )
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)

    @property
    def dot(self) -> float:
        """Side of a glyph's dot, in units of the picture's height."""
        return self.glyph_pixels / _DOTS_HIGH / self.height


class Text(Family):
    """A sign stands in each scene; for a moment it shows a number. Chance is 1 / numbers.

    Whole frames at the budget's size show the sign, but their pixels are the same with any number on it and without
    one (see `vzgym.tasks.procedural.render.actors.Sign`). A region crop is cut from the full-resolution frame and shows
    the digits, so the agent must find both when and where.
    """

    name: ClassVar[str] = "text"
    Settings = TextSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "Which number does the sign in the {scene} scene show?",
            "Read the sign of the {scene} scene. What number appears on it?",
            "A number appears on the sign in the {scene} scene for a moment. Which one?",
        ),
        "none": (
            "Which number does a sign in this video show?",
            "Read the signs of this video. What number appears on one of them?",
            "A number appears on a sign in this video for a moment. Which one?",
        ),
    }

    @property
    def num_options(self) -> int:
        """One option for each number offered."""
        s = self.settings
        assert isinstance(s, TextSettings)
        return s.numbers

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, TextSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        options = _numbers(rng, s.numbers, s.digits)
        question = self._question(rng, stage)
        across, down = (_MARGIN * size for size in sign_size(s.digits, s.dot))
        room = 0.05
        signs = []
        for scene in range(s.scenes):
            first, last = stage.frames_of(scene)
            start = stage.draw_start(rng, scene, length)
            x, y = rng.random(2).tolist()
            text = options[int(rng.integers(len(options)))]
            if scene == stage.target:
                text, event = options[position], (start, start + length)
            signs.append(
                Sign(
                    first,
                    last,
                    across + room + x * (s.aspect - 2 * (across + room)),
                    down + room + y * (0.8 - 2 * (down + room)),
                    s.dot,
                    text,
                    None if scene in stage.idle else (start, start + length),
                    s.budget.fit(s.height, s.width),
                )
            )
        sign = signs[stage.target]
        placement = Placement(tuple(stage.starts(stage.asked, length)), ((0, length),), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(signs),
            question,
            options,
            position,
            (Interval(event[0] / s.fps, event[1] / s.fps),),
            {
                "needed_fps": s.fps / length,
                "difficulty": search_difficulty(placement, length / s.fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [region_of(sign.x, sign.y, across, down, s.aspect)],
                "varies": [[event[0] / s.fps, event[1] / s.fps]],
            },
        )

    @classmethod
    def expert(cls, task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
        """Zooms over the caption's show, into the sign.

        Raises:
            TaskError: If the budget cannot show it, or has no spatial zoom.
        """
        zooms = zooms_over(task, budget)
        if not budget.spatial:
            raise TaskError(f"task {task.id!r}: the sign cannot be read without spatial zoom, which the budget lacks")
        return tuple(replace(zoom, region=task.requirements.regions[0]) for zoom in zooms)


def _numbers(rng: np.random.Generator, count: int, digits: int) -> tuple[str, ...]:
    """Different numbers, any two of which differ in two digits at least."""
    chosen: list[str] = []
    while len(chosen) < count:
        first = int(rng.integers(1, 10))
        number = str(first) + "".join(str(int(d)) for d in rng.integers(0, 10, size=digits - 1))
        if all(sum(a != b for a, b in zip(number, other, strict=True)) >= 2 for other in chosen):
            chosen.append(number)
    return tuple(chosen)


FAMILIES.register(Text.name, Text)
