"""Slices of task sets: `needle-tiny/train[:100]`, `mixed-micro/test[::2]`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.tasks.task import VideoTask

__all__ = ["TABLE_SUFFIXES", "TaskSlice", "is_task_file", "slice_of", "split_slice", "task_file_digest"]

TABLE_SUFFIXES: Final = (".csv", ".tsv", ".parquet")
"""Ends of the names of tables of tasks."""
_SLICE = re.compile(r"(?P<tasks>.+)\[(?P<start>\d{0,9}):(?P<stop>\d{0,9})(?::(?P<step>\d{0,9}))?\]")


class _Tasks(Protocol):
    """What is read of a task set here."""

    @property
    def name(self) -> str: ...

    @property
    def budget(self) -> Budget: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> VideoTask: ...

    def representatives(self, indices: range, /) -> Sequence[int]: ...


def is_task_file(spec: str) -> bool:
    """Whether a text names a file of tasks, not a suite."""
    return spec.lower().endswith((".jsonl", ".json", *TABLE_SUFFIXES))


def task_file_digest(spec: str) -> str:
    """A digest of the file that a text takes its tasks from; "" for a suite or a benchmark."""
    file = split_slice(spec)[0]
    return hashlib.blake2b(Path(file).read_bytes(), digest_size=8).hexdigest() if is_task_file(file) else ""


class TaskSlice:
    """Some tasks of a set (a `TaskSet`).

    Attributes:
        tasks: The set.
        indices: Which of its tasks.
        name: The set's name and the indices.
        budget: The set's.
    """

    def __init__(self, tasks: _Tasks, indices: range) -> None:
        self.tasks = tasks
        self.indices = indices
        step = "" if indices.step == 1 else f":{indices.step}"
        self.name = f"{tasks.name}[{indices.start}:{indices.stop}{step}]"
        self.budget = tasks.budget

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> VideoTask:
        return self.tasks[self.indices[index]]

    def __iter__(self) -> Iterator[VideoTask]:
        return (self.tasks[index] for index in self.indices)

    def representatives(self, indices: range) -> list[int]:
        """See `TaskSet.representatives`."""
        whole = self.indices[indices.start : indices.stop : indices.step]
        return [self.indices.index(index) for index in self.tasks.representatives(whole)]

    def __repr__(self) -> str:
        return f"<{len(self)} tasks of {self.name}>"


def split_slice(spec: str) -> tuple[str, str]:
    """A text that names tasks, without its slice, and the slice: "needle/test[:100]" is "needle/test" and "[:100]".

    The slice is "" where there is none.
    """
    found = _SLICE.fullmatch(spec)
    return (spec, "") if found is None else (found["tasks"], spec[len(found["tasks"]) :])


def slice_of(tasks: _Tasks, text: str) -> TaskSlice:
    """The tasks that a slice names.

    Args:
        tasks: The set.
        text: "[START:STOP]" or "[START:STOP:STEP]"; each may be left out. With a step of n, every n-th task: of a suite
            of n members in turn, one member.

    Raises:
        InvalidSetting: If it names no task, tasks that the set does not have, or a step of 0.
    """
    start, stop, step = [*text[1:-1].split(":"), ""][:3]
    if step and int(step) == 0:
        raise InvalidSetting(f"the slice {text} of {tasks.name!r} must have a step of at least 1")
    indices = range(int(start or 0), int(stop) if stop else len(tasks), int(step or 1))
    if not indices or indices.stop > len(tasks):
        raise InvalidSetting(f"the slice {text} of {tasks.name!r} must name tasks between 0 and {len(tasks)}")
    return TaskSlice(tasks, indices)
