"""Files of rows as others publish them: JSON, JSON lines, parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vzgym.core.errors import DependencyNotInstalled, TaskError
from vzgym.core.files import is_file, read_json, read_json_lines

__all__ = ["read_rows"]


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
