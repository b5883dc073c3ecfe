"""Fast fingerprints of local model and data folders, so that a run is not resumed with different weights.

A folder saved by vzgym contains a run id, which identifies its weights even if the folder is moved. Other files, and
weights written after the run id, are identified by size and modification time. No weights are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vzgym.core.errors import InvalidSetting

__all__ = ["METADATA", "fingerprint", "fingerprints_in"]

METADATA = "vzgym.json"
"""The file in a saved model's folder with its `run_id` and the text protocol of its training."""

# Weights, adapters and rows of data. Logs, settings and checkpoints do not affect a model's output.
_SUFFIXES = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".gguf", ".zip", ".arrow", ".parquet",
)  # fmt: skip


def fingerprint(path: str | Path) -> dict[str, str]:
    """Fingerprint of a local file, or of the weights and data in a local folder.

    Args:
        path: A file or a folder. Only files in the folder itself count, not those in its subfolders (checkpoints).

    Returns:
        By file name, the size in bytes and either the folder's run id or the modification time in nanoseconds. Empty
        for anything but a local file or folder, such as a name on a hub or a registered name.

    Raises:
        InvalidSetting: If the folder or a file in it cannot be read.
    """
    try:
        # Not Path's methods: they raise for strings that are not valid paths, such as very long ones.
        if os.path.isfile(path):  # noqa: PTH113
            return {Path(path).name: _by_time(Path(path).stat())}
        if not os.path.isdir(path):  # noqa: PTH112
            return {}
        folder = Path(path)
        files = [file for file in sorted(folder.iterdir()) if file.suffix in _SUFFIXES and file.is_file()]
        stamp = _stamp(folder / METADATA)
        return {file.name: _with_stamp(file.stat(), *stamp) if stamp else _by_time(file.stat()) for file in files}
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read for its fingerprint: {error.strerror or error}") from error


def fingerprints_in(value: Any) -> dict[str, dict[str, str]]:
    """Fingerprints of all local files and folders named in settings, by path.

    Args:
        value: A string, or strings anywhere in mappings and lists. The value of a key `name` is a registered name,
            never a path.
    """
    if isinstance(value, (str, Path)):
        found = fingerprint(value)
        return {str(value): found} if found else {}
    inner: list[Any] = []
    if isinstance(value, Mapping):
        inner = [item for key, item in value.items() if key != "name"]
    elif isinstance(value, (list, tuple)):
        inner = list(value)
    return {path: found for item in inner for path, found in fingerprints_in(item).items()}


def _stamp(file: Path) -> tuple[str, int] | None:
    """The run id of a folder and the time at which it was written, in nanoseconds; None without one."""
    if not file.is_file():
        return None
    try:
        run_id = json.loads(file.read_text(encoding="utf-8"))["run_id"]
    except (ValueError, LookupError, TypeError):
        return None
    return (run_id, file.stat().st_mtime_ns) if isinstance(run_id, str) else None


def _with_stamp(status: os.stat_result, run_id: str, written: int) -> str:
    # Another program may have written new weights into the folder, to which the run id does not belong.
    return f"{status.st_size}, run {run_id}" if status.st_mtime_ns <= written else _by_time(status)


def _by_time(status: os.stat_result) -> str:
    return f"{status.st_size}, modified {status.st_mtime_ns}"
