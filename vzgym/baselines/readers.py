"""The frame readers of the baselines: a family's own, selected by the question, or a custom one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import Registry
from vzgym.tasks.procedural.families import FAMILIES
from vzgym.tasks.procedural.family import Family, family_of_question
from vzgym.tasks.procedural.reader import NO_READING, FrameReader, Reading

__all__ = ["READERS", "AutoReader", "FrameReader", "OneFamilyReader", "ReaderSpec", "Reading", "make_reader"]

_log = logging.getLogger("vzgym.baselines")

ReaderSpec: TypeAlias = FrameReader | str | Mapping[str, Any]
"""A frame reader: an object, a registered or a family's name, `"module:Class"`, or a mapping `{"name": ..., ...}`."""


class AutoReader:
    """Reads frames with the reader of the family that asks such questions (a `FrameReader`).

    Questions of no family, or of a family without a reader, are not answered; a warning names such a family once.
    """

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`."""
        family = family_of_question(question)
        if family is None:
            return NO_READING
        if family.reader is None:
            if family.name not in self._warned:
                self._warned.add(family.name)
                _log.warning("family %r has no reader: its questions are left unanswered", family.name)
            return NO_READING
        return family.read(frames, times, question, options)


class OneFamilyReader:
    """Reads all frames as those of one family, whatever the question (a `FrameReader`).

    Args:
        family: The family's name.

    Raises:
        UnknownName: If there is no such family.
        InvalidSetting: If it has no reader.
    """

    def __init__(self, family: str) -> None:
        found = FAMILIES.get(family)
        if not (isinstance(found, type) and issubclass(found, Family)) or found.reader is None:
            raise InvalidSetting(f"family {family!r} has no reader")
        self.family = found

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """See `FrameReader.read`."""
        return self.family.read(frames, times, question, options)


class _Readers(Registry[FrameReader]):
    """Readers by name, including each family's reader by the name of the family."""

    def names(self) -> list[str]:
        return sorted({*super().names(), *FAMILIES.names()})

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in FAMILIES

    def get(self, name: str) -> Callable[..., FrameReader]:
        own = super().__contains__(name)
        return partial(OneFamilyReader, name) if not own and name in FAMILIES else super().get(name)


READERS: Registry[FrameReader] = _Readers("frame reader", "vzgym.readers")
"""Frame readers by name: "auto", those of plug-ins for videos of their own, and each family's by the family's name."""
READERS.register("auto", AutoReader)


def make_reader(spec: ReaderSpec | None = None) -> FrameReader:
    """The frame reader for a spec; the procedural families' own if it is None.

    Raises:
        UnknownName: If no such name is registered.
        PluginError: If it cannot be imported.
        InvalidSetting: If it is not a frame reader, or has no such option.
    """
    reader = READERS.make("auto" if spec is None else spec)
    # Passing a class instead of an object is a common mistake.
    if isinstance(reader, type) or not isinstance(reader, FrameReader):
        given = f"the class {reader.__name__}" if isinstance(reader, type) else repr(reader)
        raise InvalidSetting(
            "a frame reader is a name, 'module:Class', a mapping with 'name', or an object with "
            f"read(frames, times, question, options); got {given}"
        )
    return reader
