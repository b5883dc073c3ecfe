"""A run on disk: its settings, and one record a line, so that a stopped run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.episode.record import EpisodeRecord

__all__ = ["RunFolder", "read_records"]

RECORDS, SETTINGS, REPORT = "records.jsonl", "run.json", "report.json"


def read_records(path: str | Path) -> Iterator[EpisodeRecord]:
    """The records of a run.

    Args:
        path: A run's folder, or a JSONL file of records.

    Raises:
        RecordError: If there is no such file, or a line is no record; names file and line.
    """
    file = Path(path)
    if file.is_dir():
        file = file / RECORDS
    if not file.is_file():
        raise RecordError(f"{file}: no such file of episode records")
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            yield EpisodeRecord.from_line(line, where=f"{file}:{number}")


class RunFolder:
    """A folder that a run writes into, and goes on from.

    Args:
        path: The folder; made if missing.
        settings: What the run is made of, JSON values.

    Raises:
        InvalidSetting: If the folder holds a run with other settings; the message names the first that differs.
        RecordError: If its records are broken (a torn last line is not: it is dropped and played again).
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._keep_settings(settings)
        self.dropped = self._drop_torn_line()
        self.finished = {int(record.info["index"]): record for record in self._records()}
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
        (self.path / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _keep_settings(self, settings: Mapping[str, Any]) -> None:
        file = self.path / SETTINGS
        wanted = json.loads(json.dumps(settings))
        if not file.exists():
            file.write_text(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            return
        there = json.loads(file.read_text(encoding="utf-8"))
        for key in {**there, **wanted}:
            # More episodes of the same run are a continuation, not another run.
            if key != "episodes" and there.get(key) != wanted.get(key):
                raise InvalidSetting(
                    f"{self.path} holds another run: its {key} is {there.get(key)!r}, not {wanted.get(key)!r}; "
                    "choose another folder, or delete this one"
                )
        file.write_text(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

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

    def _records(self) -> Iterator[EpisodeRecord]:
        return read_records(self.path) if (self.path / RECORDS).exists() else iter(())
