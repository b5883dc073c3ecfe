"""Rows of training data for other trainers: they name tasks by task set and index, and hold no pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.core.files import replace_file
from vzgym.interfaces.rollouts import TextRollouts
from vzgym.interfaces.tasks import load_confined
from vzgym.tasks import TaskSet, resolve_budget
from vzgym.tasks.suite import SUITES
from vzgym.tasks.task_slice import TABLE_SUFFIXES, split_slice

__all__ = ["ShowRows", "measured_lengths", "name_for_rows", "open_tasks", "task_rows", "write_splits"]

ShowRows: TypeAlias = Callable[[int, int], None]
"""Called with the number of rows done, and of all."""

_SLACK = 1.02
"""Openings differ by a few tokens in their numbers: a margin over the measured ones."""


def name_for_rows(spec: str) -> str:
    """The text by which rows name tasks: it means the same in every process.

    Args:
        spec: A suite, a benchmark or a file, as `load_tasks` takes them, also with a slice.

    Returns:
        A suite with its split (the training split if none is given), a file by its absolute path.
    """
    base, part = split_slice(spec)
    if base.lower().endswith((".jsonl", *TABLE_SUFFIXES)):
        return f"{Path(base).resolve()}{part}"
    return f"{base}/train{part}" if base in SUITES else spec


def task_rows(name: str, tasks: TaskSet) -> Iterator[dict[str, Any]]:
    """One row for each task, with what all trainers read.

    Args:
        name: From `name_for_rows`.
        tasks: The tasks of that name.

    Yields:
        `prompt` (the question as a chat message; the interface shows the whole opening in its place), `data_source`
        (`name` without its slice), `answer` (the right one, as text) and `extra_info`, which names the task.
    """
    source = split_slice(name)[0]
    for index in range(len(tasks)):
        task = tasks[index]
        yield {
            "data_source": source,
            "prompt": [{"role": "user", "content": task.question}],
            "answer": task.answer,
            "extra_info": {"tasks": name, "index": index},
        }


def open_tasks(name: str, root: str | os.PathLike[str] | None) -> TaskSet:
    """Load the tasks of rows as an interface loads them.

    Raises:
        UntrustedName: If the text names code: rows are data.
        UnknownName, TaskError, InvalidSetting: See `load_tasks`.
    """
    return load_confined(name, split="train", root=None if root is None else os.fspath(root))


def measured_lengths(model: str, rollouts: TextRollouts, sets: Iterable[TaskSet], turn_tokens: int) -> tuple[int, int]:
    """Measure how many tokens the episodes of task sets need, on blank frames.

    Args:
        model: A vision-language model's folder or name; only its processor is loaded.
        rollouts: Protocol, budget, tools and subtitles.
        sets: The task sets.
        turn_tokens: Most tokens of a turn.

    Returns:
        Tokens of the longest opening, and of a whole roll-out after it: all turns and replies.

    Raises:
        InvalidSetting: If there is no such model, or it has no vision.
        DependencyNotInstalled: If torch or transformers is missing.
    """
    try:
        from vzgym.agents.training.task_checks import check_tasks
        from vzgym.agents.training.token_budget import measure_tokens
        from vzgym.agents.vlm.checkpoint import open_processor
    except ImportError as error:
        raise DependencyNotInstalled(
            f'--model needs torch and transformers, run `pip install "vzgym[llm]"` ({error})'
        ) from error
    processor = open_processor(model)
    needs = [
        measure_tokens(
            processor,
            rollouts.protocol,
            check_tasks(tasks, len(tasks)).representatives,
            resolve_budget(rollouts.budget, tasks),
            turn_tokens,
            rollouts.extras,
        )
        for tasks in sets
    ]
    return max(math.ceil(need.prompt * _SLACK) for need in needs), max(need.completion for need in needs)


def write_splits(
    out: Path,
    sets: Sequence[tuple[str, TaskSet]],
    complete: Callable[[dict[str, Any]], Mapping[str, Any]],
    progress: ShowRows | None = None,
) -> dict[Path, int]:
    """Write the rows of training tasks and, if given, of validation tasks to `train.parquet` and `validation.parquet`.

    Each file is written completely or not at all.

    Args:
        out: The folder; made if missing.
        sets: The names of the training and the validation tasks (`name_for_rows`), and the tasks.
        complete: Makes a trainer's row of one of `task_rows`.
        progress: Called with (rows done, rows in all) after each row.

    Returns:
        The files, and their numbers of rows.

    Raises:
        DependencyNotInstalled: If pyarrow is missing.
        InvalidSetting: If one of the files exists.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyNotInstalled('pyarrow is not installed, run `pip install "vzgym[data]"`') from error
    files = [out / f"{split}.parquet" for split in ("train", "validation")[: len(sets)]]
    for file in files:
        if file.exists():
            raise InvalidSetting(f"{file} exists: give another folder, or remove it")
    done, total = count(1), sum(len(tasks) for _, tasks in sets)
    rows: list[list[dict[str, Any]]] = []
    for name, tasks in sets:
        rows.append([])
        for row in task_rows(name, tasks):
            rows[-1].append(dict(complete(row)))
            if progress is not None:
                progress(next(done), total)
    # Written when all are made: a bad row of the validation tasks leaves nothing behind.
    out.mkdir(parents=True, exist_ok=True)
    for file, found in zip(files, rows, strict=True):
        with replace_file(file) as temporary:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found), temporary)
    return dict(zip(files, map(len, rows), strict=True))
