"""Writing of trajectories as a saved `datasets.Dataset`."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vzgym.core.errors import DependencyNotInstalled
from vzgym.core.files import read_json, write_json

__all__ = ["describe", "import_datasets", "row_features", "write_rows"]


def row_features() -> Any:
    """The columns of a dataset of trajectories (`datasets.Features`)."""
    from datasets import Features, Image, Json, List, Value

    number, text, flag = Value("int64"), Value("string"), Value("bool")
    return Features(
        {
            # JSON, so that a text block has no empty "image" and an image block no empty "text".
            "messages": List(Json()),
            "images": List(Image(mode="RGB")),
            "task_id": text,
            "category": text,
            "kind": text,
            "index": number,
            "sample": number,
            "correct": flag,
            "reflects": flag,
            "turns": number,
            "zooms": number,
            "frames": number,
            "fps": List(Value("float64")),
            "answer": text,
        }
    )


def write_rows(folder: Path, rows: Iterable[Mapping[str, Any]], fingerprint: bytes) -> int:
    """Write rows as a saved dataset, keeping few in memory at a time.

    Args:
        folder: An existing folder.
        rows: Rows with the columns of `row_features`; images as `{"bytes": ..., "path": None}`.
        fingerprint: Identifies the contents for the library's cache.

    Returns:
        The number of rows.
    """
    from datasets.arrow_writer import ArrowWriter

    features, count = row_features(), 0
    data = folder / "data-00000-of-00001.arrow"
    with ArrowWriter(path=str(data), features=features, writer_batch_size=8) as writer:
        for row in rows:
            writer.write(features.encode_example(row))
            count += 1
        writer.finalize()
    describe(folder, [data.name], fingerprint)
    return count


def describe(folder: Path, files: Sequence[str], fingerprint: bytes) -> None:
    """Write the two metadata files that turn Arrow files into a saved dataset, as the library does.

    Args:
        folder: The folder with the Arrow files.
        files: Their names, in order.
        fingerprint: Tells the contents apart, for the library's cache.
    """
    datasets, features = import_datasets(), row_features()
    empty = folder / "empty"
    with _quiet():
        datasets.Dataset.from_dict({name: [] for name in features}, features=features).save_to_disk(str(empty))
    state = read_json(empty / "state.json")
    state["_data_files"] = [{"filename": name} for name in files]
    state["_fingerprint"] = hashlib.blake2b(fingerprint, digest_size=8).hexdigest()
    (empty / "dataset_info.json").replace(folder / "dataset_info.json")
    shutil.rmtree(empty)
    write_json(folder / "state.json", state)


def import_datasets() -> Any:
    """Import the package `datasets`.

    Raises:
        DependencyNotInstalled: If it is missing.
    """
    try:
        import datasets
    except ImportError as error:
        raise DependencyNotInstalled('datasets is not installed, run `pip install "vzgym[llm]"`') from error
    return datasets


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable the library's progress bars."""
    datasets = import_datasets()
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
