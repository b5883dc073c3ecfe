"""Further actors: boxes with a crane, balls, discs, rings, bulbs, cards and signs.

The painter's own actors (flash, balloon, lamp) are in `vzgym.tasks.procedural.render.painter`. All lengths are in units
of the picture's height; x runs from 0 to the aspect, y from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.procedural.render.glyphs import box_cover, ink_cover, spread
from vzgym.tasks.procedural.render.palette import BALL, INK_CONTRAST, LAMP_IDLE, LAMP_LIT, LAMP_OFF, PAPER, PLATE, WHITE
from vzgym.tasks.procedural.render.shapes import as_slice, paint_shape

__all__ = ["Ball", "Boxes", "Bulbs", "Card", "Passing", "Ring", "Sign"]

Color = tuple[int, int, int]


def _disc(
    canvas: NDArray[np.uint8],
    rows: NDArray[np.intp],
    x: NDArray[np.float64] | float,
    y: NDArray[np.float64] | float,
    radius: float,
    color: Color,
    aspect: float,
    shape: str = "disc",
    halo: float = -0.5,
) -> None:
    """A shape of one size and color on some frames, at a place of each or at the same place on all."""
    across, down, size, rim = map(np.atleast_1d, (x, y, radius, halo))
    paint_shape(canvas, rows, shape, (across, down), size, np.array(color, dtype=np.float64), rim, aspect)


def _during(event: tuple[int, int] | None, frames: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which frames lie in an event, given by its first frame and the first frame after it; none without an event."""
    first, last = event or (0, 0)
    return (frames >= first) & (frames < last)


def _bar(
    canvas: NDArray[np.uint8],
    rows: NDArray[np.intp],
    box: tuple[float, float, float, float],
    color: Color,
    aspect: float,
) -> None:
    """A filled rectangle `(left, top, right, bottom)`, at least one pixel in each direction, on some frames."""
    height, width = canvas.shape[1:3]
    left, right = (round(v * width / aspect) for v in (box[0], box[2]))
    top, bottom = (round(v * height) for v in (box[1], box[3]))
    columns = slice(max(0, left), max(0, left, min(width, max(left + 1, right))))
    if len(rows) == 0 or columns.start == columns.stop:
        return
    line = np.tile(np.array(color, dtype=np.uint8), (columns.stop - columns.start, 1))
    canvas[as_slice(rows), max(0, top) : max(0, min(height, max(top + 1, bottom))), columns] = line


@dataclass(frozen=True, slots=True)
class Boxes:
    """A row of closed, colored boxes; in the event a crane lowers a white ball into one of them.

    Before and after the event the boxes look alike.

    Args:
        first: First frame that shows the boxes.
        last: First frame that no longer does.
        colors: Their colors, from left to right.
        x: Center of each.
        y: Center of all.
        radius: Half a box's width.
        event: First frame of the event and first frame after it; None if there is no event.
        chosen: Which box gets the ball.
    """

    first: int
    last: int
    colors: tuple[Color, ...]
    x: tuple[float, ...]
    y: float
    radius: float
    event: tuple[int, int] | None
    chosen: int

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`. While a box is open, its lid is above it and the ball is visible."""
        r = self.radius
        busy = _during(self.event, frames)
        if busy.any() and self.event is not None:
            on, x = rows[busy], self.x[self.chosen]
            done = (frames[busy] - self.event[0]) / (self.event[1] - self.event[0])
            rest = self.y - 1.45 * r
            y = np.minimum(0.12 + (rest - 0.12) * done / 0.7, rest)
            for row, end in zip(on, y.tolist(), strict=True):
                _bar(canvas, np.array([row]), (x - 0.07 * r, 0.0, x + 0.07 * r, end), LAMP_OFF, aspect)
            _disc(canvas, on, x, y, 0.72 * r, BALL, aspect)
        for place, (x, color) in enumerate(zip(self.x, self.colors, strict=True)):
            _disc(canvas, rows, x, self.y, r, color, aspect, shape="square")
            _bar(canvas, rows, (x - 0.92 * r, self.y - 0.1 * r, x + 0.92 * r, self.y + 0.06 * r), LAMP_IDLE, aspect)
            shut = ~busy if place == self.chosen else np.ones(len(rows), dtype=bool)
            lid = (x - r, self.y - 1.08 * r, x + r, self.y - 0.82 * r)
            _bar(canvas, rows[shut], lid, LAMP_IDLE, aspect)
            if not shut.all():
                aside = (x + 0.78 * r, self.y - 2.1 * r, x + 1.0 * r, self.y - 0.85 * r)
                _bar(canvas, rows[~shut], aside, LAMP_IDLE, aspect)


@dataclass(frozen=True, slots=True)
class Ball:
    """A ball that drifts to and fro throughout its scene, and may briefly do something odd.

    Args:
        first: First frame that shows it.
        last: First frame that no longer does.
        color: RGB 0..255.
        x: Middle of its path.
        y: Middle of its path.
        radius: Its radius.
        sway: Amplitude of the drift.
        phase: Initial phase of the drift, in turns.
        fps: Frames per second.
        event: First frame of the oddity and first frame after it; None for a normal ball.
        oddity: "vanishes", "whitens" or "splits".
    """

    first: int
    last: int
    color: Color
    x: float
    y: float
    radius: float
    sway: float
    phase: float
    fps: float
    event: tuple[int, int] | None
    oddity: str

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`."""
        turn = (frames / self.fps / 11.0 + self.phase) % 1.0
        there = np.abs(2.0 * turn - 1.0)
        ease = there * there * (3.0 - 2.0 * there) * 2.0 - 1.0
        x, y = self.x + self.sway * ease, self.y + 0.4 * self.sway * (1.0 - 2.0 * ease * ease)
        odd = _during(self.event, frames)
        plain = ~odd
        self._one(canvas, rows[plain], x[plain], y[plain], self.color, aspect)
        if self.oddity == "whitens":
            self._one(canvas, rows[odd], x[odd], y[odd], WHITE, aspect)
        elif self.oddity == "splits":
            for side in (-1.15, 1.15):
                _disc(canvas, rows[odd], x[odd] + side * self.radius, y[odd], 0.62 * self.radius, self.color, aspect)

    def _one(
        self,
        canvas: NDArray[np.uint8],
        rows: NDArray[np.intp],
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        color: Color,
        aspect: float,
    ) -> None:
        _disc(canvas, rows, x, y, self.radius, color, aspect)
        red, green, blue = (round(0.35 * channel + 165) for channel in color)
        shine = (x - 0.34 * self.radius, y - 0.36 * self.radius)
        _disc(canvas, rows, *shine, 0.16 * self.radius, (red, green, blue), aspect, halo=0.0)


@dataclass(frozen=True, slots=True)
class Passing:
    """A disc that crosses the picture in a straight line, without a trail: one frame does not show its direction.

    Args:
        first: First frame that shows it.
        last: First frame that no longer does.
        color: RGB 0..255.
        start: Position in its first frame: x and y.
        end: Position in its last frame: x and y.
        radius: Its radius.
    """

    first: int
    last: int
    color: Color
    start: tuple[float, float]
    end: tuple[float, float]
    radius: float

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`."""
        done = (frames - self.first) / max(1, self.last - 1 - self.first)
        x = self.start[0] + (self.end[0] - self.start[0]) * done
        y = self.start[1] + (self.end[1] - self.start[1]) * done
        _disc(canvas, rows, x, y, self.radius, self.color, aspect)


@dataclass(frozen=True, slots=True)
class Ring:
    """A colored ring with a dark middle that flashes.

    Args:
        first: First frame that shows it.
        last: First frame that no longer does.
        color: RGB 0..255.
        x: Center.
        y: Center.
        radius: Outer radius.
    """

    first: int
    last: int
    color: Color
    x: float
    y: float
    radius: float

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`."""
        _disc(canvas, rows, self.x, self.y, self.radius, self.color, aspect)
        _disc(canvas, rows, self.x, self.y, 0.6 * self.radius, LAMP_OFF, aspect, halo=0.0)


@dataclass(frozen=True, slots=True)
class Bulbs:
    """A garland of lit bulbs across the top of the picture.

    Args:
        first: First frame that shows it.
        last: First frame that no longer does.
        count: Number of bulbs.
        radius: Radius of each bulb.
    """

    first: int
    last: int
    count: int
    radius: float

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`. It sags in the middle."""
        for bulb in range(self.count):
            place = (bulb + 0.5) / self.count
            sag = 0.06 * (1.0 - (2.0 * place - 1.0) ** 2)
            y = 0.055 + self.radius + sag
            _disc(canvas, rows, place * aspect, y, self.radius, LAMP_LIT, aspect, halo=-0.4)


@dataclass(frozen=True, slots=True)
class Card:
    """A white card with a large colored spot.

    Args:
        first: First frame that shows it.
        last: First frame that no longer does.
        color: Color of the spot, RGB 0..255.
        x: Center.
        y: Center.
        radius: Half its width.
    """

    first: int
    last: int
    color: Color
    x: float
    y: float
    radius: float

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`."""
        _disc(canvas, rows, self.x, self.y, self.radius, WHITE, aspect, shape="square")
        _disc(canvas, rows, self.x, self.y, 0.66 * self.radius, self.color, aspect, halo=0.0)


# Dots of plain paper around a text, and of the frame around that.
_PAPER_DOTS, _FRAME_DOTS = 3, 2


@dataclass(frozen=True, slots=True)
class Sign:
    """A framed panel on a post, blank except for one caption that shows briefly.

    The paper between the ink is lightened so that every block of the picture has the same mean with and without a text:
    a frame reduced to one pixel per block shows exactly a blank panel.

    Args:
        first: First frame that shows the panel.
        last: First frame that no longer does.
        x: Center of the panel.
        y: Center of the panel.
        dot: Side of a glyph's dot; a glyph is 5 dots wide and 7 high.
        text: The caption, digits only.
        event: First frame that shows the caption and first frame after it; None for a panel that stays blank.
        blocks: Number of rows and columns of blocks in the picture.
    """

    first: int
    last: int
    x: float
    y: float
    dot: float
    text: str
    event: tuple[int, int] | None
    blocks: tuple[int, int]

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`. Every pixel is the mean of the area that it covers, as in a downscaled picture."""
        height, width = canvas.shape[1:3]
        across, down = sign_size(len(self.text), self.dot)
        post = (self.x - 0.15 * across, self.y, self.x + 0.15 * across, min(1.0, self.y + 10.0 * down))
        _bar(canvas, rows, post, LAMP_OFF, aspect)
        top, bottom = max(0, int((self.y - down) * height)), min(height, int((self.y + down) * height) + 1)
        scale = width / aspect
        left, right = max(0, int((self.x - across) * scale)), min(width, int((self.x + across) * scale) + 1)
        down_edges = np.arange(top, bottom + 1) / height
        across_edges = np.arange(left, right + 1) / scale
        edge = _FRAME_DOTS * self.dot
        outer = (self.x - across, self.y - down, self.x + across, self.y + down)
        inner = (self.x - across + edge, self.y - down + edge, self.x + across - edge, self.y + down - edge)
        panel, paper = (box_cover(box, down_edges, across_edges)[..., None] for box in (outer, inner))
        busy = _during(self.event, frames)
        for lit in (False, True):
            on = rows[busy == lit]
            if len(on) == 0:
                continue
            shade = np.zeros((len(down_edges) - 1, len(across_edges) - 1, 1), dtype=np.float32)
            if lit:
                shade = self._shade(down_edges, across_edges, aspect)[..., None]
            tint = np.array(PAPER, dtype=np.float32) + shade * np.float32(INK_CONTRAST)
            patch = canvas[on, top:bottom, left:right].astype(np.float32)
            patch += panel * (np.array(PLATE, dtype=np.float32) - patch)
            patch += paper * (tint - patch)
            canvas[on, top:bottom, left:right] = (np.clip(patch, 0.0, 255.0) + np.float32(0.5)).astype(np.uint8)

    def _shade(self, rows: NDArray[np.float64], columns: NDArray[np.float64], aspect: float) -> NDArray[np.float32]:
        """Brightness of each pixel relative to plain paper, from -1 to 1; the mean over every block is 0."""
        across, down = sign_size(len(self.text), self.dot)
        per_row, per_column = self.blocks[0], self.blocks[1] / aspect
        first_row, last_row = int((self.y - down) * per_row), int((self.y + down) * per_row) + 1
        first_column, last_column = int((self.x - across) * per_column), int((self.x + across) * per_column) + 1
        cells = np.arange(first_row, last_row + 1) / per_row, np.arange(first_column, last_column + 1) / per_column
        mean = ink_cover(self.text, self.x, self.y, self.dot, *cells)
        ink = ink_cover(self.text, self.x, self.y, self.dot, rows, columns)
        # Whole 1/256 steps, so that the order of summation cannot change the last bit.
        light = np.rint((spread(mean, cells, rows, columns) - ink) * 256) / 256
        return np.asarray(light, dtype=np.float32)


def sign_size(characters: int, dot: float) -> tuple[float, float]:
    """Half the width and half the height of a panel for a number of characters, with paper and frame."""
    around = 2 * (_PAPER_DOTS + _FRAME_DOTS)
    return (6 * characters - 1 + around) * dot / 2, (7 + around) * dot / 2
