"""Task sets, and everything that can be turned into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.tasks.suites import SPLITS, SUITES, ProceduralTasks, Suite
from vzgym.tasks.task import VideoTask

__all__ = ["TaskList", "TaskSet", "TaskSpec", "get_task", "load_tasks"]


@runtime_checkable
class TaskSet(Protocol):
    """A finite, indexed set of tasks. Cheap to make and to pickle; `set[i]` is the same task every time.

    Attributes:
        name: Names the set in records and tables.
        budget: The budget that its tasks were built for; the paper's where nothing else is known.
    """

    @property
    def name(self) -> str: ...

    @property
    def budget(self) -> Budget: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> VideoTask: ...

    def __iter__(self) -> Iterator[VideoTask]: ...


class TaskList:
    """Tasks that lie in memory (a `TaskSet`).

    Args:
        tasks: At least one task.
        name: Names the set.
        budget: What they were built for. If not given: the budget in their metadata, where all have the same one,
            else the paper's.

    Raises:
        TaskError: If there is no task, or something in `tasks` is none.
    """

    def __init__(self, tasks: Sequence[VideoTask], name: str = "tasks", budget: Budget | None = None) -> None:
        self._tasks = tuple(tasks)
        self.name = name
        if not self._tasks:
            raise TaskError(f"task set {name!r} is empty")
        for position, task in enumerate(self._tasks):
            if not isinstance(task, VideoTask):
                raise TaskError(f"task set {name!r}: item {position} is no VideoTask but {type(task).__name__}")
        self.budget = budget or _common_budget(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int) -> VideoTask:
        return self._tasks[index]

    def __iter__(self) -> Iterator[VideoTask]:
        return iter(self._tasks)

    def __repr__(self) -> str:
        return f"<{len(self)} tasks of {self.name}>"


def _common_budget(tasks: Sequence[VideoTask]) -> Budget:
    first: Any = tasks[0].metadata.get("budget")
    if isinstance(first, dict) and all(task.metadata.get("budget") == first for task in tasks):
        return Budget.from_mapping(first)
    return Budget()


TaskSpec: TypeAlias = "str | Suite | VideoTask | Sequence[VideoTask] | TaskSet"
"""Everything that `load_tasks` takes."""


def load_tasks(spec: TaskSpec, split: str = "train") -> TaskSet:
    """The tasks that `spec` means.

    Args:
        spec: A suite's name ("needle"), or one with its split ("needle/test"); a path that ends in ".jsonl"; a
            `module:suite`; a `Suite`; a task; a sequence of tasks; or a finished task set.
        split: Which split of a suite ("train", "validation", "test") where the name says none.

    Raises:
        UnknownName: If there is no such suite or split; the message lists those that are.
        TaskError: If a file cannot be read as tasks, or a sequence is empty.
    """
    if isinstance(spec, VideoTask):
        return TaskList([spec], name=spec.id)
    if isinstance(spec, Suite):
        return spec(split)
    if isinstance(spec, str):
        if spec.endswith(".jsonl"):
            from vzgym.tasks.jsonl import load_jsonl

            return load_jsonl(spec)
        name, _, named_split = spec.partition("/")
        return SUITES.get(name)(split=named_split or split)
    if isinstance(spec, TaskSet) and not isinstance(spec, (list, tuple)):
        return spec
    if isinstance(spec, Sequence):
        return TaskList(spec)
    raise InvalidSetting(
        f"tasks must be a suite's name, a .jsonl file, a task, a sequence of tasks or a task set, "
        f"got {type(spec).__name__}"
    )


def get_task(id: str) -> VideoTask:
    """Rebuild a procedural task from its id, the same bits in any process.

    Args:
        id: `suite/split/index` ("needle-tiny/test/17"), or `suite/split/index~position` for the variant whose
            right option stands at `position`.

    Raises:
        UnknownName: If there is no such suite or split.
        TaskError: If the id has another form, or the split has no such index or the task no such position.
    """
    name, _, rest = id.partition("/")
    split, _, number = rest.partition("/")
    index, mark, position = number.partition("~")
    if not index.isdecimal() or (mark and not position.isdecimal()):
        raise TaskError(f"{id!r} is no procedural task's id: 'suite/split/index', such as 'needle-tiny/test/17'")
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    tasks = SUITES.get(name)(split=split)
    if int(index) >= len(tasks):
        raise TaskError(f"no task {id!r}: {name}/{split} has {len(tasks)} tasks")
    if not mark:
        return tasks[int(index)]
    if not isinstance(tasks, ProceduralTasks) or int(position) >= tasks.family(int(index)).num_options:
        raise TaskError(f"no task {id!r}: there is no option at position {position}")
    return tasks.variants(int(index))[int(position)]
