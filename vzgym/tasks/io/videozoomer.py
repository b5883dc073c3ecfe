"""The RL rows that VideoZoomer publishes, as tasks.

A row is `{doc_id, problem: "<video>...", solution, videos: [path], data_source, extra_info: {answer_type}}`; a problem
with `answer_type` "multiple_choice" has its options in the text, on lines of their own or behind one another.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.tasks.io.rows import find_file, read_rows, unused_columns, warn_of_unused
from vzgym.tasks.task import VideoTask, option_letter

__all__ = ["read_rl_rows", "split_options"]

_KEYS = ("doc_id", "problem", "solution", "videos")
_USED = (*_KEYS, "data_source", "extra_info")
_TYPES = ("multiple_choice", "open_ended")
_MARK = re.compile(r"(?:^|(?<=\s))(?:\(([A-Z])\)|([A-Z])[.):])\s+", re.MULTILINE)
_HEAD = re.compile(r"\s*\b(?:options|choices)\s*:?\s*$", re.IGNORECASE)
_ANSWER = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)


def read_rl_rows(
    path: str | Path,
    videos: str | Path | None = None,
    *,
    skip_broken: bool = False,
    root: str | os.PathLike[str] | None = None,
) -> tuple[list[VideoTask], list[str]]:
    """Read a file of RL rows.

    Args:
        path: A `.json`, `.jsonl` or `.parquet` file.
        videos: The folder that the rows' paths start from; the file's own if not given.
        skip_broken: Leave broken rows out, instead of stopping at the first.
        root: The only folder whose videos may be named, links followed; any if not given.

    Returns:
        The tasks, and the fault of each row that was left out. Warns (`UnusedColumns`) of columns that are not used.

    Raises:
        TaskError: If the file cannot be read, no row is left, or, unless `skip_broken`, a row is broken: a key is
            missing, there is not exactly one video, its file does not exist, a multiple choice has no options,
            options that can be split in several ways, or a solution that is none of them, an id repeats. Names the
            file, the row and the reason.
    """
    folder = Path(videos) if videos is not None else Path(path).parent
    tasks: dict[str, VideoTask] = {}
    broken: list[str] = []
    unused: Counter[str] = Counter()
    for where, row in read_rows(path):
        unused.update(unused_columns(row, _USED))
        try:
            task = _task(row, folder, root)
            if task.id in tasks:
                raise TaskError(f"doc_id {task.id!r} is that of an earlier row, too")
        except TaskError as error:
            reason = f"{where}: {error}"
            if not skip_broken:
                raise TaskError(reason) from error
            broken.append(reason)
            continue
        tasks[task.id] = task
    if not tasks:
        raise TaskError(f"{path}: no row is left; the first: {broken[0]}")
    warn_of_unused(path, unused, _USED)
    return list(tasks.values()), broken


def _task(row: Mapping[str, Any], folder: Path, root: str | os.PathLike[str] | None) -> VideoTask:
    from vzgym.video.file import FileVideo

    missing = [key for key in _KEYS if row.get(key) in (None, "")]
    if missing:
        raise TaskError(f"missing {', '.join(map(repr, missing))}; an RL row has {', '.join(_KEYS)}")
    extra = row.get("extra_info") or {}
    if not isinstance(extra, Mapping):
        raise TaskError(f"'extra_info' must be an object, got {type(extra).__name__}")
    video = find_file(_video(row["videos"]), folder, root)
    problem, solution = row["problem"], row["solution"]
    if not isinstance(problem, str) or not isinstance(solution, (str, int, float)):
        raise TaskError("'problem' and 'solution' must be texts")
    kind = extra.get("answer_type") or ("multiple_choice" if len(split_options(problem)[1]) > 1 else "open_ended")
    if kind not in _TYPES:
        raise TaskError(f"answer_type must be one of {', '.join(_TYPES)}, got {kind!r}")
    text = problem.replace("<video>", "").strip()
    question, options, rest = split_options(text) if kind == "multiple_choice" else (text, (), "")
    if kind == "multiple_choice" and not options:
        raise TaskError("a multiple choice needs its options in the problem, as 'A. ...', 'B. ...' or '(A) ...'")
    found = _ANSWER.fullmatch(str(solution))
    answer = (found[1] if found else str(solution)).strip()
    return VideoTask(
        id=str(row["doc_id"]),
        video=FileVideo(video),
        question=question,
        options=options,
        answer=answer,
        category=kind,
        source=str(row.get("data_source") or ""),
        metadata={"extra_info": dict(extra), **({"instruction": rest} if rest else {})},
    )


def split_options(text: str) -> tuple[str, tuple[str, ...], str]:
    """Split a text into its question and its options.

    Args:
        text: Options are marked "A.", "A)", "A:" or "(A)", in order from A. If two or more marks in order begin lines,
            only marks at the beginning of lines count: "C." is no mark in "B. Samuel C. Wright".

    Returns:
        The question, the options, and what follows the line of the last option (usually instructions on the form of
        the answer). Without options: the text, `()` and "".

    Raises:
        TaskError: If the options stand in one line and can be split in several ways.
    """
    marks = list(_MARK.finditer(text))
    chain = _last_chain([mark for mark in marks if not text[: mark.start()].rpartition("\n")[2].strip()])
    if not chain:
        chain = _last_chain(marks)
        for place, mark in enumerate(chain[1:], start=1):
            end = chain[place + 1].start() if place + 1 < len(chain) else len(text)
            again = [other for other in marks if mark.end() <= other.start() < end and _name(other) == _name(mark)]
            if again:
                raise TaskError(
                    f"the options can be split in several ways, since {again[0][0].strip()!r} occurs twice: put each "
                    "option on a line of its own"
                )
    if not chain:
        return text.strip(), (), ""
    ends = [mark.start() for mark in chain[1:]]
    last, _, rest = text[chain[-1].end() :].partition("\n")
    options = [text[mark.end() : end] for mark, end in zip(chain, ends, strict=False)]
    question = _HEAD.sub("", text[: chain[0].start()]).strip()
    return question, tuple(option.strip() for option in [*options, last]), rest.strip()


def _name(mark: re.Match[str]) -> str:
    return mark[1] or mark[2]


def _last_chain(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last two or more marks in the order A, B, ...; none if there are not two."""
    chains: list[list[re.Match[str]]] = []
    for mark in marks:
        if _name(mark) == "A":
            chains.append([mark])
        elif chains and _name(mark) == option_letter(len(chains[-1])):
            chains[-1].append(mark)
    return next((chain for chain in reversed(chains) if len(chain) > 1), [])


def _video(videos: Any) -> str:
    if not isinstance(videos, list) or len(videos) != 1:
        count = len(videos) if isinstance(videos, list) else type(videos).__name__
        raise TaskError(f"'videos' must hold exactly one path, got {count}")
    video = videos[0].get("video") if isinstance(videos[0], Mapping) else videos[0]
    if not isinstance(video, str) or not video:
        raise TaskError(f"'videos' must hold a path, got {videos[0]!r}")
    return video
