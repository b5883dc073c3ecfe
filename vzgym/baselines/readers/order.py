"""The reader of the order family: which colours light up, in the order of their times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, PictureReader, Reading
from vzgym.baselines.readers.look import bright_colors
from vzgym.tasks.procedural.families.order import in_words
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["OrderReader"]

_LEAST_AREA = 0.004


class OrderReader(PictureReader):
    """Lists the colours that light up in the scene asked about, and looks for an option that agrees."""

    family: ClassVar[str] = "order"

    def read_picture(
        self, shown: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `PictureReader`. Of n options that agree with what was seen the first, with confidence 1 / n."""
        area = bright_colors(shown)
        area[~self.in_place(question, shown)] = 0.0
        seen: list[str] = []
        for index in np.argsort(times, kind="stable"):
            color = tuple(EVENT_COLORS)[int(area[index].argmax())]
            if area[index].max() >= _LEAST_AREA and color not in seen:
                seen.append(color)
        if not seen:
            return Reading(None, 0.0)
        if not options:
            return Reading(in_words(seen), 0.5)
        agreeing = [option for option in options if _agrees(seen, option.lower().split(", then "))]
        return Reading(agreeing[0], 1.0 / len(agreeing)) if agreeing else Reading(None, 0.0)


def _agrees(seen: Sequence[str], order: Sequence[str]) -> bool:
    """Whether what was seen is the order, or what is left of it where some were missed."""
    return [color for color in order if color in seen] == list(seen)


READERS.register(OrderReader.family, OrderReader)
