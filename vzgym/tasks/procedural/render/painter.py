"""The painter of procedural videos: a sequence of scenes with actors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.procedural.render.palette import LAMP_IDLE, LAMP_LIT, LAMP_OFF, LAMP_RING
from vzgym.tasks.procedural.render.scenery import SceneSpec, scene_frames
from vzgym.tasks.procedural.render.shapes import as_slice, paint_shape

__all__ = ["Actor", "Balloon", "Flash", "Lamp", "ScenePainter"]

# Frames are drawn in groups whose planes stay in the processor's cache.
_PIXELS_AT_ONCE = 1 << 17


class Actor(Protocol):
    """An object painted over the scenery in frames `first` to `last - 1`. Must be picklable."""

    @property
    def first(self) -> int:
        """First frame."""
        ...

    @property
    def last(self) -> int:
        """First frame after it."""
        ...

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """Paint frames `frames` of the video onto `canvas[rows]`, in place; `rows` ascends."""
        ...


@dataclass(frozen=True, slots=True)
class ScenePainter:
    """Draws a video from its description (a `vzgym.video.synthetic.Painter`).

    Args:
        scenes: The backgrounds, in order.
        cuts: First frame of each scene, increasing, `cuts[0] == 0`.
        actors: The objects in front; later ones are painted over earlier ones.
        fps: Frames per second.
        aspect: Width of the picture in units of its height. Other sizes stretch the same picture.
        noise: Amplitude of film grain, in levels of 255.
        grain: Seed of the film grain.
    """

    scenes: tuple[SceneSpec, ...]
    cuts: tuple[int, ...]
    actors: tuple[Actor, ...]
    fps: float
    aspect: float
    noise: float = 0.0
    grain: int = 0

    def __call__(self, indices: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint8]:
        """See `Painter.__call__`."""
        index = np.asarray(indices, dtype=np.int64)
        canvas = np.empty((len(index), height, width, 3), dtype=np.uint8)
        scene_of = np.searchsorted(np.array(self.cuts), index, side="right") - 1
        batch = max(1, _PIXELS_AT_ONCE // (height * width))
        for scene in np.unique(scene_of):
            members = np.flatnonzero(scene_of == scene)
            for start in range(0, len(members), batch):
                rows = members[start : start + batch]
                seconds = index[rows] / self.fps
                canvas[as_slice(rows)] = scene_frames(self.scenes[scene], seconds, height, width, self.aspect)
        for actor in self.actors:
            on_stage = np.flatnonzero((index >= actor.first) & (index < actor.last))
            for start in range(0, len(on_stage), batch):
                rows = on_stage[start : start + batch]
                actor.paint(canvas, rows, index[rows], self.aspect)
        if self.noise > 0:
            _add_grain(canvas, index, self.noise, self.grain)
        return canvas


@cache
def _grain_tile(amplitude: float) -> NDArray[np.int16]:
    """A tile of grain, int16, shape `(512, 512)`: whole levels from `-amplitude` to `amplitude`."""
    raw = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5))).integers(-256, 257, (512, 512))
    tile: NDArray[np.int16] = (raw * round(amplitude * 256) // (1 << 16)).astype(np.int16)
    tile.setflags(write=False)
    return tile


def _add_grain(canvas: NDArray[np.uint8], frames: NDArray[np.int64], amplitude: float, seed: int) -> None:
    """Add film grain to each frame, in place; it is determined by frame number and size."""
    height, width = canvas.shape[1:3]
    tile = _grain_tile(amplitude)
    # Two multiplicative congruences: cheap, and the same on every platform.
    places = ((frames + seed) % (1 << 31)) * 48271 % ((1 << 31) - 1)
    for frame, place in zip(canvas, places.tolist(), strict=True):
        rows = (np.arange(height) + place) % 512
        columns = (np.arange(width) + place // 512) % 512
        grain = tile[rows[:, None], columns[None, :]][..., None]
        frame[:] = np.clip(frame + grain, 0, 255)


@dataclass(frozen=True, slots=True)
class Flash:
    """A colored shape that flashes.

    Args:
        first: First frame that shows it.
        last: First frame that no longer does.
        shape: A name of `SHAPES`.
        color: RGB 0..255.
        x: Center, in units of the picture's height.
        y: Center, same units.
        radius: Same units.
    """

    first: int
    last: int
    shape: str
    color: tuple[int, int, int]
    x: float
    y: float
    radius: float

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`. It swells a little at first and shrinks at the end, never below 86 % of its size."""
        done = (frames - self.first + 0.5) / (self.last - self.first)
        swell = 0.86 + 0.14 * np.minimum(1.0, 4.0 * np.minimum(done, 1.0 - done))
        paint_shape(
            canvas,
            rows,
            self.shape,
            (np.array([self.x]), np.array([self.y])),
            self.radius * swell,
            np.array(self.color, dtype=np.float64),
            np.array([-0.55]),
            aspect,
            largest=self.radius,
        )


@dataclass(frozen=True, slots=True)
class Balloon:
    """A colored balloon on a string that drifts throughout its scene.

    Args:
        first: First frame that shows it.
        last: First frame that no longer does.
        color: RGB 0..255.
        x: Middle of its path, in units of the picture's height.
        y: Middle of its path, same units.
        radius: Same units.
        sway: Amplitude of the drift, same units.
        phase: Initial phase of the drift, in turns.
        fps: Frames per second.
    """

    first: int
    last: int
    color: tuple[int, int, int]
    x: float
    y: float
    radius: float
    sway: float
    phase: float
    fps: float

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`. It drifts to and fro along a parabola, which needs no sine."""
        turn = (frames / self.fps / 9.0 + self.phase) % 1.0
        there = np.abs(2.0 * turn - 1.0)
        ease = there * there * (3.0 - 2.0 * there) * 2.0 - 1.0
        x, y = self.x + self.sway * ease, self.y - 0.5 * self.sway * ease * ease
        still = np.ones(1)
        string = np.array((214.0, 214.0, 214.0))
        for knot in range(5):
            drop = 1.12 + 0.16 * knot
            bend = 0.04 * self.radius * (1 if knot % 2 else -1)
            paint_shape(
                canvas,
                rows,
                "disc",
                (x + bend, y + drop * self.radius),
                0.05 * self.radius * still,
                string,
                0.0 * still,
                aspect,
            )
        color = np.array(self.color, dtype=np.float64)
        paint_shape(canvas, rows, "disc", (x, y), self.radius * still, color, -0.5 * still, aspect)
        shine = (x - 0.34 * self.radius, y - 0.36 * self.radius)
        paint_shape(canvas, rows, "disc", shine, 0.14 * self.radius * still, 0.35 * color + 165.0, 0.0 * still, aspect)


@dataclass(frozen=True, slots=True)
class Lamp:
    """A hanging lamp. In its burst the rim glows throughout, and the glass lights up several times.

    Args:
        first: First frame that shows the lamp.
        last: First frame that no longer does.
        x: Center, in units of the picture's height.
        y: Center, same units.
        radius: Same units.
        burst: First frame of the burst and first frame after it; None for a lamp that stays dark.
        lit: First and one-past-last frame of each pulse.
    """

    first: int
    last: int
    x: float
    y: float
    radius: float
    burst: tuple[int, int] | None
    lit: tuple[tuple[int, int], ...]

    def paint(
        self, canvas: NDArray[np.uint8], rows: NDArray[np.intp], frames: NDArray[np.int64], aspect: float
    ) -> None:
        """See `Actor.paint`."""
        height, width = canvas.shape[1:3]
        left = round((self.x - 0.012) * width / aspect)
        right = max(left + 1, round((self.x + 0.012) * width / aspect))
        canvas[rows, : max(0, round(self.y * height)), left:right] = LAMP_OFF
        busy = np.zeros(len(rows), dtype=bool)
        if self.burst is not None:
            busy = (frames >= self.burst[0]) & (frames < self.burst[1])
        shines = np.zeros(len(rows), dtype=bool)
        for start, end in self.lit:
            shines |= (frames >= start) & (frames < end)
        still = np.ones(1)
        center = (self.x * still, self.y * still)
        ring = np.where(busy[:, None], LAMP_RING, LAMP_IDLE).astype(np.float64)
        glass = np.where(shines[:, None], LAMP_LIT, LAMP_OFF).astype(np.float64)
        paint_shape(canvas, rows, "disc", center, self.radius * still, ring, np.where(shines, 0.4, -0.5), aspect)
        paint_shape(canvas, rows, "disc", center, 0.72 * self.radius * still, glass, 0.0 * still, aspect)
