"""What local files hold, told cheaply: so that a model that was trained again in its place is known for another."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from vzgym.core.errors import InvalidSetting

__all__ = ["contents", "contents_named"]

# Weights, adapters, and rows of data: what a trainer or a collector writes anew. Logs, settings and checkpoints lie
# beside them, and change without the model saying anything else.
_SUFFIXES = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".gguf", ".zip", ".arrow", ".parquet",
)  # fmt: skip

# Up to this size a file is read whole, above it in parts: all weights of a large model would take minutes, each time.
_WHOLE = 32 << 20
_BLOCK = 16 << 10
_BLOCKS = 1024


def contents(path: str | Path) -> dict[str, str]:
    """Digests of a local file, or of the weights and data in a local folder, by file name.

    Args:
        path: A file or a folder. Only what lies in the folder itself counts, not what lies in folders below it
            (checkpoints).

    Returns:
        Nothing for what is not there: a name on a hub, or a registered one.

    Raises:
        InvalidSetting: If the folder or a file in it cannot be read.
    """
    # Not Path's own: they raise at texts that can be no path, such as very long ones.
    if os.path.isfile(path):  # noqa: PTH113
        files = [Path(path)]
    elif os.path.isdir(path):  # noqa: PTH112
        files = _counted(Path(path))
    else:
        return {}
    return {file.name: _digest(file) for file in files}


def _counted(folder: Path) -> list[Path]:
    try:
        return [file for file in sorted(folder.iterdir()) if file.suffix in _SUFFIXES and file.is_file()]
    except OSError as error:
        raise InvalidSetting(f"{folder} cannot be read, to tell its contents: {error.strerror or error}") from error


def contents_named(
    value: Any, contents_of: Callable[[str], Mapping[str, str]] = contents
) -> dict[str, Mapping[str, str]]:
    """The contents of all local files and folders that settings name, by their names.

    Args:
        value: A text, or texts anywhere in mappings and lists. A part's own name, in a mapping, is no place.
        contents_of: Tells the contents; for one that remembers.
    """
    if isinstance(value, (str, Path)):
        found = contents_of(str(value))
        return {str(value): found} if found else {}
    inner: list[Any] = []
    if isinstance(value, Mapping):
        inner = [part for key, part in value.items() if key != "name"]
    elif isinstance(value, (list, tuple)):
        inner = list(value)
    return {name: found for part in inner for name, found in contents_named(part, contents_of).items()}


def _digest(file: Path) -> str:
    try:
        size = file.stat().st_size
        digest = hashlib.blake2b(str(size).encode(), digest_size=8)
        with file.open("rb") as source:
            if size <= _WHOLE:
                digest.update(source.read())
            else:
                for place in _places(source, size):
                    source.seek(place)
                    digest.update(source.read(_BLOCK))
    except OSError as error:
        raise InvalidSetting(f"{file} cannot be read, to tell its contents: {error.strerror or error}") from error
    return digest.hexdigest()


def _places(source: BinaryIO, size: int) -> list[int]:
    """Where a large file is looked at: at its ends, at even distances, and in the middle of every tensor.

    Training with a frozen vision tower, or merged adapters of a few layers, leave most of a file as it was, its ends
    among them, and its size: but they change nearly every number of the tensors that they change at all.
    """
    even = [(size - _BLOCK) * step // (_BLOCKS - 1) for step in range(_BLOCKS)]
    return even + [max(0, middle - _BLOCK // 2) for middle in _middles(source, size)]


def _middles(source: BinaryIO, size: int) -> list[int]:
    """The middle of each tensor of a safetensors file; none of any other file."""
    source.seek(0)
    length = int.from_bytes(source.read(8), "little")
    if length > size - 8:
        return []
    try:
        tensors = json.loads(source.read(length))
        spans = [tensor["data_offsets"] for name, tensor in tensors.items() if name != "__metadata__"]
        return [8 + length + (int(start) + int(end)) // 2 for start, end in spans]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []  # of another format
