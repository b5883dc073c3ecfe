"""Writes the episodes of runs as trajectories in another format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from vzgym.agents.data.dataset import image_columns
from vzgym.agents.data.sharegpt import whole_folder, write_sharegpt
from vzgym.core.errors import InvalidSetting, RecordError, VzgymError
from vzgym.core.files import JsonLinesWriter, read_json_lines, write_json
from vzgym.episode.dialogue import Message
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import count_records, record_files
from vzgym.evaluation.pixels import messages_with_frames
from vzgym.evaluation.trajectories.atif import to_atif
from vzgym.evaluation.trajectories.chat import to_chat
from vzgym.evaluation.trajectories.frames import FrameFiles, FrameURLs

__all__ = ["FORMATS", "ExportReport", "export_run"]

CHAT, EPISODES, TRAJECTORY = "chat.jsonl", "episodes.jsonl", "trajectory.json"

Episodes: TypeAlias = Iterator[tuple[str, EpisodeRecord, list[Message]]]
"""Location, record and dialogue with frames of each exported episode."""


@dataclass
class ExportReport:
    """Counts of an export.

    Attributes:
        written: Number of trajectories.
        frames: Number of their images.
        left_out: Number of episodes that are not right, with `correct_only`.
        broken: The fault of each skipped record.
    """

    written: int = 0
    frames: int = 0
    left_out: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Images:
    """How images are stored."""

    where: Literal["files", "urls"]
    format: str

    def store(self, root: Path, folder: str) -> FrameFiles | FrameURLs:
        return FrameFiles(root, folder, self.format) if self.where == "files" else FrameURLs(self.format)


def export_run(
    path: str | Path,
    out: str | Path,
    *,
    format: str = "chat",
    images: Literal["files", "urls"] = "files",
    image_format: str = "png",
    correct_only: bool = False,
    skip_broken: bool = False,
    backend: str = "pyav",
    trust_code: bool = False,
    name: str = "vzgym",
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Write the episodes of a run as trajectories. Their frames are read from the videos again.

    Args:
        path: A run's folder, a folder of runs, or a file of records.
        out: A new folder. "atif": `NUMBER/trajectory.json` with `NUMBER/images/`. "chat": `chat.jsonl` (rows of
            `{"messages": [...]}`), `episodes.jsonl` (task, policy and grade of each row) and `images/`. "sharegpt":
            `trajectories.json`, `dataset_info.json` and `images/`, as LLaMA-Factory reads them.
        format: One of `FORMATS`.
        images: "files", or "urls" for data URLs within the documents ("atif" and "chat").
        image_format: "png" (lossless) or "jpeg".
        correct_only: Leave out episodes that are not right.
        skip_broken: Skip records that cannot be exported instead of stopping at the first.
        backend: Decoder for video files.
        trust_code: Whether to allow importing code that a record names (`module:Class`).
        name: The dataset's name in `dataset_info.json`.
        progress: Called after each record, also if it is left out, with the numbers of those read and of all.

    Returns:
        The counts.

    Raises:
        InvalidSetting: If an option is invalid, or `out` exists already.
        RecordError: If no episode is left or, unless `skip_broken`, a record is broken or no longer matches its video;
            names file and line.
        VideoError: If a video cannot be opened, unless `skip_broken`.
        UntrustedName: If a record names code and `trust_code` is not set, unless `skip_broken`.
    """
    if format not in FORMATS:
        raise InvalidSetting(f"the format must be one of {', '.join(FORMATS)}, got {format!r}")
    if images not in ("files", "urls"):
        raise InvalidSetting(f"images must be 'files' or 'urls', got {images!r}")
    if format == "sharegpt" and (images, image_format) != ("files", "png"):
        raise InvalidSetting("the format sharegpt stores images as PNG files only")
    stored = _Images(images, image_format)
    stored.store(Path(), "")  # checks the image format
    report = ExportReport()
    files = record_files(path)
    total = sum(map(count_records, files)) if progress else 0

    def tell() -> None:
        if progress:
            progress(report.written + report.left_out + len(report.broken), total)

    def episodes() -> Episodes:
        for file in files:
            for where, record in _records(file, report, skip_broken):
                if correct_only and not (record.grade is not None and record.grade.is_correct):
                    report.left_out += 1
                    tell()
                    continue
                try:
                    messages = messages_with_frames(record, backend, trust_code=trust_code)
                except VzgymError as error:
                    if not skip_broken:
                        raise
                    report.broken.append(f"{where}: {error}")
                    tell()
                    continue
                yield where, record, messages
                report.written += 1
                report.frames += record.frames
                tell()

    with whole_folder(Path(out)) as target:
        FORMATS[format](episodes(), target, stored, name)
        if not report.written:
            first = f"; the first: {report.broken[0]}" if report.broken else ""
            raise RecordError(f"{path}: there is no episode to export{first}")
    return report


def _records(file: Path, report: ExportReport, skip_broken: bool) -> Iterator[tuple[str, EpisodeRecord]]:
    """The records of a file with their locations."""
    for number, data in read_json_lines(file, broken=report.broken if skip_broken else None):
        where = f"{file}, line {number}"
        try:
            record = _read(data, where)
        except RecordError as error:
            if not skip_broken:
                raise
            report.broken.append(str(error))
            continue
        yield where, record


def _read(data: Any, where: str) -> EpisodeRecord:
    try:
        return EpisodeRecord.from_json(data)
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from error


def _facts(record: EpisodeRecord) -> dict[str, Any]:
    """The facts by which users select trajectories."""
    info = record.info
    return {
        "task_id": record.task.id,
        "category": record.task.category,
        "policy": info.policy,
        "seed": info.seed,
        "index": info.index,
        "sample": info.sample,
        "end": record.end,
        "correct": None if record.grade is None or record.grade.score is None else record.grade.is_correct,
        "turns": len(record.turns),
        "zooms": record.zooms,
        "frames": record.frames,
    }


def _write_atif(episodes: Episodes, target: Path, images: _Images, name: str) -> None:
    for number, (_, record, messages) in enumerate(episodes):
        folder = target / f"{number:06d}"
        folder.mkdir()
        write_json(folder / TRAJECTORY, to_atif(record, messages, images.store(folder, "images")))


def _write_chat(episodes: Episodes, target: Path, images: _Images, name: str) -> None:
    with JsonLinesWriter(target / CHAT) as rows, JsonLinesWriter(target / EPISODES) as facts:
        for number, (_, record, messages) in enumerate(episodes):
            rows.write({"messages": to_chat(messages, images.store(target, f"images/{number:06d}"))})
            facts.write(_facts(record))


def _write_sharegpt(episodes: Episodes, target: Path, images: _Images, name: str) -> None:
    rows = ((where, {**image_columns(said), "task_id": record.task.id}) for where, record, said in episodes)
    write_sharegpt(rows, target, name)


FORMATS: Final[Mapping[str, Callable[[Episodes, Path, _Images, str], None]]] = {
    "atif": _write_atif,
    "chat": _write_chat,
    "sharegpt": _write_sharegpt,
}
"""Writers by the name of the format."""
