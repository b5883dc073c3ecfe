"""A run on disk: its settings, and one record a line, so that a run that was stopped goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vzgym.core.differences import first_difference
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.files import JsonLinesWriter, folder_lock, is_file, read_json, read_json_lines, write_json
from vzgym.episode.record import EpisodeRecord

__all__ = ["RECORDS", "RunFolder", "count_records", "read_records", "record_files"]

RECORDS, SETTINGS, REPORT = "records.jsonl", "run.json", "report.json"


def read_records(path: str | Path) -> Iterator[EpisodeRecord]:
    """The records of a run.

    Args:
        path: A run's folder, or a JSON-lines file of records.

    Raises:
        RecordError: If there is no such file, a line is no record, or an episode of a run is there twice; names file
            and line.
    """
    for _, record in _numbered(path):
        yield record


def record_files(path: str | Path) -> list[Path]:
    """The files of records at a path.

    Args:
        path: A run's folder, a folder of runs, or a file of records.

    Raises:
        RecordError: If there are none.
    """
    place = Path(path)
    found = sorted(place.glob(f"**/{RECORDS}")) if place.is_dir() else [place]
    if not found:
        raise RecordError(f"{place}: no {RECORDS} in this folder")
    return found


def _numbered(path: str | Path) -> Iterator[tuple[int, EpisodeRecord]]:
    """The records with the numbers of their lines."""
    file = Path(path)
    if file.is_dir():
        file = file / RECORDS
    if not is_file(file):
        raise RecordError(f"{file}: no such file of episode records")
    lines: dict[tuple[object, ...], int] = {}
    for number, data in read_json_lines(file):
        try:
            record = EpisodeRecord.from_json(data)
        except RecordError as error:
            raise RecordError(f"{file}, line {number}: {error}") from error
        info = record.info
        if info.index is not None:
            # One file may hold several runs.
            episode = (info.policy, info.seed, record.task.id, info.index, info.sample, info.kind, str(info.reward))
            if episode in lines:
                raise RecordError(
                    f"{file}, line {number}: episode {info.index} of the run is in line {lines[episode]}, too, and "
                    "would count twice: delete one of the lines, or play the run again"
                )
            lines[episode] = number
        yield number, record


def count_records(path: str | Path) -> int:
    """How many finished episodes a run's folder holds; 0 if there is none."""
    file = Path(path) / RECORDS
    return file.read_bytes().count(b"\n") if file.is_file() else 0


class RunFolder:
    """A folder that a run writes into, and goes on from. One process at a time can hold it.

    Args:
        path: The folder; made if missing.
        settings: What the run is made of, JSON values.

    Attributes:
        path: As given.
        finished: The records that were there already, by their index.
        dropped: Whether an unfinished last line was dropped.

    Raises:
        InvalidSetting: If the folder cannot be made, or holds a run with other settings; the message names the first
            that differs.
        FolderInUse: If another process writes into it.
        RecordError: If what it holds is broken. An unfinished last line is not: it is dropped, and played again.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        with ExitStack() as stack:
            try:
                stack.enter_context(folder_lock(self.path))
            except OSError as error:
                raise InvalidSetting(f"{self.path} cannot be a run's folder: {error.strerror or error}") from error
            # Before anything is changed: the folder may be another run's.
            self._keep_settings(settings)
            self._records = stack.enter_context(JsonLinesWriter(self.path / RECORDS))
            self.dropped = self._records.dropped
            self.finished = dict(self._finished())
            self._held = stack.pop_all()

    def add(self, record: EpisodeRecord) -> None:
        """Write a finished episode; it is on its way to the disk when this returns."""
        self._records.write_line(record.to_line())

    def close(self) -> None:
        """Close the file of records and let go of the folder."""
        self._held.close()

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Write the run's summary beside its records."""
        write_json(self.path / REPORT, report)

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
        write_json(self.path / SETTINGS, wanted)

    def _read_settings(self) -> dict[str, Any]:
        file = self.path / SETTINGS
        if not file.is_file():
            raise InvalidSetting(
                f"{self.path} holds records of an unknown run (it has no {SETTINGS}); choose another folder"
            )
        found = read_json(file)
        if not isinstance(found, dict):
            raise RecordError(f"{file}: not a run's settings, but {found!r}")
        return found

    def _finished(self) -> Iterator[tuple[int, EpisodeRecord]]:
        for number, record in _numbered(self.path):
            if record.info.index is None:
                raise RecordError(
                    f"{self.path / RECORDS}, line {number}: the record does not say which episode of its run it is "
                    "(info 'index')"
                )
            yield record.info.index, record
