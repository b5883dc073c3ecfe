"""Large simple shapes with smooth edges, painted on frames. Exact arithmetic only (see `scenery`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPES", "as_slice", "paint_shape"]

Floats: TypeAlias = NDArray[np.float32]


def _disc(x: Floats, y: Floats) -> Floats:
    edge: Floats = np.sqrt(x * x + y * y) - np.float32(1)
    return edge


def _square(x: Floats, y: Floats) -> Floats:
    # Rounded corners: the distance to a smaller square, less the rounding.
    qx, qy = np.abs(x) - np.float32(0.72), np.abs(y) - np.float32(0.72)
    outside = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2)
    edge: Floats = outside + np.minimum(np.maximum(qx, qy), 0) - np.float32(0.2)
    return edge


def _diamond(x: Floats, y: Floats) -> Floats:
    edge: Floats = (np.abs(x) + np.abs(y) - np.float32(1.06)) * np.float32(0.70710677)
    return edge


def _triangle(x: Floats, y: Floats) -> Floats:
    sides: Floats = np.abs(x) * np.float32(0.8660254) - y * np.float32(0.5) - np.float32(0.5)
    edge: Floats = np.maximum(sides, y - np.float32(0.66))
    return edge


def _hexagon(x: Floats, y: Floats) -> Floats:
    across = np.abs(x) * np.float32(0.8660254) + np.abs(y) * np.float32(0.5)
    edge: Floats = np.maximum(across, np.abs(y)) - np.float32(0.92)
    return edge


SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": _disc,
    "square": _square,
    "diamond": _diamond,
    "triangle": _triangle,
    "hexagon": _hexagon,
}
"""Signed distance to the edge, negative inside, in units of the shape's radius, at `(x, y)` from its center."""


def paint_shape(
    canvas: NDArray[np.uint8],
    rows: NDArray[np.intp],
    shape: str,
    center: tuple[NDArray[np.float64], NDArray[np.float64]],
    radius: NDArray[np.float64],
    color: NDArray[np.float64],
    halo: NDArray[np.float64],
    aspect: float,
    largest: float | None = None,
) -> None:
    """Paint one shape on some frames, in place.

    Each array has one value for each frame, or a single one for all of them (shape `(1,)`): what stands still is
    computed once.

    Args:
        canvas: uint8, shape `(n, height, width, 3)`.
        rows: Indices of the frames, ascending, shape `(m,)`.
        shape: A name of `SHAPES`.
        center: x and y of its center in each frame, shape `(m,)` or `(1,)` each, in units of the picture's height.
        radius: Its radius in each frame, same units, shape `(m,)` or `(1,)`.
        color: RGB 0..255, shape `(m, 3)` or `(3,)`.
        halo: Around the shape, shape `(m,)` or `(1,)`: > 0 adds that share of its color, < 0 darkens by that share.
        aspect: Width of the picture in units of its height.
        largest: Greatest radius that the shape has in any frame, if its radius changes. The halo ends at 1.5 times this
            radius, so that a frame looks the same whichever others are painted with it.
    """
    if len(rows) == 0:
        return
    height, width = canvas.shape[1:3]
    cx, cy = center
    across = width / aspect
    reach = radius if largest is None else np.array([largest])
    left, right = _extent(cx, reach, 1.0 / height, across, width)
    top, bottom = _extent(cy, reach, 1.0 / height, height, height)
    if left >= right or top >= bottom:
        return

    x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5)) * np.float32(aspect / width)
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5)) * np.float32(1.0 / height)
    size = _column(radius)
    u = (x[None, None, :] - _column(cx)) / size
    v = (y[None, :, None] - _column(cy)) / size
    edge = SHAPES[shape](u, v)
    inside = (np.float32(0.5) - edge * (size * np.float32(height))).clip(0.0, 1.0)
    # Lit from the upper left: at most a tenth darker on the far side, so that the color stays recognizable.
    light = (np.float32(0.97) - (u + v) * np.float32(0.05)).clip(0.86, 1.0)

    place = as_slice(rows), slice(top, bottom), slice(left, right)
    # One plane for each channel, as arrays of three numbers are slow to work on.
    patch = canvas[place].transpose(3, 0, 1, 2).astype(np.float32, order="C")
    full = color.astype(np.float32).reshape(-1, 3).T[..., None, None]
    darkest, brightest = _least_and_most(halo)
    if darkest or brightest:
        around = (np.float32(1) - edge * np.float32(2.2)).clip(0.0, 1.0)
        around *= 1 - inside
        around *= around
        if darkest < 0:
            patch *= 1 - around * _column(np.maximum(-halo, 0.0))
        if brightest > 0:
            patch += around * _column(np.maximum(halo, 0.0)) * full
    lit = light * full - patch
    lit *= inside
    patch += lit
    patch.clip(0.0, 255.0, out=patch)
    patch += np.float32(0.5)
    canvas[place] = patch.astype(np.uint8).transpose(1, 2, 3, 0)


def _column(values: NDArray[np.float64]) -> Floats | np.float32:
    """One value for each frame, to work on planes; a single value as a scalar, which is faster."""
    return np.float32(values[0]) if len(values) == 1 else values.astype(np.float32)[:, None, None]


def _least_and_most(values: NDArray[np.float64]) -> tuple[float, float]:
    return (float(values[0]),) * 2 if len(values) == 1 else (float(values.min()), float(values.max()))


def _extent(
    center: NDArray[np.float64], radius: NDArray[np.float64], rim: float, scale: float, most: int
) -> tuple[int, int]:
    """First pixel that shapes and their halos may reach, and the first after them, within `[0, most]`."""
    if len(center) == len(radius) == 1:
        place, reach = float(center[0]), float(radius[0]) * 1.5 + rim
        low, high = place - reach, place + reach
    else:
        around = radius * 1.5 + rim
        low, high = float((center - around).min()), float((center + around).max())
    return max(0, math.floor(low * scale)), min(most, math.ceil(high * scale) + 1)


def as_slice(rows: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Ascending indices as a slice if they are successive: faster to read and to write."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first == len(rows) - 1 else rows
