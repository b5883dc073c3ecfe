"""Rows of datasets in JSON, JSON lines, CSV, TSV and parquet files, and the paths in them."""

from __future__ import annotations

import csv
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vzgym.core.errors import DependencyNotInstalled, TaskError, VideoError
from vzgym.core.files import is_file, read_json, read_json_lines

__all__ = ["UnusedColumns", "find_file", "read_rows", "unused_columns", "warn_of_unused"]


class UnusedColumns(UserWarning):
    """Rows of a dataset have columns that are not used."""


def warn_of_unused(path: str | Path, unused: Counter[str], used: Collection[str]) -> None:
    """Warn of columns that no reader uses, with the number of rows that have a value there.

    Args:
        path: The file.
        unused: Number of rows by column.
        used: The columns that are used.
    """
    if unused:
        found = ", ".join(f"{name!r} in {count} row{'s' if count > 1 else ''}" for name, count in unused.items())
        message = f"{path}: columns that are not used: {found}; used: {', '.join(used)}"
        warnings.warn(message, UnusedColumns, stacklevel=3)


def unused_columns(row: Mapping[str, Any], used: Collection[str]) -> list[str]:
    """The columns of a row that hold a value and are not among `used`."""
    return [str(name) for name, value in row.items() if name not in used and value not in (None, "", [], {})]


def find_file(name: str, folder: Path, root: str | os.PathLike[str] | None = None, kind: str = "video file") -> Path:
    """The file that a row names.

    Args:
        name: A path relative to `folder`, an absolute path, or a `file:` URI.
        folder: The folder that relative paths start from.
        root: If given, the only folder whose files may be named, links followed.
        kind: What the file is, for errors.

    Raises:
        TaskError: If there is no such file, or it lies outside `root`.
    """
    from vzgym.video.paths import local_path

    try:
        path = folder / local_path(name)
        inside = root is None or path.resolve().is_relative_to(Path(root).resolve())
    except (VideoError, OSError, ValueError) as error:
        raise TaskError(f"no {kind} {name[:300]!r}: {error}") from error
    if not inside:
        raise TaskError(f"the {kind} {name[:300]!r} lies outside the folder to which files are confined, {str(root)!r}")
    if not is_file(path):
        raise TaskError(f"no {kind} {str(path)[:300]!r}")
    return path


def read_rows(path: str | Path, ignored: Collection[str] = ()) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file, each with its place in words ("data.json, row 3").

    Args:
        path: A `.json` file that holds a list of objects, a `.jsonl` file of objects, a `.csv` or `.tsv` file whose
            first line names the columns (all values are texts; separated by commas, or by semicolons if the first line
            has more of them), or a `.parquet` file. Text is UTF-8; a byte order mark
            is ignored.
        ignored: Columns of a parquet file that are not read.

    Raises:
        TaskError: If the file cannot be read, holds no rows, or a row is no object; names the place.
        DependencyNotInstalled: If it is a parquet file and pyarrow is missing.
    """
    file = Path(path)
    if not is_file(file):
        raise TaskError(f"{file}: no such file")
    readers: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
        ".json": _json,
        ".jsonl": _json_lines,
        ".csv": partial(_table, delimiter=""),
        ".tsv": partial(_table, delimiter="\t"),
        ".parquet": partial(_parquet, ignored=ignored),
    }
    suffix = file.suffix.lower()
    if suffix not in readers:
        raise TaskError(f"{file}: rows are read from {', '.join(readers)}, not from {suffix or 'such'} files")
    empty = True
    for where, row in readers[suffix](file):
        empty = False
        if not isinstance(row, Mapping):
            raise TaskError(f"{where}: a row must be an object, got {type(row).__name__}")
        yield where, row
    if empty:
        raise TaskError(f"{file}: holds no rows")


def _json(file: Path) -> Iterator[tuple[str, Any]]:
    rows = read_json(file, TaskError)
    if not isinstance(rows, list):
        raise TaskError(f"{file}: must hold a list of rows, got {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        yield f"{file}, row {number}", row


def _json_lines(file: Path) -> Iterator[tuple[str, Any]]:
    for number, row in read_json_lines(file, TaskError):
        yield f"{file}, line {number}", row


def _table(file: Path, delimiter: str) -> Iterator[tuple[str, Any]]:
    # The default limit, 128 KiB a cell, is less than some published cells hold. (A C long on some systems.)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        # Without `newline=""` a line break within a quoted cell would be changed.
        with file.open(encoding="utf-8-sig", newline="") as lines:
            head = lines.readline()
            lines.seek(0)
            # Spreadsheets whose decimal sign is a comma separate cells by semicolons.
            between = delimiter or (";" if head.count(";") > head.count(",") else ",")
            reader = csv.reader(lines, delimiter=between, strict=True)
            header = next(reader, [])
            names = [name.strip() for name in header]
            # Spreadsheets may write empty columns without a name behind the others.
            _refuse_repeated(file, [name for name in names if name])
            for number, cells in enumerate(reader, start=2):
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{file}, row {number}"
                if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                    raise TaskError(f"{where}: {len(cells)} cells, but the first line names {len(names)} columns")
                row = list(zip(names, [*cells, *[""] * (len(names) - len(cells))], strict=False))
                if sum(bool(not name and cell.strip()) for name, cell in row) > 1:
                    raise TaskError(f"{where}: several cells are in columns without a name")
                yield where, {name: cell for name, cell in row if name or cell.strip()}
    except OSError as error:
        raise TaskError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        reason = f"{error.reason} at byte {error.start}"
        raise TaskError(f"{file}: not UTF-8 text: {reason}; save it as 'CSV UTF-8'") from error
    except csv.Error as error:
        raise TaskError(f"{file}, line {reader.line_num}: no table: {error}") from error


def _refuse_repeated(file: Path, names: Collection[str]) -> None:
    repeated = [name for name, count in sorted(Counter(names).items()) if count > 1]
    if repeated:
        raise TaskError(f"{file}: several columns have the name {', '.join(map(repr, repeated))}")


def _parquet(file: Path, ignored: Collection[str]) -> Iterator[tuple[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyNotInstalled('pyarrow is not installed, run `pip install "vzgym[data]"`') from error
    number = 0
    try:
        table = pyarrow.parquet.ParquetFile(file)
        columns = [name for name in table.schema_arrow.names if name not in ignored]
        _refuse_repeated(file, columns)
        for batch in table.iter_batches(batch_size=256, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row
    except pyarrow.ArrowException as error:
        raise TaskError(f"{file}: no parquet file, or a broken one: {error}") from error
