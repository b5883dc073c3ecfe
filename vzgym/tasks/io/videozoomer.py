"""The RL rows that VideoZoomer publishes, as tasks.

A row is `{doc_id, problem: "<video>...", solution, videos: [path], data_source, extra_info: {answer_type}}`; a problem
with `answer_type` "multiple_choice" has its options in the text, on lines of their own or behind one another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.tasks.io.rows import read_rows
from vzgym.tasks.task import VideoTask, option_letter

__all__ = ["read_rl_rows", "split_options"]

_KEYS = ("doc_id", "problem", "solution", "videos")
_TYPES = ("multiple_choice", "open_ended")
_MARK = re.compile(r"(?:^|(?<=\s))(?:\(([A-Z])\)|([A-Z])[.):])\s+", re.MULTILINE)
_HEAD = re.compile(r"\s*\b(?:options|choices)\s*:?\s*$", re.IGNORECASE)
_ANSWER = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.):](?:\s.*)?)?", re.DOTALL)


def read_rl_rows(
    path: str | Path, videos: str | Path | None = None, *, skip_broken: bool = False
) -> tuple[list[VideoTask], list[str]]:
    """Read a file of RL rows.

    Args:
        path: A `.json`, `.jsonl` or `.parquet` file.
        videos: The folder that the rows' paths start from; the file's own if not given.
        skip_broken: Leave broken rows out, instead of stopping at the first.

    Returns:
        The tasks, and what was wrong with each row that was left out.

    Raises:
        TaskError: If the file cannot be read, no row is left, or, unless `skip_broken`, a row is broken: a key is
            missing, there is not exactly one video, its file does not exist, a multiple choice has no options or a
            solution that is none of them, an id repeats. Names the file, the row and the reason.
    """
    root = Path(videos) if videos is not None else Path(path).parent
    tasks: dict[str, VideoTask] = {}
    broken: list[str] = []
    for where, row in read_rows(path):
        try:
            task = _task(row, root)
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
    return list(tasks.values()), broken


def _task(row: Mapping[str, Any], root: Path) -> VideoTask:
    from vzgym.video.file import FileVideo

    missing = [key for key in _KEYS if row.get(key) in (None, "")]
    if missing:
        raise TaskError(f"missing {', '.join(map(repr, missing))}; an RL row has {', '.join(_KEYS)}")
    extra = row.get("extra_info") or {}
    if not isinstance(extra, Mapping):
        raise TaskError(f"'extra_info' must be an object, got {type(extra).__name__}")
    video = root / _video(row["videos"])
    if not video.is_file():
        raise TaskError(f"no video file {video}")
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
        answer=_letter(answer, options),
        category=kind,
        source=str(row.get("data_source") or ""),
        metadata={"extra_info": dict(extra), **({"instruction": rest} if rest else {})},
    )


def split_options(text: str) -> tuple[str, tuple[str, ...], str]:
    """A question with its options in the text, taken apart.

    Args:
        text: Options are marked "A.", "A)", "A:" or "(A)", in order from A.

    Returns:
        The question, the options, and what stands behind the line of the last option (instructions on the form of
        the answer, as a rule). Without options: the text, `()` and "".
    """
    chains: list[list[re.Match[str]]] = []
    for mark in _MARK.finditer(text):
        letter = mark[1] or mark[2]
        if letter == "A":
            chains.append([mark])
        elif chains and letter == option_letter(len(chains[-1])):
            chains[-1].append(mark)
    chain = next((chain for chain in reversed(chains) if len(chain) > 1), None)
    if chain is None:
        return text.strip(), (), ""
    ends = [mark.start() for mark in chain[1:]]
    last, _, rest = text[chain[-1].end() :].partition("\n")
    options = [text[mark.end() : end] for mark, end in zip(chain, ends, strict=False)]
    question = _HEAD.sub("", text[: chain[0].start()]).strip()
    return question, tuple(option.strip() for option in [*options, last]), rest.strip()


def _letter(answer: str, options: tuple[str, ...]) -> str:
    """The letter of an answer such as "B", "(B)" or "B. a dog"; any other answer as it is."""
    if answer in options:
        return answer
    found = _LETTER.fullmatch(answer) if options else None
    return found[1] if found else answer


def _video(videos: Any) -> str:
    if not isinstance(videos, list) or len(videos) != 1:
        count = len(videos) if isinstance(videos, list) else type(videos).__name__
        raise TaskError(f"'videos' must hold exactly one path, got {count}")
    video = videos[0].get("video") if isinstance(videos[0], Mapping) else videos[0]
    if not isinstance(video, str) or not video:
        raise TaskError(f"'videos' must hold a path, got {videos[0]!r}")
    return video.removeprefix("file://")
