"""What marks a frame of an event, family by family, so that a viewer notices it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.anomaly import find_oddities
from vzgym.baselines.readers.decoy import find_discs
from vzgym.baselines.readers.look import bright_colors, near
from vzgym.baselines.readers.twohop import find_card
from vzgym.tasks.procedural.render.palette import BALL, LAMP_LIT, LAMP_RING

__all__ = ["MARKS", "bright", "nothing"]

_LEAST_AREA = 0.004


def bright(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Frames with a bright colour."""
    return np.asarray((bright_colors(frames) >= _LEAST_AREA).any(axis=1), dtype=np.bool_)


def _lamp(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(near(frames, LAMP_RING, 52) + near(frames, LAMP_LIT, 52) >= _LEAST_AREA, dtype=np.bool_)


def nothing(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """None of the frames."""
    return np.zeros(len(frames), dtype=bool)


def _ball(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(near(frames, BALL, 48) >= 0.0015, dtype=np.bool_)


def _odd(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.array([oddity is not None for oddity in find_oddities(frames)], dtype=np.bool_)


def _card(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.array([hue is not None for hue in find_card(frames)], dtype=np.bool_)


def _full(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((find_discs(frames) > 0).any(axis=1), dtype=np.bool_)


MARKS: Final[dict[str, Callable[[NDArray[np.uint8]], NDArray[np.bool_]]]] = {
    "needle": bright,
    "count": _lamp,
    "order": bright,
    "state": _ball,
    "anomaly": _odd,
    "direction": bright,
    "speed": bright,
    "twohop": _card,
    "decoy": _full,
}
"""By family, which of these frames show the event: uint8 `(n, height, width, 3)` to bool `(n,)`."""
