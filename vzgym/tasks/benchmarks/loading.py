"""Benchmarks as task sets."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.tasks.benchmarks.definition import Benchmark, Row
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.layouts import SUBTITLE_SUFFIXES, FileIndex, Place, find_place
from vzgym.tasks.io.rows import read_rows
from vzgym.tasks.subtitles.cues import MalformedSubtitles
from vzgym.tasks.subtitles.reading import read_subtitles
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.tasks.task import VideoTask
from vzgym.video.base import Video

__all__ = ["BenchmarkTasks", "load_benchmark", "read_items"]

_Speech: TypeAlias = tuple[Path | None, float, float | None]
"""A subtitle file, the time of its clock at which the video starts, and the video's length; see `_read_speech`."""

_MOST_NAMED = 10
"""Most faults that one message names."""


class BenchmarkTasks:
    """The tasks of a benchmark (a `TaskSet`).

    Attributes:
        benchmark: The definition.
        name: Name of the set, with the subset and what is shown beside the frames ("videomme/long+subtitles").
        budget: The paper's; with the last frame, if the benchmark needs it.
        place: The files.
        subtitles: Whether lines of speech are shown.
        without_subtitles: Number of tasks whose video has no subtitle file; 0 if subtitles are not shown.
        flaws: Number of rows by flaw, of all rows read.
        flawed: Number of rows with flaws, of all rows read.
        rows: Number of rows read, those left out included.
        skipped: Number of rows left out, by reason ("flawed", "missing video").
        missing: Names of missing video files, as the annotations give them, of the tasks.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        place: Place,
        tasks: Sequence[VideoTask],
        *,
        subset: str = "",
        subtitles: Sequence[_Speech] | None = None,
        rows: int,
        flaws: Counter[str],
        flawed: int,
        skipped: Counter[str],
        missing: Sequence[str],
    ) -> None:
        self.benchmark = benchmark
        self.place = place
        self.name = f"{benchmark.name}{f'/{subset}' if subset else ''}{'' if subtitles is None else '+subtitles'}"
        self.subtitles = subtitles is not None
        self.rows, self.flaws, self.flawed, self.skipped = rows, flaws, flawed, skipped
        self.missing = tuple(missing)
        self.budget = Budget(overview_last=benchmark.last_frame)
        self._tasks = tuple(tasks)
        self._speech = None if subtitles is None else tuple(subtitles)
        self.without_subtitles = sum(path is None for path, _, _ in self._speech or ())

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int) -> VideoTask:
        task = self._tasks[index]
        if self._speech is None:
            return task
        lines = _read_speech(*self._speech[index])
        return replace(task, subtitles=lines, show_subtitles=True) if lines else task

    def __iter__(self) -> Iterator[VideoTask]:
        return (self[index] for index in range(len(self)))

    def video(self, index: int) -> Video:
        """The video of a task."""
        return self._tasks[index].video

    def representatives(self, indices: range) -> Sequence[int]:
        """All of them: nothing is known of the videos before they are opened."""
        return indices

    def __repr__(self) -> str:
        return f"<{len(self)} tasks of {self.name}, {self.place.layout} layout>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A definition holds functions; a registered one is found again by its name.
        from vzgym.tasks.benchmarks import BENCHMARKS

        state = {key: value for key, value in vars(self).items() if key != "benchmark"}
        known = self.benchmark.name in BENCHMARKS and BENCHMARKS.get(self.benchmark.name) is self.benchmark
        return _rebuild, (self.benchmark.name if known else self.benchmark, state)


@lru_cache(maxsize=8)
def _read_speech(path: Path | None, start: float, duration: float | None) -> tuple[Subtitle, ...]:
    """The lines of a subtitle file; none where there is no file. Malformed blocks are left out with a warning.

    Args:
        path: The file.
        start: Time of the file's clock at which the video starts, in seconds.
        duration: Length of the video in seconds, if the annotations state it. Lines that start later are left out:
            files of cut videos have them.
    """
    if path is None:
        return ()
    with warnings.catch_warnings():
        if duration is not None:
            warnings.simplefilter("ignore", MalformedSubtitles)
        return read_subtitles(path, offset=-start, duration=duration, strict=False)


def _rebuild(benchmark: Benchmark | str, state: dict[str, Any]) -> BenchmarkTasks:
    if isinstance(benchmark, str):
        from vzgym.tasks.benchmarks import get_benchmark

        benchmark = get_benchmark(benchmark)
    tasks = BenchmarkTasks.__new__(BenchmarkTasks)
    vars(tasks).update(state, benchmark=benchmark)
    return tasks


def load_benchmark(
    benchmark: Benchmark,
    root: str | os.PathLike[str] | None = None,
    *,
    annotations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    videos: str | os.PathLike[str] | None = None,
    subtitle_files: str | os.PathLike[str] | None = None,
    subtitles: bool = False,
    subset: str = "",
    skip_flawed: bool = False,
    skip_missing: bool = False,
    backend: str = "pyav",
) -> BenchmarkTasks:
    """Load a benchmark's tasks; see `Benchmark.__call__`."""
    from vzgym.video.file import BACKENDS, FileVideo

    BACKENDS.get(backend)
    if subset and subset not in benchmark.subsets:
        raise UnknownName(f"subset of {benchmark.name}", subset, benchmark.subsets)
    if subtitles and not benchmark.has_subtitles and subtitle_files is None:
        raise InvalidSetting(f"{benchmark.name} has no subtitles")
    place = find_place(benchmark, root, annotations, videos, subtitle_files)
    items = read_items(benchmark, place.annotations)
    if subset:
        key, value = benchmark.subsets[subset]
        items = [item for item in items if str(item.metadata.get(key)) == value]
    index = FileIndex(place.videos, identifying_folders=benchmark.identifying_folders)
    tasks: list[VideoTask] = []
    speech: list[_Speech] = []
    speech_files = FileIndex(place.subtitles, SUBTITLE_SUFFIXES)
    flaws: Counter[str] = Counter()
    flawed, skipped, missing = 0, Counter[str](), dict[str, None]()
    faults: list[str] = []
    opened: dict[Path, FileVideo] = {}
    for item in items:
        found = index.find(item.video)
        path = index.expected(item.video) if found is None else found
        # Questions on one video share an object.
        video = opened.setdefault(path, FileVideo(path, backend=backend))
        try:
            task = item.task(video, benchmark.name)
        except TaskError as error:
            faults.append(str(error))
            continue
        flaws.update(item.flaws)
        flawed += bool(item.flaws)
        if item.flaws and skip_flawed:
            skipped["flawed"] += 1
            continue
        if found is None and skip_missing:
            skipped["missing video"] += 1
            continue
        if found is None:
            missing[item.video] = None
        tasks.append(task)
        file = speech_files.find(item.subtitles) if subtitles and item.subtitles else None
        length = item.metadata.get("duration")
        seconds = float(length) if isinstance(length, (int, float)) and length > 0 else None
        speech.append((file, item.subtitles_start, seconds))
    if faults:
        raise TaskError(f"{benchmark.name}: {_listed(faults)}")
    if not tasks:
        why = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "no row"
        raise TaskError(f"{benchmark.name}: no task is left of {len(items)} rows ({why})")
    return BenchmarkTasks(
        benchmark,
        place,
        tasks,
        subset=subset,
        subtitles=speech if subtitles else None,
        rows=len(items),
        flaws=flaws,
        flawed=flawed,
        skipped=skipped,
        missing=list(missing),
    )


def read_items(benchmark: Benchmark, annotations: Sequence[Path]) -> list[Item]:
    """Convert all rows of annotation files. Ids are made unique.

    Raises:
        TaskError: If rows lack what every row of the set has; names up to ten of them.
    """
    items: list[Item] = []
    faults: dict[str, list[str]] = {}
    seen: Counter[str] = Counter()
    rows = benchmark.read(annotations) if benchmark.read else _all_rows(annotations, benchmark.ignored_columns)
    for where, row in rows:
        try:
            item = benchmark.convert(row)
        except KeyError as error:
            text = f"no column {error.args[0]!r}; its columns: {', '.join(map(str, row))}"
            faults.setdefault(text, []).append(where)
            continue
        except (TaskError, TypeError, ValueError) as error:
            faults.setdefault(str(error), []).append(where)
            continue
        seen[item.id] += 1
        if seen[item.id] > 1:
            item.flaw("duplicate_id")
            item.id = f"{item.id}#{seen[item.id]}"
        items.append(item)
    if faults:
        raise TaskError(f"not rows of {benchmark.name}: {_listed([_placed(*item) for item in faults.items()])}")
    return items


def _placed(fault: str, places: Sequence[str]) -> str:
    """A fault with the first row that has it, and how many others have the same."""
    others = f" ({len(places) - 1} more rows have the same fault)" if len(places) > 1 else ""
    return f"{places[0]}: {fault}{others}"


def _all_rows(files: Sequence[Path], ignored: Sequence[str]) -> Iterator[tuple[str, Row]]:
    for file in files:
        yield from read_rows(file, ignored)


def _listed(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
    return "; ".join(faults[:_MOST_NAMED]) + more
