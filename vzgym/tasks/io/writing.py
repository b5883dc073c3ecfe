"""Procedural tasks as real files: one mp4 a task, and one JSON-lines file of all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from vzgym.core.errors import InvalidSetting, PluginError, TaskError, UnknownName, UntrustedName, VideoError
from vzgym.core.files import folder_lock, read_json_lines, replace_file
from vzgym.tasks.io.jsonl import task_row, write_jsonl
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.tasks.task import VideoTask
from vzgym.tasks.task_set import get_task

__all__ = [
    "TASKS_FILE",
    "TaskFile",
    "encode_task",
    "file_name",
    "is_written",
    "list_files",
    "plan_files",
    "write_file",
    "write_task",
    "write_tasks",
]

TASKS_FILE = "tasks.jsonl"
"""Name of the file that lists the tasks of a folder."""

# Coding at the constant quantizer changes a channel by 2 to 4 levels on average; another picture differs by far more.
_MOST_DIFFERENCE = 8.0
_PROBES = 48


class TaskFile(NamedTuple):
    """A task, and the video file that it is written to."""

    task: VideoTask
    path: Path


def write_tasks(
    tasks: Iterable[VideoTask],
    out_dir: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render each task's video to a file and list all tasks in `tasks.jsonl`.

    The same tasks give the same bytes. A stopped run can be repeated: files that are there and show the right frames
    are kept, others are written again. A file gets its name only when it is complete. A list of other tasks, which
    could not be made again, is never replaced.

    `plan_files`, `write_file` and `list_files` are its three steps, for several processes; the caller holds the folder
    meanwhile (`vzgym.core.files.folder_lock`).

    Args:
        tasks: What to write. Their videos must have a known number of frames and an even size.
        out_dir: The folder; made if it is not there.
        progress: Called with (tasks done, tasks in all) after each task.

    Returns:
        Path of `tasks.jsonl`; `load_jsonl` reads it.

    Raises:
        TaskError: If there is no task, or two tasks would share a file.
        InvalidSetting: If a video cannot be a file, or the folder's `tasks.jsonl` has rows that are neither of these
            tasks nor of procedural ones.
        VideoError: If the encoder fails.
        FolderInUse: If another process writes into the folder.
    """
    with folder_lock(out_dir):
        files = plan_files(tasks, out_dir)
        for done, file in enumerate(files, start=1):
            write_file(file)
            if progress is not None:
                progress(done, len(files))
        return list_files(files)


def plan_files(tasks: Iterable[VideoTask], out_dir: str | os.PathLike[str]) -> list[TaskFile]:
    """Choose the file of each task in a folder, which is made if it is not there.

    Raises:
        TaskError: If there is no task, or two tasks would share a file.
        InvalidSetting: If the folder's `tasks.jsonl` has rows that are neither of these tasks nor of procedural ones.
    """
    folder = Path(out_dir)
    chosen = list(tasks)
    if not chosen:
        raise TaskError("no task to write")
    paths = _paths(chosen, folder)
    _refuse_other_rows(folder / TASKS_FILE, chosen)
    folder.mkdir(parents=True, exist_ok=True)
    return list(map(TaskFile, chosen, paths))


def write_file(file: TaskFile) -> bool:
    """`write_task`, of one argument."""
    return write_task(*file)


def list_files(files: Sequence[TaskFile]) -> Path:
    """List written tasks in `tasks.jsonl` beside their files; returns its path."""
    from vzgym.video.file import FileVideo

    tasks = [replace(task, video=FileVideo(path)) for task, path in files]
    return write_jsonl(tasks, files[0].path.parent / TASKS_FILE)


def write_task(task: VideoTask, path: Path) -> bool:
    """Write one task's video, unless the file is there and shows it already.

    Returns:
        Whether the file was written now.

    Raises:
        InvalidSetting: If the video cannot be a file.
        VideoError: If the encoder fails.
    """
    if is_written(TaskFile(task, path)):
        return False
    with replace_file(path) as partial:
        encode_video(task.video, partial, task.varying)
    return True


def is_written(file: TaskFile) -> bool:
    """Whether a file is there and shows its task's video."""
    return file.path.is_file() and _is_whole(file.path) and _shows(file.path, file.task)


def encode_task(task: VideoTask) -> bytes:
    """The bytes of the file that `write_task` writes, for a process that does not see the folder.

    Raises:
        InvalidSetting: If the video cannot be a file.
        VideoError: If the encoder fails.
    """
    with TemporaryDirectory(prefix="vzgym-") as folder:
        path = Path(folder) / file_name(task.id)
        encode_video(task.video, path, task.varying)
        return path.read_bytes()


def file_name(id: str) -> str:
    """The file name of a task's video: its id, with "-" for what a file name should not hold."""
    return re.sub(r"[^A-Za-z0-9._~]+", "-", id) + ".mp4"


def _paths(tasks: Sequence[VideoTask], folder: Path) -> list[Path]:
    taken: dict[str, str] = {}
    for task in tasks:
        name = file_name(task.id)
        if name in taken:
            raise TaskError(f"tasks {taken[name]!r} and {task.id!r} would both be written to {name}")
        taken[name] = task.id
    return [folder / name for name in taken]


def _refuse_other_rows(listing: Path, tasks: Sequence[VideoTask]) -> None:
    """Refuse to replace a list that holds anything but rows of these tasks or of procedural ones, as written here.

    Raises:
        InvalidSetting: If it does; names the line.
    """
    if not listing.exists():
        return
    advice = "choose another folder, or move the file away"
    wanted = {task.id: task for task in tasks}
    rows = read_json_lines(listing, InvalidSetting)
    try:
        for number, row in rows:
            if not _written_here(row, listing.parent, wanted):
                raise InvalidSetting(
                    f"{listing}, line {number}, is no row that writing these or procedural tasks gives"
                )
    except InvalidSetting as error:
        raise InvalidSetting(f"{listing.parent} holds something else: {error}; {advice}") from error


def _written_here(row: Any, folder: Path, tasks: Mapping[str, VideoTask]) -> bool:
    """Whether a row is that of one of these tasks, or of a procedural one."""
    id = row.get("id") if isinstance(row, dict) else None
    if not isinstance(id, str):
        return False
    try:
        # Writing fewer tasks, or others of a suite, loses no row: the rest can be written again.
        task = tasks[id] if id in tasks else get_task(id)
    except (TaskError, UnknownName, PluginError, InvalidSetting, UntrustedName):
        return False
    made = task_row(task, folder / file_name(id), folder)
    return bool(row == json.loads(json.dumps(made)))


def _is_whole(path: Path) -> bool:
    """Whether an mp4 file has no bytes lost at its end: the sizes of its boxes add up to its own."""
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:  # the size follows the box's type, in 64 bits
                length = int.from_bytes(header[8:], "big")
            if length < 8:
                return False
            place += length
    return place == size > 0


def _shows(path: Path, task: VideoTask) -> bool:
    """Whether a file shows a task's video: its length, its ends, and where the answer shows."""
    from vzgym.video.file import FileVideo

    video = task.video
    last = video.duration - 1.0 / video.fps
    spans = task.varying
    inside = [np.linspace(s.start, s.end, _PROBES // len(spans), endpoint=False) for s in spans]
    # Half a frame further on: in the middle of a frame no rounding can matter.
    times = np.clip(np.concatenate([np.zeros(1), *inside, np.array([last])]) + 0.5 / video.fps, 0.0, last)
    file = FileVideo(path)
    try:
        if (file.num_frames, file.height, file.width) != (video.num_frames, video.height, video.width):
            return False
        found = file.read(times).pixels.astype(np.int16)
    except (VideoError, InvalidSetting):
        return False
    finally:
        file.close()
    wanted = video.read(times).pixels.astype(np.int16)
    return bool((np.abs(found - wanted).mean(axis=(1, 2, 3)) <= _MOST_DIFFERENCE).all())
