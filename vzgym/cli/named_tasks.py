"""Tasks on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vzgym.cli.progress import errors, say
from vzgym.core.errors import InvalidSetting
from vzgym.tasks import TaskSet, load_tasks
from vzgym.tasks.benchmarks.loading import BenchmarkTasks
from vzgym.tasks.benchmarks.registry import named_benchmark
from vzgym.tasks.task_slice import TABLE_SUFFIXES, TaskSlice, split_slice

__all__ = ["asks_for_subtitles", "load_named_tasks", "say_left_out"]

_TABLE_OPTIONS = ("columns", "times")


def load_named_tasks(
    text: str, *, backend: str = "pyav", root: Path | None = None, speech: bool = False, **options: Any
) -> TaskSet:
    """Load tasks given on the command line.

    Args:
        text: A suite, a benchmark or a file, as `load_tasks` takes them; or a mapping `{name: BENCHMARK, options}`.
        backend: Decoder for video files.
        root: Folder with a benchmark's files, or to which the videos of a file are confined.
        speech: Whether the run uses subtitles, which a benchmark loads only then.
        options: Further options of a benchmark (`skip_flawed`, `skip_missing`) or of a table (`columns`, `times`).

    Raises:
        InvalidSetting: If options are given for other tasks.
    """
    from vzgym.video.file import BACKENDS

    if backend not in BACKENDS:
        BACKENDS.get(backend)  # raises, unless it is a user's class
    if text.lstrip().startswith("{"):
        from vzgym.core.documents import read_value

        spec = read_value(text, "--tasks given as a mapping")
        if not isinstance(spec, Mapping):
            raise InvalidSetting(f"--tasks given as a mapping needs a name, got {spec!r}")
        options = {**options, "subtitles": True} if speech else options
        given = {**options, **({"root": str(root)} if root is not None else {}), "backend": backend}
        return load_tasks({**given, **spec})
    of_table = split_slice(text)[0].lower().endswith(TABLE_SUFFIXES)
    of_benchmark = _named_benchmark(text) is not None
    wrong = [name for name in options if not (of_table if name in _TABLE_OPTIONS else of_benchmark)]
    if wrong:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        kind = "tables" if wrong[0] in _TABLE_OPTIONS else "benchmarks (vzgym bench list)"
        raise InvalidSetting(f"{names}: for {kind} only, not for {text!r}")
    if options or (speech and of_benchmark):
        options = {**options, "subtitles": True} if speech and of_benchmark else options
        return load_tasks({"name": text, **options, "backend": backend, "root": root})
    return load_tasks(text, split="test", backend=backend, root=root)


def _named_benchmark(text: str) -> tuple[str, dict[str, Any]] | None:
    """The benchmark and the options that a text names; None if it names something else, such as a file."""
    name = split_slice(text)[0]
    return None if name.lower().endswith((".jsonl", *TABLE_SUFFIXES)) else named_benchmark(name)


def asks_for_subtitles(text: str) -> bool:
    """Whether tasks given on the command line ask for a benchmark's subtitles, by an alias or an option."""
    if text.lstrip().startswith("{"):
        from vzgym.core.documents import read_value

        spec = read_value(text, "--tasks given as a mapping")
        return isinstance(spec, Mapping) and bool(spec.get("subtitles"))
    found = _named_benchmark(text)
    return found is not None and bool(found[1].get("subtitles"))


def say_left_out(tasks: TaskSet) -> None:
    """Say on stderr which layout a benchmark was found in, and how many rows are flawed or left out."""
    found: Any = tasks.tasks if isinstance(tasks, TaskSlice) else tasks
    if not isinstance(found, BenchmarkTasks):
        return
    flawed = f", {found.flawed} with flaws" if found.flawed else ""
    left_out = "".join(f"; left out: {count} ({reason})" for reason, count in found.skipped.items())
    silent = f"; {found.without_subtitles} tasks without subtitles" if found.without_subtitles else ""
    say(f"{found.name}: {found.place.layout} layout, {found.rows} rows{flawed}{left_out}{silent}", errors)
