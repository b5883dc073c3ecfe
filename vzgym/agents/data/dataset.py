"""Trajectories on disk: a `datasets` folder for TRL's SFTTrainer, the records, and statistics.

A row's `messages` contain text and image *placeholders*, its `images` the frames in order. (A saved text block would be
loaded with `image: None`, which chat templates take for an image.) `load_trajectories` moves each image into its block,
as messages of role "tool" require.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vzgym.agents.data.collector import Collector, Trajectory
from vzgym.agents.data.rows import describe, import_datasets, row_features
from vzgym.agents.data.settings import CollectSettings
from vzgym.core.budget import Budget
from vzgym.core.differences import first_difference
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.files import (
    JsonLinesWriter,
    folder_lock,
    is_leftover,
    read_json,
    read_json_lines,
    replace_file,
    write_json,
)
from vzgym.core.registry import names_from_data
from vzgym.core.secrets import redact
from vzgym.episode import EpisodeRecord, Message
from vzgym.policies.policy import AnyPolicy
from vzgym.protocols import PROTOCOLS, TextProtocol
from vzgym.protocols.chat import as_chat
from vzgym.rollout.executor import Executor, InProcess, local_executor
from vzgym.tasks.budgets import prepared_by_policy
from vzgym.tasks.task_slice import task_file_digest
from vzgym.video.images import encode_image

__all__ = [
    "IMPORTED",
    "CollectStatistics",
    "collect",
    "image_columns",
    "load_trajectories",
    "played_budget",
    "played_extras",
    "said_protocol",
    "trajectory_row",
]

_SETTINGS, _STATISTICS, _RECORDS, _REJECTED = "collect.json", "statistics.json", "records.jsonl", "rejected.jsonl"
IMPORTED = "import.json"
"""Replaces the settings if trajectories were imported from another project's file."""


@dataclass
class CollectStatistics:
    """Statistics of played, kept and rejected trajectories.

    Attributes:
        played: Trajectories by kind.
        kept: Kept ones, by kind.
        rejected: Rejected ones by kind and filter, `kind: {filter: count}`.
        turns: Kept ones by number of turns.
        zooms: Kept ones by number of executed zooms.
        fps: Executed zooms of kept ones by frames per second.
        frames: Frames of all kept ones.
        reflections: Kept ones that correct a mistake.
        correct: Kept ones with a correct answer.
        costs: Costs of all played trajectories, kept or not: requests, tokens, price.
        failed: Tasks whose video could not be opened, with the reason.
        seconds: Wall time.
    """

    played: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, Counter[str]] = field(default_factory=dict)
    turns: Counter[int] = field(default_factory=Counter)
    zooms: Counter[int] = field(default_factory=Counter)
    fps: Counter[float] = field(default_factory=Counter)
    frames: int = 0
    reflections: int = 0
    correct: int = 0
    costs: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Trajectories kept."""
        return sum(self.kept.values())

    def count(self, trajectory: Trajectory) -> None:
        """Add a trajectory to the counts."""
        kind, record = trajectory.kind, trajectory.record
        self.played[kind] += 1
        self.costs.update(record.info.costs)
        if trajectory.rejected:
            self.rejected.setdefault(kind, Counter())[trajectory.rejected] += 1
            return
        self.kept[kind] += 1
        self.turns[len(record.turns)] += 1
        self.zooms[record.zooms] += 1
        for clip in record.clips[1:]:
            self.fps[round(float(clip.fps or 0.0), 3)] += 1
        self.frames += record.frames
        self.reflections += trajectory.reflects
        self.correct += record.grade is not None and record.grade.is_correct

    def add(self, other: CollectStatistics) -> None:
        """Add another's counts."""
        for name in ("played", "kept", "turns", "zooms", "fps", "costs"):
            getattr(self, name).update(getattr(other, name))
        for kind, counts in other.rejected.items():
            self.rejected.setdefault(kind, Counter()).update(counts)
        for name in ("frames", "reflections", "correct", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failed.update(other.failed)

    def to_json(self) -> dict[str, Any]:
        """JSON form: counts, and means over kept trajectories."""
        rows = max(1, self.rows)
        return {
            "rows": self.rows,
            "played": dict(self.played),
            "kept": dict(self.kept),
            "rejected": {kind: dict(counts) for kind, counts in self.rejected.items()},
            "turns": {str(key): self.turns[key] for key in sorted(self.turns)},
            "zooms": {str(key): self.zooms[key] for key in sorted(self.zooms)},
            "fps": {f"{key:g}": self.fps[key] for key in sorted(self.fps)},
            "frames": self.frames,
            "reflections": self.reflections,
            "correct": self.correct,
            "costs": dict(self.costs),
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "means": {
                "turns": sum(key * count for key, count in self.turns.items()) / rows,
                "zooms": sum(key * count for key, count in self.zooms.items()) / rows,
                "frames": self.frames / rows,
                "reflections": self.reflections / rows,
                "correct": self.correct / rows,
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CollectStatistics:
        """Rebuild from `to_json`."""
        return cls(
            played=Counter(data["played"]),
            kept=Counter(data["kept"]),
            rejected={kind: Counter(counts) for kind, counts in data["rejected"].items()},
            turns=Counter({int(key): count for key, count in data["turns"].items()}),
            zooms=Counter({int(key): count for key, count in data["zooms"].items()}),
            fps=Counter({float(key): count for key, count in data["fps"].items()}),
            frames=int(data["frames"]),
            reflections=int(data["reflections"]),
            correct=int(data["correct"]),
            costs=Counter(data.get("costs", {})),
            failed=dict(data["failed"]),
            seconds=float(data["seconds"]),
        )


def trajectory_row(trajectory: Trajectory, tool_role: str = "tool") -> dict[str, Any]:
    """Convert a trajectory to a row of the dataset; images become the bytes of PNG files.

    Args:
        trajectory: The trajectory, with pixels.
        tool_role: See `as_chat`.
    """
    record = trajectory.record
    return {
        **image_columns(record.messages, tool_role),
        "task_id": record.task.id,
        "category": record.task.category,
        "kind": trajectory.kind,
        "index": trajectory.index,
        "sample": trajectory.sample,
        "correct": record.grade is not None and record.grade.is_correct,
        "reflects": trajectory.reflects,
        "turns": len(record.turns),
        "zooms": record.zooms,
        "frames": record.frames,
        "fps": [float(clip.fps or 0.0) for clip in record.clips[1:]],
        "answer": record.answer or "",
    }


def image_columns(dialogue: Sequence[Message], tool_role: str = "tool") -> dict[str, Any]:
    """The columns `messages`, with image placeholders, and `images`, as the bytes of PNG files, of a dialogue.

    Args:
        dialogue: Messages with pixels.
        tool_role: See `as_chat`.
    """
    images: list[dict[str, Any]] = []
    messages = []
    for message in as_chat(dialogue, tool_role=tool_role):
        blocks = []
        for block in message["content"]:
            if block["type"] == "image":
                images.append({"bytes": encode_image(block["image"], "png"), "path": None})
                block = {"type": "image"}
            blocks.append(block)
        messages.append({"role": message["role"], "content": blocks})
    return {"messages": messages, "images": images}


def collect(
    settings: CollectSettings,
    out: str | Path,
    *,
    policy: AnyPolicy | None = None,
    teacher: AnyPolicy | None = None,
    progress: Callable[[int], None] | None = None,
    workers: int | Executor = 1,
) -> CollectStatistics:
    """Collect trajectories into a folder. A stopped run is resumed after its finished parts.

    The folder becomes a saved `datasets.Dataset`, with `records.jsonl` (the kept episodes, in the order of the rows;
    `vzgym replay` plays them), `rejected.jsonl`, `statistics.json` and `collect.json` (the settings).

    Args:
        settings: What to collect.
        out: The folder.
        policy: A policy object in place of `settings.policy`.
        teacher: A policy object in place of `settings.teacher`.
        progress: Called with the number of newly finished tasks; first with those of an earlier run.
        workers: Number of processes, each with its own policies, or an `Executor`. The trajectories are the same for
            any number. This process writes all files.

    Raises:
        InvalidSetting: If the folder contains something else, or policy objects are given with several workers.
        WorkerError: If one of several workers dies.
        FolderInUse: If another process writes into the folder.
        DependencyNotInstalled: If `datasets` is missing.
    """
    import_datasets()
    folder = Path(out)
    executor = workers if isinstance(workers, Executor) else local_executor(workers)
    in_process = isinstance(executor, InProcess)
    if not in_process and (policy is not None or teacher is not None):
        raise InvalidSetting("several workers each make their own policies: name them in the settings")
    collector = Collector(settings, policy, teacher)
    report = progress or (lambda count: None)
    with folder_lock(folder):
        if _keep_settings(folder, settings, collector):
            statistics = CollectStatistics.from_json(read_json(folder / _STATISTICS))
            report(settings.episodes)
            return statistics
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        end = settings.start + settings.episodes
        firsts = range(settings.start, end, settings.part)
        parts = [
            _Part(folder, number, len(firsts), range(first, min(first + settings.part, end)))
            for number, first in enumerate(firsts)
        ]
        pending = [part for part in parts if not part.done]
        report(settings.episodes - sum(len(part.indices) for part in pending))
        make_player: Callable[[], Callable[[range], _Played]] = partial(_make_player, settings)
        if in_process:
            make_player = partial(partial, _play, collector)
        jobs = [indices for part in pending for indices in part.split(collector.batch_size)]
        # Rows contain frames: few wait in memory.
        with closing(executor.map(make_player, jobs, ahead=4 * executor.workers)) as played:
            for part in pending:
                _write_part(part, played, report)
        return _join(folder, parts)


@dataclass(frozen=True)
class _Part:
    """The files of one part; the statistics are written last and mark it as complete.

    Its rows are written to their final place in the dataset, so that joining the parts copies no frame.
    """

    folder: Path
    number: int
    count: int
    indices: range

    @property
    def data(self) -> Path:
        return self.folder / f"data-{self.number:05d}-of-{self.count:05d}.arrow"

    @property
    def records(self) -> Path:
        return self.folder / "parts" / f"{self.number:05d}.records.jsonl"

    @property
    def rejected(self) -> Path:
        return self.folder / "parts" / f"{self.number:05d}.rejected.jsonl"

    @property
    def statistics(self) -> Path:
        return self.folder / "parts" / f"{self.number:05d}.json"

    @property
    def done(self) -> bool:
        return self.statistics.exists()

    def split(self, size: int) -> list[range]:
        """The indices in batches of at most `size`."""
        return [self.indices[first : first + size] for first in range(0, len(self.indices), size)]


@dataclass(frozen=True)
class _Played:
    """The trajectories of some tasks.

    Attributes:
        tasks: Number of tasks.
        rows: Rows of the kept ones.
        kept: Records of the kept ones, as JSON lines.
        dropped: Records of the rejected ones, as JSON lines.
        statistics: Their counts.
    """

    tasks: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    statistics: CollectStatistics = field(default_factory=CollectStatistics)


def _make_player(settings: CollectSettings) -> Callable[[range], _Played]:
    # The process that starts the workers has warned about the budget.
    with prepared_by_policy():
        collector = Collector(settings)
    return partial(_play, collector)


def _play(collector: Collector, indices: range) -> _Played:
    """Play the trajectories of some tasks."""
    started = time.perf_counter()
    played = _Played(len(indices))
    known = set(collector.failed)
    for trajectory in collector.play(indices):
        played.statistics.count(trajectory)
        record = trajectory.record
        if trajectory.rejected:
            record.set_info(rejected=trajectory.rejected)
            played.dropped.append(record.to_line())
        else:
            played.rows.append(trajectory_row(trajectory, collector.settings.tool_role))
            played.kept.append(record.to_line())
    played.statistics.failed = {task: why for task, why in collector.failed.items() if task not in known}
    played.statistics.seconds = time.perf_counter() - started
    return played


def _write_part(part: _Part, played: Iterator[_Played], report: Callable[[int], None]) -> None:
    """Write the files of a part.

    Args:
        part: The part.
        played: The trajectories of its tasks first, in order; the rest is left.
        report: Called with the number of tasks just done.
    """
    from datasets.arrow_writer import ArrowWriter

    statistics = CollectStatistics()
    features = row_features()
    # Few rows at a time: a row under the paper's budget contains 128 frames.
    with (
        ArrowWriter(path=str(part.data), features=features, writer_batch_size=8) as writer,
        JsonLinesWriter(part.records, new=True) as kept,
        JsonLinesWriter(part.rejected, new=True) as dropped,
    ):
        left = len(part.indices)
        while left:
            found = next(played)
            for row in found.rows:
                writer.write(features.encode_example(row))
            for target, lines in ((kept, found.kept), (dropped, found.dropped)):
                for line in lines:
                    target.write_line(line)
            statistics.add(found.statistics)
            left -= found.tasks
            report(found.tasks)
        writer.finalize()
    write_json(part.statistics, statistics.to_json(), indent=None)


def _join(folder: Path, parts: list[_Part]) -> CollectStatistics:
    """Join all parts into one dataset."""
    statistics = CollectStatistics()
    for part in parts:
        statistics.add(CollectStatistics.from_json(read_json(part.statistics)))
    # The settings decide the contents.
    describe(folder, [part.data.name for part in parts], (folder / _SETTINGS).read_bytes())
    for name, files in ((_RECORDS, [p.records for p in parts]), (_REJECTED, [p.rejected for p in parts])):
        with replace_file(folder / name) as unfinished, unfinished.open("wb") as target:
            for file in files:
                with file.open("rb") as source:
                    shutil.copyfileobj(source, target)
    write_json(folder / _STATISTICS, statistics.to_json())
    shutil.rmtree(folder / "parts")
    return statistics


def load_trajectories(folder: str | Path, *, in_blocks: bool = True) -> Any:
    """Load collected trajectories as a `datasets.Dataset` for TRL's SFTTrainer.

    Args:
        folder: A folder written by `vzgym collect`.
        in_blocks: Move each image into its block and leave the column `images` empty, which works for replies of every
            role. Otherwise placeholders and the column `images`, as saved; TRL fills them for roles other than "tool".

    Raises:
        InvalidSetting: If the folder contains no trajectories.
        DependencyNotInstalled: If `datasets` is missing.
    """
    datasets = import_datasets()
    try:
        data = datasets.load_from_disk(str(folder))
    except FileNotFoundError as error:
        raise InvalidSetting(f"{folder} holds no collected trajectories: run vzgym collect --out {folder}") from error
    columns = getattr(data, "column_names", [])
    if not {"messages", "images"} <= set(columns):
        raise InvalidSetting(f"{folder} is a dataset of {columns}; trajectories have 'messages' and 'images'")
    return data.with_transform(_fill_blocks) if in_blocks else data


def said_protocol(folder: str | Path, given: str | Mapping[str, Any] | None = None) -> TextProtocol | None:
    """The text protocol of a folder's trajectories; None if it is unknown.

    Args:
        folder: A folder written by `vzgym collect` or `vzgym data import-sft`.
        given: The protocol named by the user, if any; its code may be imported.

    Raises:
        UntrustedName: If the folder names a protocol that is neither registered nor named by the user.
    """
    for name in (_SETTINGS, IMPORTED):
        notes = Path(folder) / name
        spec = read_json(notes).get("protocol") if notes.is_file() else None
        if spec:
            hint = 'If you trust it, name the protocol yourself: --set protocol="module:Class".'
            trusted = given is not None and _component_name(given) == _component_name(spec)
            with names_from_data(str(notes), trust_code=trusted, hint=hint):
                return PROTOCOLS.make(spec)
    return None


def played_budget(folder: str | Path) -> Budget | None:
    """The budget that a folder's trajectories were played with; None if it holds no records, as imported folders do.

    Raises:
        RecordError: If the records cannot be read.
    """
    record = _first_record(folder)
    return None if record is None else record.budget


def played_extras(folder: str | Path) -> dict[str, Any] | None:
    """The tools and the subtitle mode of a folder's trajectories, as `Extras.to_json` gives them; None as above.

    Raises:
        RecordError: If the records cannot be read.
    """
    record = _first_record(folder)
    if record is None:
        return None
    tools = [dict(tool.spec) for tool in record.tools]
    mode = record.info.subtitles
    return {**({"tools": tools} if tools else {}), **({"subtitles": mode} if mode != "none" else {})}


def _first_record(folder: str | Path) -> EpisodeRecord | None:
    records = Path(folder) / _RECORDS
    if not records.is_file():
        return None
    line = next(iter(read_json_lines(records)), None)
    return None if line is None else EpisodeRecord.from_json(line[1])


def _component_name(spec: Any) -> Any:
    return spec.get("name") if isinstance(spec, Mapping) else spec


def _fill_blocks(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Move the images of each row from the column into the blocks.

    Raises:
        RecordError: If the numbers of images and placeholders of a row differ.
    """
    if "messages" not in batch or "images" not in batch:
        return batch
    filled = []
    for messages, images in zip(batch["messages"], batch["images"], strict=True):
        rest = iter(images)
        places = sum(block["type"] == "image" for message in messages for block in message["content"])
        if places != len(images):
            raise RecordError(f"a trajectory has {len(images)} images, but {places} placeholders: collect it again")
        filled.append(
            [
                {
                    **message,
                    "content": [
                        {**block, "image": next(rest)} if block["type"] == "image" else block
                        for block in message["content"]
                    ],
                }
                for message in messages
            ]
        )
    return {**batch, "messages": filled, "images": [[] for _ in filled]}


def _keep_settings(folder: Path, settings: CollectSettings, collector: Collector) -> bool:
    """Check or write the folder's settings; returns whether it is complete."""
    changes = {**collector.identities, "tasks": collector.tasks.name, "protocol": dict(collector.protocol.spec)}
    # Task files in different folders may share a name.
    if digest := task_file_digest(settings.tasks):
        changes["task_file"] = digest
    wanted = json.loads(json.dumps(redact({**settings.to_dict(), **changes})))
    file = folder / _SETTINGS
    if not file.exists():
        if not all(map(is_leftover, folder.iterdir())):
            raise InvalidSetting(f"{folder} holds something else: choose another folder")
        write_json(file, wanted)
        return False
    there = read_json(file)
    other = first_difference(there, wanted)
    if other is not None:
        key, before, now = other
        why = f"their {key} is {before!r}, not {now!r}"
        if key == "task_file":
            why = f"they were played on another task file than {settings.tasks}, or on it before it was changed"
        raise InvalidSetting(f"{folder} holds other trajectories: {why}; choose another folder, or delete this one")
    return (folder / _STATISTICS).exists()
