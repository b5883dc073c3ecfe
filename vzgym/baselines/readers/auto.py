"""The reader that picks the right reader by the question's wording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, FamilyReader, Reading

__all__ = ["AutoReader"]


class AutoReader:
    """Reads frames of any family that has a reader (a `FrameReader`). Questions of no family are left unanswered."""

    def __init__(self) -> None:
        self._readers = list(READERS.make_all().values())

    def reader_for(self, question: str) -> FamilyReader | None:
        """The reader whose family asks such questions."""
        return next((reader for reader in self._readers if reader.matches(question)), None)

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`."""
        reader = self.reader_for(question)
        return Reading(None, 0.0) if reader is None else reader.read(frames, times, question, options)
