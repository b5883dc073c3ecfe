"""Tasks in tables: CSV, TSV and parquet files, such as a spreadsheet's or a labeling tool's export.

A row has `video` and `question`; its options are in columns `A`, `B`, `C`, ... or in a list `options`; the right one is
given by `answer` (a text or a letter), `answer_letter` or `answer_index` (from 0). `start` and `end`, or a list
`evidence`, say where the evidence is. `id`, `category`, `source` and `subtitles` (a file) are optional. Further columns
become metadata.
"""

from __future__ import annotations

import json
import math
import os
import string
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vzgym.core.errors import InvalidSetting, SubtitleError, TaskError, UnknownName, VideoError
from vzgym.core.files import json_fault
from vzgym.core.interval import Interval
from vzgym.core.text import close_name
from vzgym.tasks.benchmarks.columns import literal, number_of, options_of, pairs_of, parse_clock, text_of
from vzgym.tasks.io.rows import UnusedColumns, find_file, read_rows
from vzgym.tasks.subtitles.reading import read_subtitles
from vzgym.tasks.task import VideoTask, gold_text, plain_options
from vzgym.tasks.task_list import TaskList
from vzgym.tasks.task_slice import TABLE_SUFFIXES

__all__ = ["TaskTable", "load_table", "read_table"]

Times = Literal["seconds", "clock"]

# What labeling tools and spreadsheets call these columns, without case, blanks and underscores.
_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "questionid", "taskid"),
    "video": ("video", "videopath", "videofile", "videoname", "file", "filename"),
    "question": ("question", "prompt"),
    "options": ("options", "choices", "candidates"),
    "answer": ("answer", "correctanswer"),
    "answer_letter": ("answerletter", "correctletter", "correctoption"),
    "answer_index": ("answerindex",),
    "start": ("start", "starts", "starttime", "startseconds", "start(s)"),
    "end": ("end", "ends", "endtime", "endseconds", "end(s)"),
    "evidence": ("evidence", "spans"),
    "category": ("category",),
    "source": ("source",),
    "subtitles": ("subtitles", "subtitle", "subtitlepath"),
}
_MOST_NAMED = 50


@dataclass(frozen=True)
class TaskTable:
    """What a table holds.

    Attributes:
        tasks: The tasks.
        faults: What is wrong with each row that gives none, with its place.
        columns: Our name of each column that is used, and its name in the file.
        metadata: Names of the columns that became metadata.
    """

    tasks: tuple[VideoTask, ...]
    faults: tuple[str, ...]
    columns: Mapping[str, str]
    metadata: tuple[str, ...]


def load_table(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    videos: str | os.PathLike[str] | None = None,
    times: Times = "seconds",
    backend: str = "pyav",
    root: str | os.PathLike[str] | None = None,
) -> TaskList:
    """Load tasks from a table; see `read_table`.

    Raises:
        TaskError: If the file cannot be read, or rows are bad: names all of them, up to 50.
    """
    table = read_table(path, columns=columns, videos=videos, times=times, backend=backend, root=root)
    if table.faults:
        more = f"; and {len(table.faults) - _MOST_NAMED} more" if len(table.faults) > _MOST_NAMED else ""
        raise TaskError("; ".join(table.faults[:_MOST_NAMED]) + more)
    return TaskList(table.tasks, name=Path(path).stem)


def read_table(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    videos: str | os.PathLike[str] | None = None,
    times: Times = "seconds",
    backend: str = "pyav",
    root: str | os.PathLike[str] | None = None,
    check_evidence: bool = False,
) -> TaskTable:
    """Read tasks from a table, with the faults of all rows.

    Args:
        path: A `.csv`, `.tsv` or `.parquet` file; text is UTF-8, with or without a byte order mark. A CSV file may be
            separated by commas or semicolons.
        columns: Our name of a column to its name in the file (`{"answer": "label", "start": "from"}`). Other columns
            are found by their usual names, whatever their case, blanks and underscores.
        videos: The folder that videos are relative to; the file's own if not given.
        times: How `start`, `end` and `evidence` are given: "seconds", or "clock" for "MM:SS" and "HH:MM:SS".
        backend: Which decoder reads the videos.
        root: The only folder whose videos may be named, links followed; any if not given.
        check_evidence: Whether to open the videos of rows with evidence, and to report evidence outside of them, and
            videos that cannot be opened, as faults.

    Returns:
        The tasks and the faults. Warns (`UnusedColumns`) of cells that cannot be metadata.

    Raises:
        TaskError: If the file cannot be read, or has no column for the video or the question.
        InvalidSetting: If `columns` names a column that the file lacks, `times` is neither of the two, or two columns
            could be meant.
        UnknownName: If `columns` has a name that is none of ours, or there is no such back-end.
        DependencyNotInstalled: If it is a parquet file and pyarrow is missing.
    """
    from vzgym.video.file import BACKENDS

    file = Path(path)
    BACKENDS.get(backend)
    if times not in ("seconds", "clock"):
        raise InvalidSetting(f"times must be 'seconds' or 'clock', got {times!r}")
    if file.suffix.lower() not in TABLE_SUFFIXES:
        raise TaskError(f"{file}: a table ends in {', '.join(TABLE_SUFFIXES)}")
    rows = list(read_rows(file))
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    used = _match(file, names, columns or {})
    letters = _option_columns(names, used)
    others = tuple(name for name in names if name not in {*used.values(), *letters})
    reader = _Reader(file, used, letters, others, Path(videos) if videos is not None else file.parent, root, times)
    _warn_of_other_values(file, rows, others)
    tasks: dict[str, VideoTask] = {}
    faults = []
    for number, (where, row) in enumerate(rows, start=1):
        try:
            task = reader.task(row, f"{file.stem}-{number}", backend)
            if task.id in tasks:
                raise TaskError(f"the id {task.id!r} is that of an earlier row, too")
            if check_evidence:
                task.check_evidence()
        except (TaskError, InvalidSetting, SubtitleError, VideoError) as error:
            faults.append(f"{where}: {error}")
            continue
        tasks[task.id] = task
    return TaskTable(tuple(tasks.values()), tuple(faults), used, others)


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "").replace("_", "").replace("-", "")


def _match(file: Path, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Our name of each column to its name in the file."""
    used = {}
    for ours, theirs in given.items():
        if ours not in _NAMES:
            raise UnknownName("column", ours, _NAMES)
        if theirs not in names:
            close = close_name(theirs, names)
            guess = f"did you mean {close!r}? Its" if close else "its"
            raise InvalidSetting(
                f"{file} has no column {theirs!r}, given for {ours}; {guess} columns: {', '.join(map(repr, names))}"
            )
        used[ours] = theirs
    free = [name for name in names if name not in used.values()]
    for ours, usual in _NAMES.items():
        if ours in used:
            continue
        found = [name for name in free if _plain(name) in usual]
        if len(found) > 1:
            raise InvalidSetting(f"{file}: {ours} may be {' or '.join(map(repr, found))}; {_say_columns([ours])}")
        if found:
            used[ours] = found[0]
    missing = [ours for ours in ("video", "question") if ours not in used]
    listed = ", ".join(map(repr, names))
    if missing:
        raise TaskError(
            f"{file}: no column for {' and '.join(missing)}; its columns: {listed}; {_say_columns(missing)}"
        )
    golds = [ours for ours in ("answer", "answer_letter", "answer_index") if ours in used]
    if len(golds) > 1:
        raise InvalidSetting(
            f"{file}: the right answer is in {', '.join(used[ours] for ours in golds)}: keep one column in the file"
        )
    if ("start" in used) != ("end" in used):
        other = "end" if "start" in used else "start"
        raise TaskError(
            f"{file}: evidence needs both a start and an end; its columns: {listed}; {_say_columns([other])}"
        )
    if "evidence" in used and "start" in used:
        raise InvalidSetting(f"{file}: evidence is in {used['evidence']} and in {used['start']}: keep one in the file")
    return used


def _say_columns(ours: Sequence[str]) -> str:
    """How to name columns of the file."""
    flag = ",".join(f"{name}=NAME" for name in ours)
    return f"say which with --columns {flag} (in Python: columns={dict.fromkeys(ours, 'NAME')})"


def _option_columns(names: Sequence[str], used: Mapping[str, str]) -> tuple[str, ...]:
    """Columns of options named by their letters, from A in order."""
    by_letter: dict[str, str] = {}
    for name in names:
        letter = _plain(name).removeprefix("option").removeprefix("choice")
        if len(letter) == 1 and letter in string.ascii_lowercase and name not in used.values():
            by_letter.setdefault(letter, name)
    found = []
    for letter in string.ascii_lowercase:
        if letter not in by_letter:
            break
        found.append(by_letter[letter])
    return tuple(found) if len(found) > 1 and "options" not in used else ()


@dataclass(frozen=True)
class _Reader:
    file: Path
    used: Mapping[str, str]
    letters: tuple[str, ...]
    others: tuple[str, ...]
    videos: Path
    root: str | os.PathLike[str] | None
    times: Times

    def task(self, row: Mapping[str, Any], id: str, backend: str) -> VideoTask:
        """The task of a row.

        Raises:
            TaskError: If the row is bad.
        """
        from vzgym.video.file import FileVideo

        name = self._text(row, "video")
        if not name:
            raise TaskError("no video")
        options = plain_options(self._options(row))
        speech = self._text(row, "subtitles")
        return VideoTask(
            id=self._text(row, "id") or id,
            video=FileVideo(find_file(name, self.videos, self.root), backend=backend),
            question=self._text(row, "question"),
            options=options,
            answer=self._answer(row, options),
            evidence=self._evidence(row),
            category=self._text(row, "category"),
            subtitles=read_subtitles(find_file(speech, self.videos, self.root, "subtitle file")) if speech else (),
            source=self._text(row, "source"),
            metadata={name: row[name] for name in self.others if _is_kept(row.get(name))},
        )

    def _text(self, row: Mapping[str, Any], ours: str) -> str:
        value = row.get(self.used[ours]) if ours in self.used else None
        try:
            return text_of(value).strip()
        except TaskError as error:
            raise TaskError(f"{self.used[ours]}: {error}") from error

    def _options(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        if "options" in self.used:
            return options_of(_list(row.get(self.used["options"])))
        cells = [text_of(row.get(name)).strip() for name in self.letters]
        while cells and not cells[-1]:
            cells.pop()
        empty = [self.letters[place] for place, cell in enumerate(cells) if not cell]
        if empty:
            raise TaskError(f"option {', '.join(empty)} is empty, but later ones are not")
        return tuple(cells)

    def _answer(self, row: Mapping[str, Any], options: tuple[str, ...]) -> str:
        if "answer_letter" in self.used:
            letter = self._text(row, "answer_letter").strip("().").upper()
            if not letter:
                return ""
            position = string.ascii_uppercase.find(letter) if len(letter) == 1 else -1
            if not 0 <= position < len(options):
                raise TaskError(f"{self.used['answer_letter']}: {letter!r} is no letter of {len(options)} options")
            return gold_text(options, position)
        if "answer_index" in self.used:
            value = self._text(row, "answer_index")
            if not value:
                return ""
            index = number_of(value)
            if index != int(index) or not 0 <= index < len(options):
                raise TaskError(
                    f"{self.used['answer_index']}: {value} is no position (from 0) of {len(options)} options"
                )
            return gold_text(options, int(index))
        return self._text(row, "answer")

    def _evidence(self, row: Mapping[str, Any]) -> tuple[Interval, ...] | None:
        if "evidence" in self.used:
            value = row.get(self.used["evidence"])
            if value is None or value == "":
                return None
            found = _list(value)
            return _checked([] if len(found) == 0 else pairs_of(found))
        if "start" not in self.used:
            return None
        cells = [row.get(self.used[ours]) for ours in ("start", "end")]
        texts = [text_of(cell).strip() for cell in cells]
        if not any(texts):
            return None
        start, end = (self._time(ours, text) for ours, text in zip(("start", "end"), texts, strict=True))
        return _checked([(start, end)])

    def _time(self, ours: str, text: str) -> float:
        name = self.used[ours]
        clock = parse_clock(text)
        if self.times == "clock":
            if clock is None:
                raise TaskError(f"{name}: {text!r} is no time MM:SS or HH:MM:SS")
            return clock
        if clock is not None:
            raise TaskError(f"{name}: {text!r} is no number of seconds; say --times clock if it is MM:SS or HH:MM:SS")
        try:
            return number_of(text)
        except TaskError as error:
            hint = ", with a decimal point" if "," in text else ""
            raise TaskError(f"{name}: {text!r} is no number of seconds{hint}") from error


def _checked(pairs: Sequence[tuple[float, float]]) -> tuple[Interval, ...]:
    for start, end in pairs:
        if not 0 <= start < end:
            raise TaskError(f"the evidence [{start:g}, {end:g}] must start at 0 or later, and end after its start")
    return tuple(Interval(start, end) for start, end in pairs)


def _list(value: Any) -> Any:
    """A cell that may be a list written as JSON or as a Python literal."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return literal(value)
    return value


def _is_missing(value: Any) -> bool:
    return value in (None, "") or (isinstance(value, float) and math.isnan(value))


def _is_kept(value: Any) -> bool:
    """Whether a cell can be metadata: it holds something that JSON has a form for."""
    return not _is_missing(value) and json_fault(value) is None


def _warn_of_other_values(file: Path, rows: Sequence[tuple[str, Mapping[str, Any]]], names: Sequence[str]) -> None:
    """Warn of cells that cannot be metadata, such as dates and decimals of a parquet file."""
    left_out = Counter(
        name for _, row in rows for name in names if not _is_missing(value := row.get(name)) and not _is_kept(value)
    )
    if left_out:
        found = ", ".join(f"{name!r} in {count} row{'s' if count > 1 else ''}" for name, count in left_out.items())
        message = f"{file}: values that JSON has no form for are no metadata: {found}; write them as text"
        warnings.warn(message, UnusedColumns, stacklevel=3)
