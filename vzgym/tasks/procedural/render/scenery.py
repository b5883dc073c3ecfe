"""Backgrounds: gently moving landscapes in the tones of one hue.

Everything is drawn with additions, multiplications, comparisons, square roots and look-ups in a rounded sine
table. Unlike a library's `sin`, these give the same bits on every processor and for any batching of frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.tasks.procedural.render.palette import scene_lut

__all__ = ["STYLES", "SceneSpec", "draw_scene", "forget_scenes", "make_scene", "scene_frames"]

Floats: TypeAlias = NDArray[np.float32]

_TABLE_SIZE = 4096
# Rounded to 2^-14, so that the last bit of a platform's sine has no effect.
_SINE: Floats = (np.rint(np.sin(np.arange(_TABLE_SIZE) * (2 * np.pi / _TABLE_SIZE)) * 16384) / 16384).astype(np.float32)
_NUM_PARAMS = 24
# Larger drawings are not cached (`scene_frames`).
_KEPT_PIXELS = 1 << 17


def _wave(turns: NDArray[Any]) -> Floats:
    """Sine of a phase in turns, by table: float32, the shape of `turns`, which is overwritten."""
    turns *= _TABLE_SIZE
    np.floor(turns, out=turns)
    # Below 2^31 for a million seconds of the fastest scenery.
    index = turns.astype(np.int32)
    index &= _TABLE_SIZE - 1
    values: Floats = _SINE.take(index.astype(np.intp))
    return values


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """One scene's background.

    Args:
        hue: A name of `SCENE_HUES`.
        style: A name of `STYLES`.
        params: Numbers in [0, 1) that determine the style's shapes and speeds.
    """

    hue: str
    style: str
    params: tuple[float, ...]


def make_scene(rng: np.random.Generator, hue: str) -> SceneSpec:
    """A scene of the given hue; everything else from `rng`."""
    style = tuple(STYLES)[int(rng.integers(len(STYLES)))]
    return SceneSpec(hue, style, tuple(rng.random(_NUM_PARAMS).tolist()))


def scene_frames(
    scene: SceneSpec, seconds: NDArray[np.float64], height: int, width: int, aspect: float
) -> NDArray[np.uint8]:
    """Cached `draw_scene`; the result must not be modified.

    Roll-outs of a group, and a task with each of its answers, have the same scenery at the same times.
    """
    if len(seconds) * height * width > _KEPT_PIXELS:
        return draw_scene(scene, seconds, height, width, aspect)
    return _kept(scene, np.asarray(seconds, dtype=np.float64).tobytes(), height, width, aspect)


@lru_cache(maxsize=96)
def _kept(scene: SceneSpec, seconds: bytes, height: int, width: int, aspect: float) -> NDArray[np.uint8]:
    drawn = draw_scene(scene, np.frombuffer(seconds), height, width, aspect)
    drawn.setflags(write=False)
    return drawn


def forget_scenes() -> None:
    """Clear the cache, which holds at most 38 MB."""
    _kept.cache_clear()


def draw_scene(
    scene: SceneSpec, seconds: NDArray[np.float64], height: int, width: int, aspect: float
) -> NDArray[np.uint8]:
    """The background at given times.

    Args:
        scene: The scene.
        seconds: Times, shape `(n,)`.
        height: Rows of pixels.
        width: Columns of pixels.
        aspect: Width of the picture in units of its height.

    Returns:
        uint8, shape `(n, height, width, 3)`.
    """
    x, y = _places(height, width, aspect)
    tone = STYLES[scene.style](scene.params, seconds, x, y, height)
    tone += _texture(scene.params, height, width, aspect)
    tone.clip(0.0, 1.0, out=tone)
    tone *= np.float32(255)
    # Pillow looks colors up faster than NumPy, whose innermost loop would be three bytes long.
    picture = Image.frombuffer("P", (width, len(tone) * height), tone.astype(np.uint8), "raw", "P", 0, 1)
    picture.putpalette(scene_lut(scene.hue).tobytes())
    return np.array(picture.convert("RGB")).reshape(len(tone), height, width, 3)


@lru_cache(maxsize=9)
def _places(height: int, width: int, aspect: float) -> tuple[Floats, Floats]:
    """Centers of the pixels: x, shape `(1, width)`, and y, shape `(height, 1)`; must not be modified."""
    y = ((np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height))[:, None]
    x = ((np.arange(width, dtype=np.float32) + np.float32(0.5)) * np.float32(aspect / width))[None, :]
    return x, y


@lru_cache(maxsize=9)
def _texture(p: tuple[float, ...], height: int, width: int, aspect: float) -> Floats:
    """A constant woven texture with a darker rim: float32, shape `(height, width)`; must not be modified."""
    x, y = _places(height, width, aspect)
    grain = _wave(x * (9 + 6 * p[20]) + p[21]) * _wave(y * (11 + 6 * p[22]) + p[23])
    fine = _wave(x * 23 + y * 5 + p[22]) * _wave(y * 19 - x * 7 + p[20])
    dx = (x - np.float32(aspect / 2)) * np.float32(2 / aspect)
    dy = y * 2 - 1
    rim = dx * dx + dy * dy
    texture: Floats = grain * np.float32(0.035) + fine * np.float32(0.02) - rim * np.float32(0.06)
    texture.setflags(write=False)
    return texture


def _column(values: NDArray[Any]) -> Floats:
    return values.astype(np.float32)[:, None, None]


def _ridge(tone: Floats, top: Floats, level: float, y: Floats, height: int) -> None:
    """Fill everything below the line `top` (shape `(n, 1, width)`) with one tone, edges smoothed, in place."""
    # Only the rows that the line crosses are covered in part; those above it stay as they are, and those below it need
    # no cover. One row more on either side allows for rounding.
    first = min(max(0, int(float(top.min()) * height) - 2), height)
    last = min(max(first, int(float(top.max()) * height) + 2), height)
    edge = tone[:, first:last]
    cover = y[first:last] - top
    cover *= np.float32(height)
    cover += np.float32(0.5)
    cover.clip(0.0, 1.0, out=cover)
    cover *= np.float32(level) - edge
    edge += cover
    below = tone[:, last:]
    below += np.float32(level) - below


def _glow(tone: Floats, cx: NDArray[Any], cy: NDArray[Any], radius: float, gain: float, x: Floats, y: Floats) -> None:
    """Lighten a soft disc, in place."""
    # The light ends at 3.5 / 3 of the radius: nothing changes outside a box somewhat larger than that.
    reach = 1.2 * radius
    rows = _span(y[:, 0], float(cy.min()) - reach, float(cy.max()) + reach)
    columns = _span(x[0], float(cx.min()) - reach, float(cx.max()) + reach)
    dx = x[:, columns] - _column(cx)
    dy = y[rows] - _column(cy)
    dx *= dx
    dy *= dy
    fall = dx + dy
    np.sqrt(fall, out=fall)
    fall *= np.float32(-3.0 / radius)
    fall += np.float32(3.5)
    fall.clip(0.0, 1.0, out=fall)
    fall *= np.float32(gain)
    tone[:, rows, columns] += fall


def _span(places: Floats, low: float, high: float) -> slice:
    """The part of ascending `places` from `low` to `high`."""
    first, last = np.searchsorted(places, (low, high))
    return slice(int(first), int(last))


def _sky(n: int, x: Floats, y: Floats, high: float, low: float) -> Floats:
    plane = np.float32(high) + y * np.float32(low - high) + x * 0
    return np.repeat(plane[None], n, axis=0)


def _swell(x: Floats, stretch: NDArray[np.float64], phase: NDArray[np.float64]) -> Floats:
    """Several waves along the picture.

    Args:
        x: Centers of the pixels, shape `(1, width)`.
        stretch: Turns of each per unit of length, shape `(k,)`.
        phase: Phase of each at each time, in turns, shape `(k, n)`.

    Returns:
        float32, shape `(k, n, 1, width)`.
    """
    return _wave(x * _column(stretch)[..., None] + phase.astype(np.float32)[..., None, None])


def _hills(p: tuple[float, ...], t: NDArray[np.float64], x: Floats, y: Floats, height: int) -> Floats:
    """Three ridges that pass at different speeds under a slow moon."""
    tone = _sky(len(t), x, y, 0.52, 0.95)
    aspect = float(x[0, -1])
    _glow(tone, aspect * (0.2 + 0.6 * p[0]) + 0.012 * (p[1] - 0.5) * t, 0.22 + 0.1 * p[2] + 0 * t, 0.13, 0.22, x, y)
    q, k = np.array(p), np.arange(3)
    speed = (0.012 + 0.016 * k) * (1 if p[3] < 0.5 else -1)
    tops = _swell(x, 0.55 + 0.35 * q[4:7] + 0.1 * k, speed[:, None] * t + q[7:10, None]) * np.float32(0.07)
    tops += _swell(x, 1.7 + q[10:13], (1.8 * speed)[:, None] * t + q[13:16, None]) * np.float32(0.025)
    tops += _column(0.50 + 0.16 * k)[..., None]
    for top, level in zip(tops, (0.60, 0.60 - 0.19, 0.60 - 0.19 * 2), strict=True):
        _ridge(tone, top, level, y, height)
    return tone


def _sea(p: tuple[float, ...], t: NDArray[np.float64], x: Floats, y: Floats, height: int) -> Floats:
    """Rows of swell that bob under a low sun."""
    tone = _sky(len(t), x, y, 0.62, 1.05)
    aspect = float(x[0, -1])
    _glow(tone, aspect * (0.25 + 0.5 * p[0]) + 0 * t, 0.32 + 0.02 * _wave(0.05 * t + p[1]), 0.15, 0.25, x, y)
    q, k = np.array(p), np.arange(5)
    speed = np.where(k % 2, 1, -1) * (0.05 + 0.02 * k)
    tops = _swell(x, 1.1 + 0.3 * q[2:7] - 0.1 * k, speed[:, None] * t + q[7:12, None])
    tops *= _column(0.022 + 0.006 * k)[..., None]
    tops += (0.012 * _wave(0.11 * t + q[12:17, None]))[..., None, None]
    tops += _column(0.44 + 0.125 * k)[..., None]
    for top, level in zip(tops, (0.34, 0.55, 0.27, 0.46, 0.18), strict=True):
        _ridge(tone, top, level, y, height)
    return tone


def _bubbles(p: tuple[float, ...], t: NDArray[np.float64], x: Floats, y: Floats, height: int) -> Floats:
    """Soft discs that rise."""
    tone = _sky(len(t), x, y, 0.64, 0.18)
    aspect = float(x[0, -1])
    for k in range(6):
        radius = 0.07 + 0.11 * p[k]
        rise = (p[6 + k] + (0.012 + 0.02 * p[12 + k]) * t) % 1.0
        cy = 1.0 + 2 * radius - rise * (1.0 + 4 * radius)
        cx = aspect * ((k + 0.5) / 6 + 0.1 * (p[18 - k] - 0.5)) + 0.02 * _wave(0.07 * t + p[k])
        _glow(tone, cx, cy, radius, 0.13 + 0.09 * p[17 - k], x, y)
    return tone


def _curtains(p: tuple[float, ...], t: NDArray[np.float64], x: Floats, y: Floats, height: int) -> Floats:
    """Northern lights over a dark plain."""
    sway = _wave(y * (0.5 + 0.4 * p[0]) + _column(0.03 * t + p[1])) * np.float32(0.16)
    light = _wave((x + sway) * (0.9 + 0.5 * p[2]) + _column(0.017 * t + p[3]))
    light += _wave((x - sway) * (2.1 + p[4]) + _column(-0.023 * t + p[5])) * np.float32(0.5)
    light *= (1 - y) * np.float32(0.24)
    light += np.float32(0.60) - y * np.float32(0.2)
    top = _wave(x * (0.8 + 0.4 * p[6]) + np.float32(p[7])) * np.float32(0.03) + np.float32(0.82)
    _ridge(light, np.repeat(top[None], len(t), axis=0), 0.14, y, height)
    return light


STYLES: dict[str, Callable[[tuple[float, ...], NDArray[np.float64], Floats, Floats, int], Floats]] = {
    "hills": _hills,
    "sea": _sea,
    "bubbles": _bubbles,
    "curtains": _curtains,
}
"""Kinds of scenery: each returns the tone of every pixel, about 0 (dark) to 1 (light), shape `(n, height, width)`."""
