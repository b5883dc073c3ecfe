"""A run on disk: its settings, and one record a line, so that a stopped run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vzgym.core.differences import first_difference
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.episode.record import EpisodeRecord

__all__ = ["RunFolder", "count_records", "read_records"]

RECORDS, SETTINGS, REPORT = "records.jsonl", "run.json", "report.json"


def read_records(path: str | Path) -> Iterator[EpisodeRecord]:
    """The records of a run.

    Args:
        path: A run's folder, or a JSONL file of records.

    Raises:
        RecordError: If there is no such file, it is no text, or a line is no record; names file and line.
    """
    file = Path(path)
    if file.is_dir():
        file = file / RECORDS
    if not file.is_file():
        raise RecordError(f"{file}: no such file of episode records")
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{file}:{number}"
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise RecordError(f"{where}: not UTF-8 text: {error.reason} at byte {error.start}") from error
            yield EpisodeRecord.from_line(text, where=where)


def count_records(path: str | Path) -> int:
    """How many finished episodes a run's folder holds; 0 if there is none."""
    file = Path(path) / RECORDS
    return file.read_bytes().count(b"\n") if file.is_file() else 0


class RunFolder:
    """A folder that a run writes into, and goes on from.

    Args:
        path: The folder; made if missing.
        settings: What the run is made of, JSON values.

    Attributes:
        path: As given.
        finished: The records that were there already, by the index of their task.
        dropped: Whether an unfinished last line was cut off.

    Raises:
        InvalidSetting: If the folder cannot be made, or holds a run with other settings; the message names the first
            that differs.
        RecordError: If what it holds is broken (a torn last line is not: it is dropped and played again).
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidSetting(f"{self.path} cannot be a run's folder: {error.strerror or error}") from error
        # Before anything is touched: the folder may be another run's.
        self._keep_settings(settings)
        self.dropped = self._drop_torn_line()
        self.finished = dict(self._records())
        self._file = (self.path / RECORDS).open("a", encoding="utf-8")

    def add(self, record: EpisodeRecord) -> None:
        """Write a finished episode; it is on its way to the disk when this returns."""
        self._file.write(record.to_line() + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file of records."""
        self._file.close()

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Write the run's summary beside its records."""
        self._write(REPORT, report)

    def _keep_settings(self, settings: Mapping[str, Any]) -> None:
        """Compare with the settings of the run that is there, if one has finished an episode; write them."""
        wanted = json.loads(json.dumps(settings))
        if count_records(self.path):
            # More episodes of the same run are a continuation, not another run.
            other = first_difference(self._read_settings(), wanted, free=("episodes",))
            if other is not None:
                key, before, now = other
                raise InvalidSetting(
                    f"{self.path} holds another run: its {key} is {before!r}, not {now!r}; "
                    "choose another folder, or delete this one"
                )
        self._write(SETTINGS, wanted)

    def _read_settings(self) -> dict[str, Any]:
        file = self.path / SETTINGS
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InvalidSetting(
                f"{self.path} holds records of an unknown run (it has no {SETTINGS}); choose another folder"
            ) from None
        except ValueError as error:
            raise RecordError(f"{file}: not JSON: {error}") from error
        if not isinstance(found, dict):
            raise RecordError(f"{file}: not a run's settings, but {found!r}")
        return found

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON file at once: a process that is killed leaves the old one or the new one."""
        part = self.path / f"{name}.part"
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(self.path / name)

    def _drop_torn_line(self) -> bool:
        """Cut off a last line that a killed process left unfinished; says whether there was one."""
        file = self.path / RECORDS
        if not file.exists():
            return False
        data = file.read_bytes()
        keep = data.rfind(b"\n") + 1
        if keep == len(data):
            return False
        with file.open("r+b") as handle:
            handle.truncate(keep)
        return True

    def _records(self) -> Iterator[tuple[int, EpisodeRecord]]:
        file = self.path / RECORDS
        if not file.exists():
            return
        for number, record in enumerate(read_records(file), start=1):
            index = record.info.index
            if index is None:
                raise RecordError(f"{file}:{number}: the record does not say which task of its run it is of (index)")
            yield index, record
