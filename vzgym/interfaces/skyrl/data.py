"""Training data for SkyRL: rows of tasks in parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vzgym.interfaces.training_rows import name_for_rows, open_tasks, task_rows, write_parquet
from vzgym.tasks import TaskSet

__all__ = ["write_skyrl_data"]


def write_skyrl_data(
    out: Path,
    tasks: str,
    validation: str | None = None,
    *,
    env_class: str = "video_zoom",
    root: str | None = None,
) -> dict[Path, int]:
    """Write a folder with `train.parquet` and `validation.parquet`.

    Args:
        out: The folder; made if missing.
        tasks: The training tasks: a suite, a benchmark or a file, also with a slice.
        validation: The validation tasks.
        env_class: The name under which the environment is registered.
        root: See `TextRollouts`.

    Returns:
        The files, and their numbers of rows.

    Raises:
        InvalidSetting: If a file exists.
        UnknownName: If there are no such tasks.
        DependencyNotInstalled: If pyarrow is missing.
    """
    written = {}
    for split, spec in (("train", tasks), ("validation", validation)):
        if spec is not None:
            name = name_for_rows(spec)
            file = out / f"{split}.parquet"
            written[file] = write_parquet(_rows(name, open_tasks(name, root), env_class), file)
    return written


def _rows(name: str, tasks: TaskSet, env_class: str) -> Iterator[dict[str, Any]]:
    for row in task_rows(name, tasks):
        answer = row.pop("answer")
        yield {**row, "env_class": env_class, "reward_spec": {"method": "rule", "ground_truth": answer}}
