"""Text: a number on a sign that is legible only in a region crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import Draft, Family, region_around, zooms_over
from vzgym.tasks.procedural.pixels import crop_bars, near_mask, nearest_hue
from vzgym.tasks.procedural.reader import NO_READING, FamilyReader, Reading
from vzgym.tasks.procedural.render.actors import Sign, sign_size
from vzgym.tasks.procedural.render.glyphs import DIGITS, cover, dots
from vzgym.tasks.procedural.render.palette import PLATE
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline
from vzgym.tasks.task import VideoTask

__all__ = ["LEAST_LEGIBLE", "MOST_ILLEGIBLE", "Text", "TextReader", "TextSettings", "find_sign"]

LEAST_LEGIBLE = 7.0
"""Smallest legible height of a digit in the full-resolution picture, in pixels: one for each of its dots."""

MOST_ILLEGIBLE = 3.0
"""Largest illegible height of a digit in a whole frame, in pixels: one for more than two of its dots."""

_DOTS_HIGH = 7
_MARGIN = 1.25

_TOLERANCE = 60
_LEAST_PIXELS = 6
# Dots around a glyph on each side: three of paper, two of frame.
_AROUND = 5
_PANEL_ROWS = _DOTS_HIGH + 2 * _AROUND
_LEAST_CONTRAST = 8.0


@dataclass(frozen=True)
class TextSettings(SceneSettings):
    """Settings of the text family; see `SceneSettings` for the others.

    Args:
        numbers: Number of options: 2 to 6.
        digits: Digits of each number: 2 to 4.
        event_seconds: Duration for which the number shows.
        glyph_pixels: Height of a digit in pixels of the full-resolution picture.

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
        self.need(2 <= self.numbers <= 6, "numbers", "2 to 6")
        self.need(2 <= self.digits <= 4, "digits", "2 to 4")
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


def find_sign(frame: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Find the panel in a frame: top, bottom, left, right in pixels; None if there is none.

    Args:
        frame: uint8, shape `(height, width, 3)`.
    """
    mask = near_mask(frame[None], PLATE, _TOLERANCE)[0]
    rows, columns = np.nonzero(mask)
    if len(rows) < _LEAST_PIXELS:
        return None
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


class TextReader(FamilyReader):
    """Matches the dark dots of a panel with those of each digit."""

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], scenes: Sequence[str], options: Sequence[str]
    ) -> Reading:
        """See `FamilyReader.read`. The confidence is the best number's match, in [0, 1]."""
        numbers = [option for option in options if option.isdecimal()]
        digits = {len(number) for number in numbers}
        if (options and len(digits) != 1) or frames.size == 0:
            return NO_READING
        scores: list[tuple[float, str]] = []
        for frame in frames:
            # Crops and whole pictures differ in their bars.
            shown = crop_bars(frame[None], thin=False)[0]
            sign = find_sign(shown) if shown.size else None
            if sign is None or (scenes and _hue(shown) not in scenes):
                continue
            count = digits.copy().pop() if digits else _count_digits(sign)
            ink = _ink(shown, sign, count)
            if ink.std() >= _LEAST_CONTRAST:
                scores.append(_best(ink, numbers, count))
        if not scores:
            return NO_READING
        score, number = max(scores)
        return Reading(number, max(0.0, min(1.0, score)))


def _hue(shown: NDArray[np.uint8]) -> str:
    """The scene's hue, from the majority of a frame's rim, since a small crop may have something in a corner."""
    rim = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    return nearest_hue(np.median(rim, axis=0).astype(np.uint8))


def _count_digits(sign: tuple[int, int, int, int]) -> int:
    """Number of digits on a panel of this shape: it is `6 n + 9` dots wide and 17 high."""
    wide = _PANEL_ROWS * (sign[3] - sign[2]) / (sign[1] - sign[0])
    return max(1, round((wide - 2 * _AROUND + 1) / 6))


def _ink(shown: NDArray[np.uint8], sign: tuple[int, int, int, int], count: int) -> NDArray[np.float32]:
    """The darkness of each dot of the text relative to its surroundings: float32, shape `(7, 6 * count - 1)`."""
    top, bottom, left, right = sign
    light = shown[top:bottom, left:right].astype(np.float32).mean(axis=2)
    down = _averages(bottom - top, _PANEL_ROWS)
    across = _averages(right - left, 6 * count - 1 + 2 * _AROUND)
    edge = _AROUND - 1
    cells = (down @ light @ across.T)[edge:-edge, edge:-edge]
    return -_detail(cells)[1:-1, 1:-1]


def _detail(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each cell minus the mean of its 3x3 neighborhood."""
    padded = np.pad(cells, 1, mode="edge")
    around = sum(padded[y : y + cells.shape[0], x : x + cells.shape[1]] for y in range(3) for x in range(3))
    detail: NDArray[np.float32] = cells - np.asarray(around, dtype=np.float32) / np.float32(9)
    return detail


def _template(text: str) -> NDArray[np.float32]:
    """The detail of a text's dots on blank paper: float32, shape `(7, 6 * len(text) - 1)`."""
    return _detail(np.pad(dots(text), 1))[1:-1, 1:-1]


def _averages(pixels: int, cells: int) -> NDArray[np.float32]:
    """A matrix that averages a line of pixels over equal cells: shape `(cells, pixels)`."""
    edges = np.arange(pixels + 1) / pixels
    return np.stack([cover(i / cells, (i + 1) / cells, edges) * np.float32(cells / pixels) for i in range(cells)])


def _best(ink: NDArray[np.float32], numbers: Sequence[str], count: int) -> tuple[float, str]:
    """The number whose dots agree best with the ink, and the correlation."""
    if numbers:
        return max((_correlation(ink, _template(number)), number) for number in numbers)
    text = ""
    for place in range(count):
        cell = ink[:, 6 * place : 6 * place + 5]
        text += max(DIGITS, key=lambda digit: _correlation(cell, _template(digit)))
    return _correlation(ink, _template(text)), text


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = a - a.mean(), b - b.mean()
    return float((x * y).sum() / max(1e-6, float(np.sqrt((x * x).sum() * (y * y).sum()))))


class Text(Family[TextSettings]):
    """Each scene has a sign that briefly shows a number. Chance is 1 / numbers.

    Whole frames at the budget's size show the sign, but their pixels are the same with any number or none (see
    `vzgym.tasks.procedural.render.actors.Sign`). A region crop is cut from the full-resolution frame and shows the
    digits, so the agent must find both when and where.
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

    reader = TextReader()

    @property
    def num_options(self) -> int:
        """One option for each number offered."""
        return self.settings.numbers

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        options = _numbers(rng, s.numbers, s.digits)
        question = self.draw_question(rng, timeline)
        across, down = (_MARGIN * size for size in sign_size(s.digits, s.dot))
        room = 0.05
        signs = []
        for scene in range(s.scenes):
            first, last = timeline.frames_of(scene)
            start = timeline.draw_start(rng, scene, length)
            x, y = rng.random(2).tolist()
            text = options[int(rng.integers(len(options)))]
            if scene == timeline.target:
                text, event = options[position], (start, start + length)
            signs.append(
                Sign(
                    first,
                    last,
                    across + room + x * (s.aspect - 2 * (across + room)),
                    down + room + y * (0.8 - 2 * (down + room)),
                    s.dot,
                    text,
                    None if scene in timeline.idle else (start, start + length),
                    s.budget.fit(s.height, s.width),
                )
            )
        sign = signs[timeline.target]
        return Draft(
            actors=signs,
            question=question,
            options=options,
            evidence=(s.interval(*event),),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                regions=(region_around(sign.x, sign.y, across, down, s.aspect),),
                placement=Placement(timeline.starts(timeline.asked, length), ((0, length),), s.fps),
            ),
        )

    @classmethod
    def expert(cls, task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
        """Zooms into the sign over the interval in which the number shows.

        Raises:
            TaskError: If the budget cannot show it, or has no spatial zoom.
        """
        zooms = zooms_over(task, budget)
        if not budget.spatial:
            raise TaskError(f"task {task.id!r}: the sign cannot be read without spatial zoom, which the budget lacks")
        return tuple(replace(zoom, region=task.requirements.regions[0]) for zoom in zooms)


def _numbers(rng: np.random.Generator, count: int, digits: int) -> tuple[str, ...]:
    """Numbers of which any two differ in at least two digits."""
    chosen: list[str] = []
    while len(chosen) < count:
        first = int(rng.integers(1, 10))
        number = str(first) + "".join(str(int(d)) for d in rng.integers(0, 10, size=digits - 1))
        if all(sum(a != b for a, b in zip(number, other, strict=True)) >= 2 for other in chosen):
            chosen.append(number)
    return tuple(chosen)
