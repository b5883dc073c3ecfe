"""Reading of record files that may still be written, or be damaged: every good line counts, every bad one is named."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vzgym.core.errors import RecordError
from vzgym.core.files import parse_json
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import RECORDS

__all__ = ["FollowedLines", "Line", "find_record_files", "read_line"]

_ROLLOUTS, _REJECTED = "rollouts.jsonl", "rejected.jsonl"
_PARTS: Final = ("parts/*.records.jsonl", "parts/*.rejected.jsonl")
_LONGEST_LINE: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """The place of a line in a file.

    Attributes:
        path: The file.
        number: The line number, from 1.
        offset: Position of its first byte.
        length: Number of bytes, without the line end.
    """

    path: Path
    number: int
    offset: int
    length: int

    @property
    def where(self) -> str:
        """File and line number, for messages."""
        return f"{self.path}, line {self.number}"


def find_record_files(path: Path) -> dict[Path, list[Path]]:
    """Find the record files of each run at a path.

    A run's folder holds `records.jsonl` (evaluation, collection), `rejected.jsonl` (rejected trajectories of a
    collection) or `rollouts.jsonl` (GRPO). While a collection is being made, its finished parts count.

    Args:
        path: A run's folder, a folder of runs, or a file of records.

    Returns:
        The files by the run's folder (for a single file: by the file itself), sorted.
    """
    if not path.is_dir():
        return {path: [path]} if path.is_file() else {}
    found: dict[Path, list[Path]] = {}
    for name in (RECORDS, _REJECTED, _ROLLOUTS):
        for file in path.rglob(name):
            found.setdefault(file.parent, []).append(file)
    # The parts of a collection are joined into `records.jsonl` at its end.
    for pattern in _PARTS:
        for file in path.rglob(pattern):
            folder = file.parent.parent
            if not (folder / RECORDS).is_file():
                found.setdefault(folder, []).append(file)
    return {folder: sorted(found[folder]) for folder in sorted(found)}


class FollowedLines:
    """The lines of a JSON-lines file, each once, as they are completed.

    Args:
        path: The file.

    Attributes:
        path: As given.
        restarted: Whether the file was replaced or has become shorter, so that earlier lines no longer hold. It is
            then read from its start again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarted = False
        self._offset = 0
        self._number = 0
        self._identity: tuple[int, int] | None = None

    def read(self) -> Iterator[tuple[Line, bytes]]:
        """Lines that were completed since the last call, without blank ones.

        Raises:
            OSError: If the file cannot be read.
        """
        with self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            identity = (status.st_dev, status.st_ino)
            self.restarted = self._identity is not None and (
                identity != self._identity or status.st_size < self._offset
            )
            if self.restarted:
                self._offset = self._number = 0
            self._identity = identity
            file.seek(self._offset)
            for data in file:
                if not data.endswith(b"\n"):
                    return
                line = self._line(len(data) - 1)
                self._offset += len(data)
                self._number += 1
                if data.strip():
                    yield line, data[:-1]

    def rest(self) -> tuple[Line, bytes] | None:
        """What follows the last line end: an unfinished line, or a last line without a line end.

        Raises:
            OSError: If the file cannot be read.
        """
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        return (self._line(len(data)), data) if data.strip() else None

    def _line(self, length: int) -> Line:
        return Line(self.path, self._number + 1, self._offset, length)


def read_line(line: Line, data: bytes | None = None) -> EpisodeRecord:
    """Read a record.

    Args:
        line: Its place.
        data: Its bytes, if they are known; else they are read from the file.

    Raises:
        RecordError: If it is not a record; names file and line.
    """
    if data is None:
        try:
            with line.path.open("rb") as file:
                file.seek(line.offset)
                data = file.read(line.length)
        except OSError as error:
            raise RecordError(f"{line.where}: cannot be read: {error.strerror or error}") from error
    if len(data) > _LONGEST_LINE:
        raise RecordError(f"{line.where}: the line has {len(data)} bytes; a record has at most {_LONGEST_LINE}")
    value: Any = parse_json(data.removeprefix(codecs.BOM_UTF8), line.where)
    try:
        return EpisodeRecord.from_json(value)
    except RecordError as error:
        raise RecordError(f"{line.where}: {error}") from error
