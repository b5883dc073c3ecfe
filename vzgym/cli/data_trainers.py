"""`vzgym data verl` and `vzgym data skyrl`: training data for other trainers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from vzgym.cli.progress import progress_bar, say
from vzgym.core.errors import InvalidSetting

__all__ = ["skyrl_command", "verl_command"]

TasksOption = Annotated[
    str, typer.Option(help='Training tasks: a suite, a benchmark or a file; also with a slice, "needle/train[:2000]".')
]
ValidationOption = Annotated[str | None, typer.Option(help="Validation tasks, as --tasks.")]
OutOption = Annotated[Path, typer.Option(help="Folder for the files.")]
RootOption = Annotated[
    str | None,
    typer.Option(help="Folder with a benchmark's files, or that holds a task file's videos. Default: the task file's."),
]


def verl_command(
    tasks: TasksOption,
    out: OutOption,
    validation: ValidationOption = None,
    reward: Annotated[str, typer.Option(help="Preset, module, YAML file or mapping.")] = "videozoomer",
    protocol: Annotated[str, typer.Option(help="Text protocol: a name or a mapping.")] = "tags",
    budget: Annotated[str | None, typer.Option(help="Name, or mapping of fields that differ from the tasks'.")] = None,
    tools: Annotated[
        list[str] | None, typer.Option("--tool", help="A tool beside the zoom, name or mapping; repeatable.")
    ] = None,
    subtitles: Annotated[str | None, typer.Option(help="none, overview, clips or all.")] = None,
    turn_tokens: Annotated[int, typer.Option(help="Most tokens of a turn.")] = 512,
    model: Annotated[
        str | None, typer.Option(help="A vision-language model, to measure how many tokens the episodes need.")
    ] = None,
    records: Annotated[str | None, typer.Option(help="JSONL file for the records of the roll-outs.")] = None,
    root: RootOption = None,
) -> None:
    """Write training data for verl: parquet rows without pictures, and the agent loop's YAML."""
    from vzgym.interfaces.verl.data import write_verl_data
    from vzgym.rewards.making import is_yaml_path, make_reward

    given = {
        # A file is read here: the trainer's workers may run elsewhere.
        "reward": make_reward(reward).to_spec() if is_yaml_path(reward) else _value(reward, "--reward"),
        "protocol": _value(protocol, "--protocol"),
        "budget": None if budget is None else _value(budget, "--budget"),
        "tools": [_value(tool, "--tool") for tool in tools or ()],
        "subtitles": subtitles,
        "records": None if records is None else str(Path(records).resolve()),
        "root": None if root is None else str(Path(root).resolve()),
    }
    settings = {name: value for name, value in given.items() if value not in (None, [])}
    with _rows_shown() as show:
        data = write_verl_data(
            out.resolve(),
            tasks,
            validation,
            settings=settings,
            turn_tokens=turn_tokens,
            model=model,
            progress=show,
        )
    for file, rows in zip(data.files, data.rows, strict=True):
        say(f"{rows} rows in {file}")
    say(f"agent loop in {data.config}\nNext: {data.command}")
    if data.lengths is None:
        say("The lengths depend on the model: with --model they are measured.")


def skyrl_command(
    tasks: TasksOption,
    out: OutOption,
    validation: ValidationOption = None,
    env_class: Annotated[str, typer.Option(help="Name under which the environment is registered.")] = "video_zoom",
    root: RootOption = None,
) -> None:
    """Write training data for SkyRL: parquet rows without pictures."""
    from vzgym.interfaces.skyrl.data import write_skyrl_data

    with _rows_shown() as show:
        written = write_skyrl_data(
            out.resolve(),
            tasks,
            validation,
            env_class=env_class,
            root=root,
            progress=show,
        )
    for file, rows in written.items():
        say(f"{rows} rows in {file}")


def _value(text: str, option: str) -> Any:
    """A name, or a mapping in YAML."""
    if not text.lstrip().startswith("{"):
        return text
    from vzgym.core.documents import read_value

    value = read_value(text, option)
    if not isinstance(value, dict):
        raise InvalidSetting(f"{option} takes a name or a mapping, got {value!r}")
    return value


@contextmanager
def _rows_shown() -> Iterator[Callable[[int, int], None]]:
    """A progress bar of rows; shows (rows done, rows in all)."""
    with progress_bar() as bar:
        job = bar.add_task("writing rows", total=None)
        yield lambda done, total: bar.update(job, completed=done, total=total)
