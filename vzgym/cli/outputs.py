"""Checks of output paths, and suggestions for follow-up commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from vzgym.core.errors import InvalidSetting
from vzgym.tasks.task_set import other_split
from vzgym.tasks.task_slice import is_task_file

__all__ = ["check_jsonl_output", "evaluation_command", "sibling"]


def sibling(out: str | Path, name: str) -> str:
    """Sibling of a folder, quoted for a shell."""
    return shlex.quote(str(Path(out).parent / name))


def evaluation_command(policies: Iterable[str], tasks: str, *others: str) -> str:
    """The `vzgym eval` command for trained models, on the test split of their training suite.

    For a task file: the file of the same name with "test" for "train", if it exists, else the file itself.

    Args:
        policies: Models' folders.
        tasks: The training tasks; "" if unknown.
        others: Policies to compare with on suites; on files, controls that need no evidence are used.
    """
    name = other_split(tasks, "test") if tasks else "TASKS"
    if is_task_file(name):
        others = ("overview", "uniform")
    flags = " ".join(f"--policy {shlex.quote(policy)}" for policy in (*policies, *others))
    return f"vzgym eval {flags} --tasks {shlex.quote(name)}"


def check_jsonl_output(out: Path, inputs: Iterable[Path]) -> None:
    """Check that `--out` is a `.jsonl` file and none of the input files.

    Args:
        out: The file to write.
        inputs: The input files.

    Raises:
        InvalidSetting: If the file cannot or must not be written.
    """
    if out.is_dir():
        raise InvalidSetting(f"--out must name a .jsonl file, but {out} is a folder; say {out / 'NAME.jsonl'}")
    if out.suffix != ".jsonl":
        raise InvalidSetting(f"--out must end in .jsonl, got {out}")
    for file in inputs:
        # Symbolic links may resolve to the same file; hard links resolve to themselves.
        if out.resolve() == file.resolve() or (out.exists() and file.exists() and out.samefile(file)):
            raise InvalidSetting(f"--out {out} is the file that is read ({file}): choose another")
