"""Files that commands write: refused before any work is done where they would destroy what was read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vzgym.core.errors import InvalidSetting

__all__ = ["check_jsonl_output"]


def check_jsonl_output(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse an `--out` that is no `.jsonl` file, or one of the files that are read.

    Args:
        out: The file to write.
        inputs: The files that are read.

    Raises:
        InvalidSetting: If it cannot be written, or must not.
    """
    if out.is_dir():
        raise InvalidSetting(f"--out must name a .jsonl file, but {out} is a folder; say {out / 'NAME.jsonl'}")
    if out.suffix != ".jsonl":
        raise InvalidSetting(f"--out must end in .jsonl, got {out}")
    for file in inputs:
        # Links may lead to the same file by another path, and a hard link resolves to itself.
        if out.resolve() == file.resolve() or (out.exists() and file.exists() and out.samefile(file)):
            raise InvalidSetting(f"--out {out} is the file that is read ({file}): choose another")
