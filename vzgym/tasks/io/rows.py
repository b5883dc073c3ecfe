"""Rows of datasets in JSON, JSON lines and parquet files, and the paths in them."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
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


def read_rows(path: str | Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file, each with its place in words ("data.json, row 3").

    Args:
        path: A `.json` file that holds a list of objects, a `.jsonl` file of objects, or a `.parquet` file.

    Raises:
        TaskError: If the file cannot be read, holds no rows, or a row is no object; names the place.
        DependencyNotInstalled: If it is a parquet file and pyarrow is missing.
    """
    file = Path(path)
    if not is_file(file):
        raise TaskError(f"{file}: no such file")
    readers = {".json": _json, ".jsonl": _json_lines, ".parquet": _parquet}
    if file.suffix not in readers:
        raise TaskError(f"{file}: rows are read from {', '.join(readers)}, not from {file.suffix or 'such'} files")
    empty = True
    for where, row in readers[file.suffix](file):
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


def _parquet(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyNotInstalled('pyarrow is not installed, run `pip install "vzgym[llm]"`') from error
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row
    except pyarrow.ArrowException as error:
        raise TaskError(f"{file}: no parquet file, or a broken one: {error}") from error
