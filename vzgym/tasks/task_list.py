"""Task sets in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vzgym.core.budget import Budget
from vzgym.core.errors import TaskError
from vzgym.tasks.budgets import built_for
from vzgym.tasks.task import VideoTask
from vzgym.video.base import Video

__all__ = ["TaskList"]


class TaskList:
    """Tasks in memory (a `TaskSet`).

    Args:
        tasks: At least one task.
        name: The name of the set.
        budget: What they were built for. If not given: the budget in their metadata, where all have the same one,
            else the paper's.

    Raises:
        TaskError: If `tasks` is empty, or an item is not a `VideoTask`.
    """

    def __init__(self, tasks: Sequence[VideoTask], name: str = "tasks", budget: Budget | None = None) -> None:
        self._tasks = tuple(tasks)
        self.name = name
        if not self._tasks:
            raise TaskError(f"task set {name!r} is empty")
        for position, task in enumerate(self._tasks):
            if not isinstance(task, VideoTask):
                raise TaskError(f"task set {name!r}: item {position} is not a VideoTask but {type(task).__name__}")
        self.budget = budget or _common_budget(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int) -> VideoTask:
        return self._tasks[index]

    def __iter__(self) -> Iterator[VideoTask]:
        return iter(self._tasks)

    def video(self, index: int) -> Video:
        """The video of a task."""
        return self._tasks[index].video

    def representatives(self, indices: range) -> Sequence[int]:
        """All of them: nothing is known of the videos before they are opened."""
        return indices

    def __repr__(self) -> str:
        return f"<{len(self)} tasks of {self.name}>"


def _common_budget(tasks: Sequence[VideoTask]) -> Budget:
    first = built_for(tasks[0])
    if first is not None and all(built_for(task) == first for task in tasks):
        return first
    return Budget()
