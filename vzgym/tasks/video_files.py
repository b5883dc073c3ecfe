"""The check that all video files of a run are there before the first is opened."""

from __future__ import annotations

from collections.abc import Iterable

from vzgym.core.errors import TaskError
from vzgym.core.files import is_file
from vzgym.tasks.benchmarks.loading import BenchmarkTasks
from vzgym.tasks.task_list import TaskList
from vzgym.tasks.task_slice import TaskSlice

__all__ = ["check_video_files"]

_MOST_NAMED = 20


def check_video_files(tasks: object, indices: Iterable[int]) -> None:
    """Check that the video files of tasks exist. Opens none of them.

    Args:
        tasks: A task set. Sets whose videos are no files pass.
        indices: Which of its tasks.

    Raises:
        TaskError: If files are missing; names them and how many tasks need them.
    """
    if isinstance(tasks, TaskSlice):
        check_video_files(tasks.tasks, [tasks.indices[index] for index in indices])
        return
    if not isinstance(tasks, (TaskList, BenchmarkTasks)):
        return
    from vzgym.video.file import FileVideo

    counts: dict[str, int] = {}
    for index in indices:
        video = tasks.video(index)
        if isinstance(video, FileVideo):
            counts[video.path] = counts.get(video.path, 0) + 1
    missing = [path for path in counts if not is_file(path)]
    if not missing:
        return
    listed = ", ".join(missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    questions = sum(counts[path] for path in missing)
    hint = (
        f". `vzgym bench check {tasks.benchmark.name} ROOT` counts them by group; skip_missing (--skip-missing) leaves "
        "their tasks out"
        if isinstance(tasks, BenchmarkTasks)
        else ""
    )
    raise TaskError(
        f"{tasks.name}: {len(missing)} of {len(counts)} video files are missing, which {questions} tasks need: "
        f"{listed}{more}{hint}"
    )
