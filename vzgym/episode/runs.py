"""Runs on disk: settings and one record per line, so that interrupted runs can resume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vzgym.core.differences import first_difference
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.files import (
    JsonLinesWriter,
    folder_lock,
    is_file,
    lacks_only_its_end,
    read_json,
    read_json_lines,
    write_json,
)
from vzgym.episode.record import EpisodeRecord

__all__ = ["RECORDS", "VIEW", "RunFolder", "count_records", "read_records", "record_files", "without_views"]

RECORDS, SETTINGS, REPORT = "records.jsonl", "run.json", "report.json"
VIEW = "view.json"
"""Marks the folder of a page that `vzgym view` wrote."""


def read_records(path: str | Path) -> Iterator[EpisodeRecord]:
    """Read the records of a run.

    Args:
        path: A run's folder, or a JSON-lines file of records.

    Raises:
        RecordError: If there is no such file, a line is not a record, or an episode of a run is duplicated; names file
            and line.
    """
    for _, record in _numbered(path):
        yield record


def record_files(path: str | Path) -> list[Path]:
    """Find the record files at a path.

    Args:
        path: A run's folder, a folder of runs, or a file of records.

    Raises:
        RecordError: If there are no record files.
    """
    place = Path(path)
    found = sorted(place.glob(f"**/{RECORDS}")) if place.is_dir() else [place]
    if not found:
        raise RecordError(f"{place}: no {RECORDS} in this folder")
    return found


def without_views(paths: Sequence[Path]) -> list[Path]:
    """Leave out the folders of pages, which a pattern such as `runs/*` finds beside the runs, unless all are pages."""
    return [path for path in paths if not (path / VIEW).is_file()] or list(paths)


def _numbered(path: str | Path) -> Iterator[tuple[int, EpisodeRecord]]:
    """Read records with their line numbers."""
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
                    f"{file}, line {number}: episode {info.index} of the run is also in line {lines[episode]}: "
                    "delete one of the lines, or repeat the run"
                )
            lines[episode] = number
        yield number, record


def count_records(path: str | Path) -> int:
    """Number of finished episodes in a run's folder or a file of records; 0 without a file."""
    file = Path(path)
    file = file if file.is_file() else file / RECORDS
    data = file.read_bytes() if file.is_file() else b""
    return data.count(b"\n") + lacks_only_its_end(data[data.rfind(b"\n") + 1 :])


class RunFolder:
    """Output folder of a run, from which it can resume. Locked by one process at a time.

    Args:
        path: The folder; created if missing.
        settings: Settings of the run as JSON values.

    Attributes:
        path: As given.
        finished: Existing records by index.
        dropped: Whether an unfinished last line was dropped.

    Raises:
        InvalidSetting: If the folder cannot be created, or holds a run with other settings; the message names the first
            difference.
        FolderInUse: If another process uses the folder.
        RecordError: If its content is invalid. An unfinished last line is dropped and its episode repeated.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        with ExitStack() as stack:
            try:
                stack.enter_context(folder_lock(self.path))
            except OSError as error:
                raise InvalidSetting(f"{self.path} cannot be a run's folder: {error.strerror or error}") from error
            # Checked before any change, since the folder may belong to another run.
            self._keep_settings(settings)
            self._records = stack.enter_context(JsonLinesWriter(self.path / RECORDS))
            self.dropped = self._records.dropped
            self.finished = dict(self._finished())
            self._held = stack.pop_all()

    def add(self, record: EpisodeRecord) -> None:
        """Append a finished episode and flush it."""
        self._records.write_line(record.to_line())

    def close(self) -> None:
        """Close the file of records and release the folder."""
        self._held.close()

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Write the run's summary beside its records."""
        write_json(self.path / REPORT, report)

    def _keep_settings(self, settings: Mapping[str, Any]) -> None:
        """Compare with the settings of an existing run with finished episodes, if any; write the settings."""
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
                    f"{self.path / RECORDS}, line {number}: the record lacks the index of its episode (info 'index')"
                )
            yield record.info.index, record
