"""The colors of procedural videos. Frame readers detect them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting

__all__ = [
    "BALL",
    "EVENT_COLORS",
    "INK_CONTRAST",
    "LAMP_IDLE",
    "LAMP_LIT",
    "LAMP_OFF",
    "LAMP_RING",
    "PAPER",
    "PLATE",
    "SCENE_HUES",
    "WHITE",
    "scene_lut",
]

SCENE_HUES: dict[str, tuple[int, int, int]] = {
    "red": (152, 30, 34),
    "green": (40, 122, 48),
    "blue": (36, 62, 158),
    "yellow": (154, 142, 26),
    "purple": (98, 40, 146),
    "teal": (22, 132, 132),
    "orange": (160, 82, 18),
    "pink": (160, 72, 116),
    "grey": (112, 114, 118),
}
"""Names of scenes and their middle tone, RGB. The first n are maximally distinct."""

EVENT_COLORS: dict[str, tuple[int, int, int]] = {
    "red": (255, 44, 40),
    "green": (48, 232, 76),
    "blue": (52, 120, 255),
    "yellow": (255, 226, 36),
    "pink": (255, 84, 214),
    "white": (250, 250, 252),
    "cyan": (40, 236, 240),
    "orange": (255, 138, 28),
}
"""Colors of events by name, RGB: bright, while scenes are dim."""

LAMP_IDLE = (66, 66, 72)
LAMP_OFF = (38, 38, 44)
LAMP_RING = (255, 160, 48)
LAMP_LIT = (255, 246, 206)
WHITE = EVENT_COLORS["white"]
BALL = (250, 250, 250)
PLATE = (255, 160, 48)
PAPER = (146, 146, 150)
INK_CONTRAST = 104.0

# No scene pixel is brighter than this in any channel; events are. Readers rely on the difference.
_SCENE_CEILING = 172


@cache
def scene_lut(hue: str) -> NDArray[np.uint8]:
    """The tones of a scene, from its darkest (0) to its lightest (255): uint8, shape `(256, 3)`, read-only.

    Raises:
        InvalidSetting: If there is no such hue.
    """
    if hue not in SCENE_HUES:
        raise InvalidSetting(f"no scene hue {hue!r}; valid: {', '.join(SCENE_HUES)}")
    middle = np.array(SCENE_HUES[hue], dtype=np.float64)
    light = np.minimum(middle * 1.02 + 16.0, _SCENE_CEILING)
    tones = np.stack([middle * 0.30, middle * 0.78, middle, light])
    place = np.linspace(0.0, 1.0, 256)
    table = np.stack([np.interp(place, (0.0, 0.45, 0.75, 1.0), tones[:, c]) for c in range(3)], axis=1)
    lut: NDArray[np.uint8] = np.rint(table).astype(np.uint8)
    lut.setflags(write=False)
    return lut
