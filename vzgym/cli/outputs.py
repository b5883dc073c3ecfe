"""Files that commands write, checked before any work is done, and the commands that read them next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from vzgym.core.errors import InvalidSetting
from vzgym.tasks.task_slice import split_slice

__all__ = ["check_jsonl_output", "evaluation_command", "sibling"]


def sibling(out: str | Path, name: str) -> str:
    """A folder beside another one, quoted for a shell."""
    return shlex.quote(str(Path(out).parent / name))


def evaluation_command(policies: Iterable[str], tasks: str, *others: str) -> str:
    """The `vzgym eval` command for trained models: on the test split of the suite that they were trained on.

    For a file of tasks it is the file of the same name with "test" for "train", if there is one, else the file itself.

    Args:
        policies: Models' folders.
        tasks: What they were trained on; "" if unknown.
        others: Policies to compare with on suites; on files, whose tasks may have no evidence, controls that need none.
    """
    name = split_slice(tasks)[0] if tasks else "TASKS"
    if is_task_file(name):
        file = Path(name)
        other = file.with_name(file.name.replace("train", "test"))
        name, others = str(other if other.is_file() else file), ("overview", "uniform")
    elif tasks:
        name = f"{name.partition('/')[0]}/test"
    flags = " ".join(f"--policy {shlex.quote(policy)}" for policy in (*policies, *others))
    return f"vzgym eval {flags} --tasks {shlex.quote(name)}"


def is_task_file(tasks: str) -> bool:
    """Whether tasks are given as a file, not as a suite."""
    return Path(tasks).suffix in (".jsonl", ".csv", ".parquet", ".json")


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
