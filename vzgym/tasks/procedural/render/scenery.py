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
    """Sine of a phase in turns, by table: float32, the shape of `turns`."""
    index = np.floor(turns * _TABLE_SIZE).astype(np.int64) & (_TABLE_SIZE - 1)
    values: Floats = _SINE[index]
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
    np.clip(tone, 0.0, 1.0, out=tone)
    tone *= np.float32(255)
    return np.take(scene_lut(scene.hue), tone.astype(np.uint8), axis=0)


def _places(height: int, width: int, aspect: float) -> tuple[Floats, Floats]:
    """Centres of the pixels: x, shape `(1, width)`, and y, shape `(height, 1)`."""
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
    cover = (y - top) * np.float32(height)
    cover += np.float32(0.5)
    np.clip(cover, 0.0, 1.0, out=cover)
    cover *= np.float32(level) - tone
    tone += cover


def _glow(tone: Floats, cx: NDArray[Any], cy: NDArray[Any], radius: float, gain: float, x: Floats, y: Floats) -> None:
    """Lighten a soft disc, in place."""
    dx = x - _column(cx)
    dy = y - _column(cy)
    dx *= dx
    dy *= dy
    fall = dx + dy
    np.sqrt(fall, out=fall)
    fall *= np.float32(-3.0 / radius)
    fall += np.float32(3.5)
    np.clip(fall, 0.0, 1.0, out=fall)
    fall *= np.float32(gain)
    tone += fall


def _sky(n: int, x: Floats, y: Floats, high: float, low: float) -> Floats:
    plane = np.float32(high) + y * np.float32(low - high) + x * 0
    return np.repeat(plane[None], n, axis=0)


def _hills(p: tuple[float, ...], t: NDArray[np.float64], x: Floats, y: Floats, height: int) -> Floats:
    """Three ridges that pass at different speeds under a slow moon."""
    tone = _sky(len(t), x, y, 0.52, 0.95)
    aspect = float(x[0, -1])
    _glow(tone, aspect * (0.2 + 0.6 * p[0]) + 0.012 * (p[1] - 0.5) * t, 0.22 + 0.1 * p[2] + 0 * t, 0.13, 0.22, x, y)
    for k in range(3):
        speed = (0.012 + 0.016 * k) * (1 if p[3] < 0.5 else -1)
        phase = x * (0.55 + 0.35 * p[4 + k] + 0.1 * k) + _column(speed * t + p[7 + k])
        detail = x * (1.7 + p[10 + k]) + _column(1.8 * speed * t + p[13 + k])
        top = _wave(phase) * np.float32(0.07) + _wave(detail) * np.float32(0.025) + np.float32(0.50 + 0.16 * k)
        _ridge(tone, top, 0.60 - 0.19 * k, y, height)
    return tone


def _sea(p: tuple[float, ...], t: NDArray[np.float64], x: Floats, y: Floats, height: int) -> Floats:
    """Rows of swell that bob under a low sun."""
    tone = _sky(len(t), x, y, 0.62, 1.05)
    aspect = float(x[0, -1])
    _glow(tone, aspect * (0.25 + 0.5 * p[0]) + 0 * t, 0.32 + 0.02 * _wave(0.05 * t + p[1]), 0.15, 0.25, x, y)
    for k in range(5):
        way = 1 if k % 2 else -1
        phase = x * (1.1 + 0.3 * p[2 + k] - 0.1 * k) + _column(way * (0.05 + 0.02 * k) * t + p[7 + k])
        bob = _column(0.012 * _wave(0.11 * t + p[12 + k]))
        top = _wave(phase) * np.float32(0.022 + 0.006 * k) + bob + np.float32(0.44 + 0.125 * k)
        _ridge(tone, top, (0.34, 0.55, 0.27, 0.46, 0.18)[k], y, height)
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
