"""The tasks that a client or a trainer's row may ask for: by the name of a task set and an index, or by id."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.registry import names_from_data
from vzgym.tasks import BudgetSpec, TaskSet, VideoTask, load_tasks, resolve_budget
from vzgym.tasks.suite import SPLITS, SUITES, ProceduralTasks
from vzgym.tasks.task_set import is_task_number
from vzgym.tasks.task_slice import TABLE_SUFFIXES, TaskSlice, split_slice

__all__ = ["ChosenTask", "ServedTasks", "confined_root", "id_of", "load_confined", "splits_of"]

_IDS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ChosenTask:
    """A task of a served set.

    Attributes:
        task: The task.
        budget: The budget of its episodes.
        tasks: Name of its set.
        index: Its index in the set.
    """

    task: VideoTask
    budget: Budget
    tasks: str
    index: int


class ServedTasks:
    """Task sets that a server offers. Clients choose among them: they cannot name files, modules or other sets.

    Thread-safe.

    Args:
        sets: The task sets, with different names. The first is the default.
        budget: Overrides or replaces the budget of each set; see `resolve_budget`.

    Attributes:
        sets: The sets by name, in order.
        budgets: The budget of each set.

    Raises:
        InvalidSetting: If there is no set, two have the same name, or the budget is invalid.
    """

    def __init__(self, sets: Sequence[TaskSet], budget: BudgetSpec = None) -> None:
        if not sets:
            raise InvalidSetting("a server needs at least one task set")
        names = [tasks.name for tasks in sets]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidSetting(f"two task sets are named {repeated[0]!r}: clients could not tell them apart")
        self.sets: dict[str, TaskSet] = dict(zip(names, sets, strict=True))
        self.budgets = {name: resolve_budget(budget, tasks) for name, tasks in self.sets.items()}
        self._next = dict.fromkeys(names, 0)
        self._lock = threading.Lock()

    def choose(self, tasks: str = "", index: int | None = None, *, id: str = "", seed: int | None = None) -> ChosenTask:
        """A task of a served set. By id, by index, drawn with a seed, or else the set's next task.

        Args:
            tasks: Name of the set; the first if empty.
            index: Index in the set.
            id: Id of a task of the set.
            seed: Seed of a uniform draw: the same seed gives the same task.

        Raises:
            UnknownName: If the set is not served, or has no task of that id.
            InvalidSetting: If the set has no such index, or more than one of `index`, `id` and `seed` is given.
            TaskError: If the task's row is invalid.
        """
        name = tasks or next(iter(self.sets))
        if name not in self.sets:
            raise UnknownName("task set", name[:100], self.sets)
        if sum((index is not None, bool(id), seed is not None)) > 1:
            raise InvalidSetting("a task is chosen by index, by id or by seed: give one of them")
        chosen = self.sets[name]
        if id:
            place = _index_of(id, chosen)
        elif seed is not None:
            if seed < 0:
                raise InvalidSetting(f"seed must be >= 0, got {seed}")
            place = int(np.random.default_rng(seed).integers(len(chosen)))
        elif index is not None:
            place = index
        else:
            with self._lock:
                place = self._next[name]
                self._next[name] = (place + 1) % len(chosen)
        if not 0 <= place < len(chosen):
            raise InvalidSetting(f"{name} has {len(chosen)} tasks, 0 to {len(chosen) - 1}: there is no task {place}")
        return ChosenTask(chosen[place], self.budgets[name], name, place)


def load_confined(
    spec: str | Mapping[str, Any], *, split: str = "test", root: str | Path | None = None, backend: str = "pyav"
) -> TaskSet:
    """Load tasks that a trainer's row or another file names. Repeated calls return the same set.

    Only registered names are resolved, and a task file may name videos in one folder only.

    Args:
        spec: See `load_tasks`; no `module:suite`, which would run code.
        split: The split of a suite that names none.
        root: See `load_tasks`. The only folder of a task file's videos; the file's own folder if not given. A mapping's
            own `root` gives way to it.
        backend: Decoder for video files.

    Raises:
        UntrustedName: If the text names code.
        UnknownName, TaskError, InvalidSetting: See `load_tasks`.
    """
    if isinstance(spec, str):
        return _load(spec, split, None if root is None else str(root), backend)
    confined = confined_root(str(spec.get("name")), root)
    given = spec if confined is None else {**spec, "root": confined}
    with names_from_data("a task set", hint="Register it."):
        return load_tasks(given, split, backend=backend)


@lru_cache(maxsize=64)
def _load(spec: str, split: str, root: str | None, backend: str) -> TaskSet:
    with names_from_data(f"the task set {spec!r}", hint="Register it."):
        return load_tasks(spec, split, backend=backend, root=confined_root(spec, root))


def splits_of(spec: str) -> list[str]:
    """The splits of a suite that is named without one: "tiny" is "tiny/train", "tiny/validation", "tiny/test".

    Other tasks are returned as they are.
    """
    return [f"{spec}/{split}" for split in SPLITS] if spec in SUITES else [spec]


def confined_root(spec: str, root: str | Path | None) -> str | None:
    """The folder that the videos of a served task file must be in; None for tasks that are no file.

    Args:
        spec: Tasks as text.
        root: The folder given by the user; the file's own if not given.
    """
    name, _ = split_slice(spec)
    if root is None and name.lower().endswith((".jsonl", *TABLE_SUFFIXES)):
        return str(Path(name).resolve().parent)
    return None if root is None else str(root)


def id_of(tasks: TaskSet, index: int) -> str:
    """The id of a task by its index. Procedural tasks are not built for it."""
    whole, indices = _whole(tasks)
    return f"{whole.name}/{indices[index]}" if isinstance(whole, ProceduralTasks) else tasks[index].id


def _whole(tasks: TaskSet) -> tuple[Any, range]:
    """The set that a slice is taken of, and the indices of its tasks there; a whole set itself."""
    return (tasks.tasks, tasks.indices) if isinstance(tasks, TaskSlice) else (tasks, range(len(tasks)))


def _index_of(id: str, tasks: TaskSet) -> int:
    """The index of a task in its set, by its id. Procedural tasks are not built for it.

    Raises:
        UnknownName: If the set has no such task.
    """
    whole, indices = _whole(tasks)
    if isinstance(whole, ProceduralTasks):
        prefix, _, number = id.rpartition("/")
        if prefix == whole.name and is_task_number(number) and int(number) in indices:
            return indices.index(int(number))
        raise UnknownName("task", id[:100], (), f"The ids of {tasks.name} are {whole.name}/INDEX.")
    for place, task in enumerate(tasks):
        if task.id == id:
            return place
    ids = [tasks[place].id for place in range(min(len(tasks), _IDS_SHOWN))]
    raise UnknownName("task", id[:100], ids, f"{tasks.name} has {len(tasks)} tasks.")
