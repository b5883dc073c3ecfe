"""The reader that picks the right reader by the question's wording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers.base import READERS, FamilyReader, FrameReader, Reading
from vzgym.core.errors import InvalidSetting

__all__ = ["AutoReader", "ReaderSpec", "make_reader"]

ReaderSpec: TypeAlias = FrameReader | str | Mapping[str, Any]
"""A frame reader: an object, a registered name, `"module:Class"`, or a mapping `{"name": ..., **options}`."""

_AUTO = "auto"


class AutoReader:
    """Reads frames of any family that has a reader (a `FrameReader`). Questions of no family are left unanswered."""

    def __init__(self) -> None:
        # A plug-in's reader of no family cannot say which questions are its own: it is picked by name alone.
        made = READERS.make_all(but=(_AUTO,)).values()
        self._readers = [reader for reader in made if isinstance(reader, FamilyReader)]

    def reader_for(self, question: str) -> FamilyReader | None:
        """The reader whose family asks such questions."""
        return next((reader for reader in self._readers if reader.matches(question)), None)

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`."""
        reader = self.reader_for(question)
        return Reading(None, 0.0) if reader is None else reader.read(frames, times, question, options)


READERS.register(_AUTO, AutoReader)


def make_reader(spec: ReaderSpec | None = None) -> FrameReader:
    """The frame reader that `spec` means; the procedural families' own if it is None.

    Raises:
        UnknownName: If no such name is registered.
        PluginError: If it cannot be imported.
        InvalidSetting: If it is no frame reader, or has no such option.
    """
    reader = READERS.make(_AUTO if spec is None else spec)
    # A class in place of its object is the usual slip.
    if isinstance(reader, type) or not isinstance(reader, FrameReader):
        given = f"the class {reader.__name__}" if isinstance(reader, type) else repr(reader)
        raise InvalidSetting(
            "a frame reader is a name, 'module:Class', a mapping with 'name', or an object with "
            f"read(frames, times, question, options); got {given}"
        )
    return reader
