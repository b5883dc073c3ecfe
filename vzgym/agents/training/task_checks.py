"""Check a training run's tasks before it starts: which can be played, and which are the largest.

Videos are opened but not decoded: length and frame size are enough.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from vzgym.core.errors import InvalidSetting, TaskError, VideoError
from vzgym.tasks import TaskSet, VideoTask
from vzgym.video.synthetic import ProceduralVideo

__all__ = ["TaskCheck", "blank_copy", "check_tasks"]

_log = logging.getLogger("vzgym.agents")

# A progress bar is shown above this number of videos.
_MANY = 200


@dataclass(frozen=True)
class TaskCheck:
    """The result of `check_tasks`.

    Attributes:
        playable: Indices of the tasks whose videos can be opened and hold their evidence.
        representatives: One task for each video length and size among them, the one with the longest texts.
        failed: Why the other tasks were skipped, by id.
    """

    playable: list[int]
    representatives: list[VideoTask]
    failed: dict[str, str]


def check_tasks(tasks: TaskSet, count: int) -> TaskCheck:
    """Open the videos of the first `count` tasks; a warning names the skipped tasks and the reasons.

    Only the representative tasks (`TaskSet.representatives`) are built.

    Args:
        tasks: The tasks.
        count: Number of tasks used.

    Raises:
        InvalidSetting: If no task is left.
    """
    opened = tasks.representatives(range(count))
    found: dict[tuple[int, int, float], VideoTask] = {}
    broken: set[int] = set()
    failed: dict[str, str] = {}
    # Several questions may share a video, and one that hangs fails slowly, so each is opened once.
    faults: dict[Hashable, VideoError] = {}
    progress = len(opened) > _MANY and sys.stderr.isatty()
    for index in track(opened, "open the videos", console=Console(stderr=True), disable=not progress):
        task = tasks[index]
        video = task.video
        key: Hashable = video if isinstance(video, Hashable) else id(video)
        try:
            if key in faults:
                raise faults[key]
            shape = (video.height, video.width, video.duration)
            task.check_evidence()
        except (VideoError, TaskError) as error:
            # A wrong evidence interval is a fault of this task only, not of its video.
            if isinstance(error, VideoError):
                faults[key] = error
            broken.add(index)
            failed[task.id] = str(error)
            continue
        known = found.get(shape)
        if known is None or _words(task) > _words(known):
            found[shape] = task
    playable = [index for index in range(count) if index not in broken]
    if not playable:
        raise InvalidSetting(
            f"none of the {count} tasks used of {tasks.name!r} can be played. The first: "
            f"{next(iter(failed.values()))}. `vzgym videos check` says what is wrong with a file"
        )
    if failed:
        _log.warning(
            "%d of %d tasks are left out, since they cannot be played (`vzgym videos check` says more of videos):\n%s",
            len(failed),
            count,
            "\n".join(f"left out: {task}: {reason}" for task, reason in failed.items()),
        )
    return TaskCheck(playable, list(found.values()), failed)


def blank_copy(task: VideoTask) -> VideoTask:
    """The task with a blank video of the same length and frame size: no decoding, the same number of tokens."""
    video = task.video
    # Milliseconds, so that times have their usual number of digits.
    count = max(1, round(video.duration * 1000))
    blank = ProceduralVideo(video.uri, _blank, count, count / video.duration, video.height, video.width)
    return replace(task, video=blank)


def _blank(indices: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint8]:
    return np.zeros((len(indices), height, width, 3), dtype=np.uint8)


def _words(task: VideoTask) -> int:
    return len(task.question) + sum(map(len, task.options)) + sum(len(line.text) for line in task.subtitles)
