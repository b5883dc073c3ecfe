"""Task sets, and what `load_tasks` makes them from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.core.registry import names_from_data
from vzgym.core.text import close_name, known_names
from vzgym.tasks.io.jsonl import load_jsonl
from vzgym.tasks.io.tables import load_table
from vzgym.tasks.suite import SPLITS, SUITES, ProceduralTasks, Suite
from vzgym.tasks.task import VideoTask
from vzgym.tasks.task_list import TaskList
from vzgym.tasks.task_slice import TABLE_SUFFIXES, is_task_file, slice_of, split_slice

__all__ = ["TaskList", "TaskSet", "TaskSpec", "get_task", "load_tasks", "other_split"]


@runtime_checkable
class TaskSet(Protocol):
    """A finite, indexed set of tasks. Cheap to make and to pickle; `set[i]` is the same task every time.

    Attributes:
        name: The name of the set in records and tables.
        budget: The budget that its tasks were built for; the paper's where nothing else is known.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def budget(self) -> Budget:
        """See the class."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> VideoTask: ...

    def __iter__(self) -> Iterator[VideoTask]: ...

    def representatives(self, indices: range, /) -> Sequence[int]:
        """Those among `indices` whose videos have all lengths and sizes that occur, so that no other need be opened.

        All of `indices` where nothing is known of the videos. The videos of those left out can always be opened.
        """
        ...


TaskSpec: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Suite | VideoTask | Sequence[VideoTask] | TaskSet"
"""Everything that `load_tasks` takes."""

_NUMBER = re.compile("0|[1-9][0-9]{0,8}")


def load_tasks(
    spec: TaskSpec,
    split: str = "train",
    *,
    backend: str = "pyav",
    root: str | os.PathLike[str] | None = None,
    allow_playlists: bool = False,
) -> TaskSet:
    """The tasks for a spec.

    Args:
        spec: A suite's name ("needle"), or one with its split ("needle/test"); a benchmark's name ("videomme"), with
            a subset ("videomme/long"), or as a mapping with its options (`{"name": "videomme", "root": ...,
            "subtitles": True}`, see `Benchmark`); a path that ends in ".jsonl", or a table in ".csv", ".tsv" or
            ".parquet", also as a mapping (`{"name": "mine.csv", "columns": {"answer": "label"}}`, see `load_table`); a
            `module:suite`; a `Suite`; a task; a sequence of tasks; or a finished task set. A text may end in a slice
            ("needle/test[:100]", "mine.jsonl[20:40]").
        split: Which split of a suite ("train", "validation", "test") where the name says none.
        backend: Which decoder reads the videos of a ".jsonl" file or a benchmark.
        root: The folder with a benchmark's files. For a ".jsonl" file the only folder whose videos it may name, links
            followed; any if not given.
        allow_playlists: Whether the videos of a ".jsonl" file may be playlists (see `FileVideo`), which name other
            files: those in their own folder or, if given, in `root`.

    Raises:
        UnknownName: If there is no such suite, split, benchmark or subset; the message lists those that are.
        TaskError: If a file cannot be read as tasks, a benchmark's files are not found, or a sequence is empty.
        InvalidSetting: If a text names a folder, or a file of another kind; if a slice names tasks that
            the set does not have; or `spec` is of another type.
    """
    if isinstance(spec, str):
        base, part = split_slice(spec)
        if part:
            whole = load_tasks(base, split, backend=backend, root=root, allow_playlists=allow_playlists)
            return slice_of(whole, part)
    if isinstance(spec, VideoTask):
        return TaskList([spec], name=spec.id)
    if isinstance(spec, Suite):
        return spec(split)
    if isinstance(spec, (str, os.PathLike)) and os.fspath(spec).lower().endswith(TABLE_SUFFIXES):
        return load_table(spec, backend=backend, root=root)
    if isinstance(spec, os.PathLike) or (isinstance(spec, str) and spec.endswith(".jsonl")):
        return load_jsonl(spec, backend=backend, root=root, allow_playlists=allow_playlists)
    if isinstance(spec, Mapping):
        return _benchmark(spec.get("name"), {"backend": backend, "root": root, **spec})
    if isinstance(spec, str):
        name, _, named_split = spec.partition("/")
        if name not in SUITES and ":" not in name and _is_benchmark(name):
            return _benchmark(spec, {"backend": backend, "root": root})
        # A suite's name goes before a file's, so that what lies in the working directory changes no run.
        # Not `Path.exists`, which raises an OSError for a text that is too long for a file's name.
        if name not in SUITES and os.path.exists(spec):  # noqa: PTH110
            raise InvalidSetting(_no_task_file(Path(spec)))
        if name not in SUITES and ":" not in name:
            from vzgym.tasks.benchmarks import BENCHMARKS

            benchmarks = BENCHMARKS.names()
            close = close_name(name, benchmarks)
            guess = f"Did you mean the benchmark {close!r}? " if close else ""
            raise UnknownName(SUITES.kind, name, SUITES.names(), f"{guess}Benchmarks: {', '.join(benchmarks)}.")
        made: Any = SUITES.get(name)
        if ":" in name and _is_definition(made):
            return _benchmark(spec, {"backend": backend, "root": root})
        tasks: TaskSet = made(split=named_split or split)
        return tasks
    if isinstance(spec, TaskSet):
        return spec
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return TaskList(spec)
    raise InvalidSetting(
        f"tasks must be the name of a suite or a benchmark, a .jsonl file, a task, a sequence of tasks or a task set, "
        f"got {type(spec).__name__}"
    )


def other_split(spec: str, split: str) -> str:
    """The text that names another split of the same tasks.

    For a suite, its split ("needle/train[:100]" and "test": "needle/test"). For a file, the one beside it that has the
    split's name in place of "train" in its own ("a/train.jsonl": "a/test.jsonl"); the file itself if there is none. A
    benchmark has no splits.

    Args:
        spec: A suite with or without its split, a benchmark, or the path of a file of tasks; each may end in a slice.
        split: Name of a split.
    """
    name, _ = split_slice(spec)
    if is_task_file(name):
        file = Path(name)
        other = file.with_name(file.name.replace("train", split))
        return str(other) if os.path.isfile(other) else name  # noqa: PTH113 - Path.is_file raises for long names
    suite = name.partition("/")[0]
    return name if suite not in SUITES and ":" not in suite and _is_benchmark(suite) else f"{suite}/{split}"


def _is_definition(found: object) -> bool:
    from vzgym.tasks.benchmarks.definition import Benchmark

    return isinstance(found, Benchmark)


def _is_benchmark(name: str) -> bool:
    from vzgym.tasks.benchmarks.registry import named_benchmark

    return named_benchmark(name) is not None


def _benchmark(name: object, options: Mapping[str, Any]) -> TaskSet:
    """A benchmark's tasks.

    Args:
        name: Its name, an alias or `module:BENCHMARK`, with a subset or without.
        options: Options of `Benchmark.__call__`; those of an alias give way to them.
    """
    from vzgym.tasks.benchmarks.registry import BENCHMARKS, named_benchmark

    if not isinstance(name, str):
        raise InvalidSetting(f"tasks given as a mapping need the name of a benchmark, got {name!r}")
    base, part = split_slice(name)
    if base.lower().endswith(TABLE_SUFFIXES):
        given = {key: value for key, value in options.items() if key not in ("name", "path")}
        unknown = sorted(set(given) - {"columns", "videos", "times", "backend", "root"})
        if unknown:
            listed = known_names(unknown, ("columns", "times", "videos"))
            raise InvalidSetting(f"a table of tasks has no option {', '.join(unknown)}; {listed}")
        table = load_table(base, **given)
        return slice_of(table, part) if part else table
    found = (base, {}) if ":" in base else named_benchmark(base)
    if found is None:
        raise UnknownName("benchmark", base, BENCHMARKS.names())
    tasks: TaskSet = BENCHMARKS.make({**found[1], **options, "name": found[0]})
    return slice_of(tasks, part) if part else tasks


def _no_task_file(path: Path) -> str:
    """What is wrong with a path that is no task file, and what would be right."""
    ends = f"task files end in {', '.join(('.jsonl', *TABLE_SUFFIXES))}"
    if not path.is_dir():
        return f"tasks {str(path)!r} is a file of another name: rename it, {ends}"
    files = sorted(file for file in path.glob("*") if file.suffix.lower() in (".jsonl", *TABLE_SUFFIXES))
    named = f": {' or '.join(map(str, files))}" if files else f", but there is none in {path}"
    return f"tasks {str(path)!r} is a folder: name the file{named} ({ends})"


def is_task_number(text: str) -> bool:
    """Whether a text is a number as ids of procedural tasks have it: decimal, short, without leading zeros."""
    return bool(_NUMBER.fullmatch(text))


def get_task(id: str, *, trust_code: bool = False) -> VideoTask:
    """Rebuild a procedural task from its id, the same bits in any process.

    Args:
        id: `suite/split/index` ("needle-tiny/test/17"), or `suite/split/index~position` for the variant whose
            right option stands at `position`.
        trust_code: Whether `suite` may be a `module:suite`, which is imported. Ids come from records and task files:
            otherwise only registered suites are used.

    Raises:
        UnknownName: If there is no such suite or split.
        UntrustedName: If the suite is a `module:suite` and `trust_code` is not set.
        TaskError: If the id has another form, or the split has no such index or the task no such position.
    """
    name, _, rest = id.partition("/")
    split, _, number = rest.partition("/")
    index, mark, position = number.partition("~")
    if not is_task_number(index) or (mark and not is_task_number(position)):
        raise TaskError(f"{id!r:.200} is no procedural task's id: 'suite/split/index', such as 'needle-tiny/test/17'")
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    hint = "Register the suite (`register_suite`), or use get_task(..., trust_code=True)."
    with names_from_data(f"the task id {id!r}", trust_code=trust_code, hint=hint):
        suite = SUITES.get(name)
    tasks = suite(split=split)
    if int(index) >= len(tasks):
        raise TaskError(f"no task {id!r}: {name}/{split} has {len(tasks)} tasks")
    if not mark:
        return tasks[int(index)]
    if not isinstance(tasks, ProceduralTasks) or int(position) >= tasks.family(int(index)).num_options:
        raise TaskError(f"no task {id!r}: there is no option at position {position}")
    return tasks.variants(int(index))[int(position)]
