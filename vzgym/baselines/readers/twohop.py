"""The reader of the two-hop family: the card's hue first, then the colour that flashes in the scene of that hue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.color import vote
from vzgym.baselines.readers.look import bright_colors, bright_labels, nearest_hue, scene_hues
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["TwoHopReader", "find_card"]

_LEAST_AREA = 0.008
_WHITE = tuple(EVENT_COLORS).index("white")


def find_card(shown: NDArray[np.uint8]) -> list[str | None]:
    """The hue on the card of each frame; None where there is no card.

    Args:
        shown: uint8, shape `(n, height, width, 3)`, without bars.
    """
    found: list[str | None] = []
    for frame, labels in zip(shown, bright_labels(shown), strict=True):
        rows, columns = np.nonzero(labels == _WHITE)
        if len(rows) < _LEAST_AREA * labels.size:
            found.append(None)
            continue
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        down, across = max(1, round(0.15 * (bottom - top))), max(1, round(0.15 * (right - left)))
        y, x = (top + bottom) // 2, (left + right) // 2
        spot = frame[y - down : y + down, x - across : x + across]
        found.append(nearest_hue(spot) if spot.size else None)
    return found


class TwoHopReader(PictureReader):
    """Without the card it reads nothing: every scene has a flash."""

    family: ClassVar[str] = "twohop"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`. The confidence is the winner's share of the colours seen in the second scene."""
        place = self.in_place(question, shown)
        goals = [hue for hue, here in zip(find_card(shown), place, strict=True) if here and hue is not None]
        if not goals:
            return Reading(None, 0.0)
        goal = max(sorted(set(goals)), key=goals.count)
        there = np.array([hue == goal for hue in scene_hues(shown)], dtype=np.bool_)
        area = bright_colors(shown)[there]
        area[:, _WHITE] = 0.0
        return vote(area, options)


READERS.register(TwoHopReader.family, TwoHopReader)
