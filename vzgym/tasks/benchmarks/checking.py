"""What is there of a benchmark: found, missing and extra files and rows, against its published totals."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.tasks.benchmarks.definition import Benchmark
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.layouts import SUBTITLE_SUFFIXES, FileIndex, Place, find_place
from vzgym.tasks.benchmarks.loading import read_items

__all__ = ["BenchmarkCheck", "GroupCount", "check_benchmark"]


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Rows of one value of a metadata key.

    Attributes:
        key: The metadata key; "" for all rows.
        value: The value.
        rows: Number of rows read.
        expected: Published number of rows; None if unknown.
        playable: Number of rows whose video is there.
    """

    key: str
    value: str
    rows: int
    expected: int | None
    playable: int


@dataclass
class BenchmarkCheck:
    """The state of a benchmark's files.

    Attributes:
        benchmark: Its name.
        place: The files.
        groups: Counts of rows, all rows first.
        videos: Number of videos that the rows name.
        expected_videos: Published number of videos; None if unknown.
        missing: Videos that are not there, as the rows name them.
        extra: Video files that no row names.
        empty: Video files without content.
        archives: Archives that are not unpacked.
        subtitles: Number of subtitle files that rows name and that are there; None if the set has none.
        flaws: Number of rows by flaw.
        flawed: Number of rows with flaws.
    """

    benchmark: str
    place: Place
    groups: list[GroupCount] = field(default_factory=list)
    videos: int = 0
    expected_videos: int | None = None
    missing: list[str] = field(default_factory=list)
    extra: list[Path] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    subtitles: int | None = None
    flaws: dict[str, int] = field(default_factory=dict)
    flawed: int = 0

    @property
    def complete(self) -> bool:
        """Whether all videos are there and the numbers of rows are the published ones."""
        counts = all(group.expected in (None, group.rows) for group in self.groups)
        return counts and not self.missing and not self.empty

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "benchmark": self.benchmark,
            "layout": self.place.layout,
            "annotations": list(map(str, self.place.annotations)),
            "video_folders": list(map(str, self.place.videos)),
            "complete": self.complete,
            "groups": [
                {
                    "key": group.key,
                    "value": group.value,
                    "rows": group.rows,
                    "expected": group.expected,
                    "playable": group.playable,
                }
                for group in self.groups
            ],
            "videos": {
                "named": self.videos,
                "expected": self.expected_videos,
                "found": self.videos - len(self.missing),
                "missing": self.missing,
                "extra": list(map(str, self.extra)),
                "empty": list(map(str, self.empty)),
            },
            "archives": list(map(str, self.archives)),
            "subtitles": self.subtitles,
            "flaws": self.flaws,
            "flawed": self.flawed,
        }


def check_benchmark(
    benchmark: Benchmark,
    root: str | os.PathLike[str] | None = None,
    *,
    annotations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    videos: str | os.PathLike[str] | None = None,
    subtitle_files: str | os.PathLike[str] | None = None,
) -> BenchmarkCheck:
    """Compare the files of a benchmark with its rows, and its rows with the published totals. Opens no video.

    Args:
        benchmark: The benchmark.
        root: See `Benchmark.__call__`, as the others.
        annotations: Annotation files.
        videos: Folder of videos.
        subtitle_files: Folder of subtitles.

    Raises:
        TaskError: If no annotation file is found, or it cannot be read.
    """
    place = find_place(benchmark, root, annotations, videos, subtitle_files)
    items = read_items(benchmark, place.annotations)
    index = FileIndex(place.videos, identifying_folders=benchmark.identifying_folders)
    found = {name: index.find(name) for name in dict.fromkeys(item.video for item in items)}
    used = {path for path in found.values() if path is not None}
    report = BenchmarkCheck(benchmark.name, place)
    report.videos = len(found)
    report.expected_videos = benchmark.totals.nearest(len(items)).videos or None
    report.missing = [name for name, path in found.items() if path is None]
    report.extra = [path for path in index.files if path not in used]
    report.empty = sorted(path for path in used if not path.stat().st_size)
    report.archives = _archives(root, place) if report.missing else []
    report.groups = list(_groups(benchmark, items, {name for name, path in found.items() if path is not None}))
    flaws: Counter[str] = Counter()
    for item in items:
        try:
            item.task(_NoVideo(), benchmark.name)
        except TaskError as error:
            raise TaskError(f"{benchmark.name}: {error}") from error
        flaws.update(item.flaws)
        report.flawed += bool(item.flaws)
    report.flaws = dict(flaws)
    if benchmark.has_subtitles or subtitle_files is not None:
        speech = FileIndex(place.subtitles, SUBTITLE_SUFFIXES)
        names = {item.subtitles for item in items if item.subtitles}
        report.subtitles = sum(speech.find(name) is not None for name in names)
    return report


def _groups(benchmark: Benchmark, items: Sequence[Item], there: set[str]) -> list[GroupCount]:
    totals = benchmark.totals.nearest(len(items))
    playable = [item.video in there for item in items]
    counts = [GroupCount("", "all", len(items), totals.rows or None, sum(playable))]
    keys = dict.fromkeys((*totals.groups, *benchmark.groups))
    for key in keys:
        known = totals.groups.get(key, {})
        rows: Counter[str] = Counter()
        playing: Counter[str] = Counter()
        for item, plays in zip(items, playable, strict=True):
            values = item.metadata.get(key)
            for value in values if isinstance(values, list) else [values]:
                rows[str(value)] += 1
                playing[str(value)] += plays
        names = [*known, *sorted(set(rows) - set(known))]
        # Values beyond a handful are of no use in a table, unless they are published.
        if not known and len(names) > 20:
            continue
        counts += [
            GroupCount(key, name, rows[name], known.get(name, 0 if known else None), playing[name]) for name in names
        ]
    return counts


def _archives(root: str | os.PathLike[str] | None, place: Place) -> list[Path]:
    """Archives in the folders of the benchmark's files."""
    folders = {path.parent for path in place.annotations} | set(place.videos)
    if root is not None:
        inside = [folder.parent for folder in folders if folder.parent.is_relative_to(root)]
        folders |= {Path(root), *inside}
    marks = (".zip", ".tar", ".tar.gz", ".tgz")
    found = {
        path
        for folder in folders
        for path in folder.glob("*")
        if path.is_file() and (path.name.endswith(marks) or ".tar." in path.name or ".zip." in path.name)
    }
    return sorted(found)


class _NoVideo:
    """Stands for a video that is not opened."""

    uri = ""
    duration = fps = 0.0
    num_frames = None
    height = width = 0

    def read(self, *_: Any, **__: Any) -> Any:
        """A check opens no video, so nothing may read one."""
        raise NotImplementedError("a check of a benchmark's rows reads no video")

    def close(self) -> None:
        """Nothing is open."""
