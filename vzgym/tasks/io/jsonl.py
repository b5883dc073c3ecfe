"""Tasks in a file of JSON lines: one task a line, videos by their path relative to the file.

A line has the keys `id`, `video` and `question`, and may have `options` (list of texts), `answer`, `evidence` (list
of `[start, end]` in seconds, or null where unknown), `requirements` (an object, see `EvidenceRequirements`),
`category`, `subtitles`, `source` and `metadata` (an object). Blank lines are skipped. `subtitles` is a list of `[start,
end, text]`, the path of a subtitle file, or an object of a `path` and settings of `read_subtitles`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.files import json_line, read_json_lines, write_text
from vzgym.core.interval import Interval
from vzgym.core.text import known_names
from vzgym.tasks.evidence import EvidenceRequirements
from vzgym.tasks.io.rows import find_file
from vzgym.tasks.subtitles.reading import read_subtitles
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.tasks.task import VideoTask
from vzgym.tasks.task_list import TaskList

__all__ = ["load_jsonl", "task_row", "write_jsonl"]

_REQUIRED = ("id", "video", "question")
_SUBTITLE_SETTINGS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "format": (str, "a text"),
    "encoding": (str, "a text"),
    "unit": (str, "a text"),
    "offset": ((int, float), "a number"),
    "duration": ((int, float), "a number"),
    "strict": (bool, "true or false"),
}
_KEYS = (*_REQUIRED, "options", "answer", "evidence", "requirements", "category", "subtitles", "source", "metadata",
    "show_subtitles")  # fmt: skip


def load_jsonl(
    path: str | os.PathLike[str],
    *,
    backend: str = "pyav",
    root: str | os.PathLike[str] | None = None,
    allow_playlists: bool = False,
) -> TaskList:
    """Read tasks from a file.

    Args:
        path: The JSON-lines file.
        backend: Which decoder reads the videos ("pyav", "decord").
        root: The only folder whose videos may be named, links followed. Rows may name any file if not given: set it
            for task files from others.
        allow_playlists: Whether a video may be a playlist (see `FileVideo`), which names other files: those in its own
            folder or, if given, in `root`.

    Returns:
        The tasks; the set is named after the file. Its budget is the one that all rows' metadata name, else the
        paper's.

    Raises:
        TaskError: If the file is missing or holds no task, or a row is bad: no JSON, a key missing or unknown, an
            answer that is none of the options, a reversed interval, a video file that does not exist or lies outside
            `root`, an id that repeats. Names the file, the line and the reason.
        UnknownName: If there is no such back-end.
    """
    from vzgym.video.file import BACKENDS  # brings a decoder, which building tasks does not need

    file = Path(path)
    BACKENDS.get(backend)
    settings: dict[str, Any] = {"backend": backend}
    if allow_playlists:
        settings |= {"allow_playlists": True, "root": root}
    tasks: list[VideoTask] = []
    lines_by_id: dict[str, int] = {}
    for number, row in read_json_lines(file, TaskError):
        try:
            task = _parse(row, file.parent, root, settings)
        except (TaskError, InvalidSetting, OverflowError) as error:
            raise TaskError(f"{file}, line {number}: {error}") from error
        if task.id in lines_by_id:
            raise TaskError(f"{file}, line {number}: id {task.id!r} is that of line {lines_by_id[task.id]} too")
        lines_by_id[task.id] = number
        tasks.append(task)
    if not tasks:
        raise TaskError(f"{file}: holds no task")
    return TaskList(tasks, name=file.stem)


def write_jsonl(tasks: Iterable[VideoTask], path: str | os.PathLike[str]) -> Path:
    """Write tasks whose videos are files. An existing file is replaced, all at once.

    Args:
        tasks: The tasks.
        path: Where to; folders are made. Videos are named relative to its folder.

    Returns:
        The path.

    Raises:
        TaskError: If a task's video is no file (`write_tasks` makes files of procedural videos).
    """
    file = Path(path)
    rows = []
    for task in tasks:
        video = getattr(task.video, "path", None)
        if not isinstance(video, (str, os.PathLike)):
            raise TaskError(
                f"task {task.id!r}: its video {task.video.uri!r} is no file; write_tasks() renders tasks to files"
            )
        rows.append(json_line(task_row(task, Path(video), file.parent)))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, "".join(f"{row}\n" for row in rows))
    return file


def task_row(task: VideoTask, video: Path, folder: Path) -> dict[str, Any]:
    """A task as one row's JSON values, its video named relative to `folder` (with forward slashes)."""
    relative = os.path.relpath(video.resolve(), folder.resolve())
    return {
        "id": task.id,
        "video": Path(relative).as_posix(),
        "question": task.question,
        "options": list(task.options),
        "answer": task.answer,
        "evidence": None if task.evidence is None else [span.to_list() for span in task.evidence],
        "requirements": task.requirements.to_dict(),
        "category": task.category,
        "subtitles": [[line.start, line.end, line.text] for line in task.subtitles],
        "source": task.source,
        "metadata": dict(task.metadata),
        **({"show_subtitles": True} if task.show_subtitles else {}),
    }


def _parse(row: Any, folder: Path, root: str | os.PathLike[str] | None, video_settings: Mapping[str, Any]) -> VideoTask:
    from vzgym.video.file import FileVideo

    if not isinstance(row, dict):
        raise TaskError(f"a row must be a JSON object, got {type(row).__name__}")
    missing = [key for key in _REQUIRED if key not in row]
    unknown = sorted(set(row) - set(_KEYS))
    if missing:
        raise TaskError(f"missing {', '.join(map(repr, missing))}")
    if unknown:
        raise TaskError(f"unknown key {', '.join(map(repr, unknown))}; {known_names(unknown, _KEYS)}")
    for key in ("id", "video", "question", "answer", "category", "source"):
        if not isinstance(row.get(key, ""), str):
            raise TaskError(f"{key!r} must be a text, got {row[key]!r}")
    options = row.get("options", [])
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise TaskError(f"'options' must be a list of texts, got {options!r}")
    if options and "answer" not in row:
        raise TaskError("a question with options needs 'answer': an option, its letter, or \"\" if it is unknown")
    metadata = row.get("metadata", {})
    if not isinstance(metadata, dict):
        raise TaskError(f"'metadata' must be an object, got {metadata!r}")
    shown = row.get("show_subtitles", False)
    if not isinstance(shown, bool):
        raise TaskError(f"'show_subtitles' must be true or false, got {shown!r}")
    video = find_file(row["video"], folder, root)
    return VideoTask(
        id=row["id"],
        video=FileVideo(video, **video_settings),
        question=row["question"],
        options=tuple(options),
        answer=row.get("answer", ""),
        evidence=_evidence(row.get("evidence")),
        requirements=EvidenceRequirements.from_dict(row.get("requirements", {})),
        category=row.get("category", ""),
        subtitles=_subtitles(row.get("subtitles", []), folder, root),
        source=row.get("source", ""),
        metadata=metadata,
        show_subtitles=shown,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _evidence(value: Any) -> tuple[Interval, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise TaskError(f"'evidence' must be a list of [start, end] or null, got {value!r}")
    spans = []
    for span in value:
        if not (isinstance(span, list) and len(span) == 2 and all(map(_is_number, span))):
            raise TaskError(f"'evidence' must hold [start, end] in seconds, got {span!r}")
        try:
            spans.append(Interval(float(span[0]), float(span[1])))
        except InvalidSetting as error:
            raise TaskError(f"bad evidence: {error}") from error
    return tuple(spans)


def _subtitles(value: Any, folder: Path, root: str | os.PathLike[str] | None) -> tuple[Subtitle, ...]:
    if isinstance(value, list):
        return tuple(map(_subtitle, value))
    settings = {"path": value} if isinstance(value, str) else value
    if not isinstance(settings, dict) or not isinstance(settings.get("path"), str):
        raise TaskError(
            f"'subtitles' must be a list of [start, end, text], a path, or an object with 'path', got {value!r:.80}"
        )
    unknown = sorted(set(settings) - {"path", *_SUBTITLE_SETTINGS})
    if unknown:
        raise TaskError(
            f"unknown setting of subtitles {', '.join(unknown)}; {known_names(unknown, _SUBTITLE_SETTINGS)}"
        )
    for name, (types, words) in _SUBTITLE_SETTINGS.items():
        given = settings.get(name)
        if given is not None and (not isinstance(given, types) or isinstance(given, bool) is not (types is bool)):
            raise TaskError(f"setting {name!r} of subtitles must be {words}, got {given!r:.80}")
    path = find_file(settings["path"], folder, root, "subtitle file")
    return read_subtitles(path, **{name: value for name, value in settings.items() if name != "path"})


def _subtitle(value: Any) -> Subtitle:
    ok = isinstance(value, list) and len(value) == 3 and all(map(_is_number, value[:2])) and isinstance(value[2], str)
    if not ok:
        raise TaskError(f"'subtitles' must hold [start, end, text], got {value!r}")
    return Subtitle(float(value[0]), float(value[1]), value[2])
