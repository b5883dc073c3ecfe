"""Large simple shapes with smooth edges, painted on frames. Exact arithmetic only (see `scenery`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPES", "paint_shape"]

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
"""Signed distance to the edge, negative inside, in units of the shape's radius, at `(x, y)` from its centre."""


def paint_shape(
    canvas: NDArray[np.uint8],
    rows: NDArray[np.intp],
    shape: str,
    center: tuple[NDArray[np.float64], NDArray[np.float64]],
    radius: NDArray[np.float64],
    color: NDArray[np.float64],
    halo: NDArray[np.float64],
    aspect: float,
) -> None:
    """Paint one shape on some frames, in place.

    Args:
        canvas: uint8, shape `(n, height, width, 3)`.
        rows: Indices of the frames, shape `(m,)`.
        shape: A name of `SHAPES`.
        center: x and y of its centre in each frame, shape `(m,)` each, in units of the picture's height.
        radius: Its radius in each frame, same units, shape `(m,)`.
        color: RGB 0..255, shape `(m, 3)` or `(3,)`.
        halo: Around the shape, shape `(m,)`: > 0 adds that share of its colour, < 0 darkens by that share.
        aspect: Width of the picture in units of its height.
    """
    if len(rows) == 0:
        return
    height, width = canvas.shape[1:3]
    cx, cy = center
    reach = radius * 1.5 + 1.0 / height
    across = width / aspect
    left = max(0, int(np.floor((cx - reach).min() * across)))
    right = min(width, int(np.ceil((cx + reach).max() * across)) + 1)
    top = max(0, int(np.floor((cy - reach).min() * height)))
    bottom = min(height, int(np.ceil((cy + reach).max() * height)) + 1)
    if left >= right or top >= bottom:
        return

    def column(values: NDArray[np.float64]) -> Floats:
        return values.astype(np.float32)[:, None, None]

    x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5)) * np.float32(aspect / width)
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5)) * np.float32(1.0 / height)
    size = column(radius)
    u = (x[None, None, :] - column(cx)) / size
    v = (y[None, :, None] - column(cy)) / size
    edge = SHAPES[shape](u, v)
    inside = np.clip(np.float32(0.5) - edge * (size * np.float32(height)), 0.0, 1.0)
    # Lit from the upper left: at most a tenth darker on the far side, so that the colour stays recognisable.
    light = np.clip(np.float32(0.97) - (u + v) * np.float32(0.05), 0.86, 1.0)

    full = np.broadcast_to(np.asarray(color, dtype=np.float32), (len(rows), 3))
    patch = canvas[rows, top:bottom, left:right].astype(np.float32)
    if halo.any():
        around = np.clip(np.float32(1) - edge * np.float32(2.2), 0.0, 1.0) * (1 - inside)
        around *= around
        glow, shade = column(np.maximum(halo, 0.0)), column(np.maximum(-halo, 0.0))
        for channel in range(3):
            plane = patch[..., channel]
            plane *= 1 - around * shade
            plane += around * glow * full[:, channel, None, None]
    for channel in range(3):
        plane = patch[..., channel]
        plane += inside * (light * full[:, channel, None, None] - plane)
    np.clip(patch, 0.0, 255.0, out=patch)
    patch += np.float32(0.5)
    canvas[rows, top:bottom, left:right] = patch.astype(np.uint8)
