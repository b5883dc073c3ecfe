"""Miniatures of benchmarks: a few rows in each set's real shape, flawed ones included, in known layouts."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vzgym.tasks import load_tasks

__all__ = ["Folder", "load_set", "videomme_rows"]

Row = dict[str, Any]

load_set: Any = load_tasks
"""`load_tasks`; its result is a `BenchmarkTasks`, which type checkers cannot know."""


class Folder:
    """Writes a benchmark's files below a root.

    Args:
        root: The folder; made.
        clip: The video file that every video is a copy of.
    """

    def __init__(self, root: Path, clip: Path) -> None:
        self.root = root
        self.clip = clip
        root.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def videos(self, names: Iterable[str], under: str = "") -> None:
        for name in dict.fromkeys(names):
            shutil.copyfile(self.clip, self._path(f"{under}/{name}" if under else name))

    def text(self, name: str, text: str) -> Path:
        path = self._path(name)
        path.write_text(text, encoding="utf-8")
        return path

    def json(self, name: str, value: Any) -> Path:
        return self.text(name, json.dumps(value, ensure_ascii=False))

    def json_lines(self, name: str, rows: Iterable[Any]) -> Path:
        return self.text(name, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))

    def parquet(self, name: str, rows: Sequence[Row]) -> Path:
        import pyarrow
        import pyarrow.parquet

        path = self._path(name)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], delimiter: str = "\t") -> Path:
        path = self._path(name)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        return path


def videomme_rows() -> list[Row]:
    """Ten rows of four videos. Row 119-1 repeats its right option."""
    shapes = [
        ("001", "-short_1", "short"),
        ("119", "Rep3at", "short"),
        ("400", "Medium", "medium"),
        ("801", "LONG", "long"),
    ]
    rows = []
    for video, youtube, duration in shapes:
        for number in (1, 2, 3):
            repeated = (video, number) == ("119", 1)
            rows.append(
                {
                    "video_id": video,
                    "duration": duration,
                    "domain": "Knowledge" if number < 3 else "Film & Television",
                    "sub_category": "Astronomy",
                    "url": f"https://www.youtube.com/watch?v={youtube}",
                    "videoID": youtube,
                    "question_id": f"{video}-{number}",
                    "task_type": ["OCR Problems", "Counting Problem", "Object Reasoning"][number - 1],
                    "question": f"What is shown in {video}, {number}?",
                    "options": ["A. Mars.", "B. Venus.", "C. Venus." if repeated else "C. Io.", "D. Titan."],
                    "answer": "ABCB"[number] if not repeated else "C",
                }
            )
    return rows[:10]
