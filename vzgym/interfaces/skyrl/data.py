"""Training data for SkyRL: rows of tasks in parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vzgym.interfaces.training_rows import ShowRows, name_for_rows, open_tasks, write_splits

__all__ = ["write_skyrl_data"]


def write_skyrl_data(
    out: Path,
    tasks: str,
    validation: str | None = None,
    *,
    env_class: str = "video_zoom",
    root: str | None = None,
    progress: ShowRows | None = None,
) -> dict[Path, int]:
    """Write a folder with `train.parquet` and `validation.parquet`.

    Args:
        out: The folder; made if missing.
        tasks: The training tasks: a suite, a benchmark or a file, also with a slice.
        validation: The validation tasks.
        env_class: The name under which the environment is registered.
        root: See `TextRollouts`.
        progress: Called with (rows done, rows in all) after each row.

    Returns:
        The files, and their numbers of rows.

    Raises:
        InvalidSetting: If a file exists.
        UnknownName: If there are no such tasks.
        DependencyNotInstalled: If pyarrow is missing.
    """
    names = [name_for_rows(spec) for spec in (tasks, validation) if spec is not None]

    def complete(row: dict[str, Any]) -> dict[str, Any]:
        answer = row.pop("answer")
        return {**row, "env_class": env_class, "reward_spec": {"method": "rule", "ground_truth": answer}}

    return write_splits(out, [(name, open_tasks(name, root)) for name in names], complete, progress)
