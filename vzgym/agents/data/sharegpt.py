"""Export and import of LLaMA-Factory's ShareGPT format, in which VideoZoomer publishes its cold-start data.

A row is `{"messages": [{"role", "content"}], "images": [path]}`; `<image>` in a content is the placeholder of the next
image.
"""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from PIL import Image, UnidentifiedImageError

from vzgym.agents.data.dataset import IMPORTED, load_trajectories
from vzgym.agents.data.rows import import_datasets, write_rows
from vzgym.agents.data.teaching import names_previous_call
from vzgym.core.actions import Answer, Malformed, Zoom
from vzgym.core.errors import InvalidSetting, RecordError, TaskError
from vzgym.core.files import file_lock, hidden_beside, json_line, write_json
from vzgym.protocols import PROTOCOLS, Parsed, TextProtocol
from vzgym.tasks.io.rows import find_file, read_rows, unused_columns, warn_of_unused
from vzgym.video.images import encode_image

__all__ = ["ImportReport", "export_sharegpt", "import_sharegpt", "whole_folder", "write_sharegpt"]

PLACE: Final = "<image>"
ROWS: Final = "trajectories.json"

_USED: Final = ("messages", "conversations", "images", "system", "task_id")

# Columns and placeholders that trajectories do not support: dropping them would change the row.
_FOREIGN: Final = ("videos", "audios", "tools")
_FOREIGN_MARKS: Final = ("<video>", "<audio>")

# ShareGPT's role names, and the standard ones.
_ROLES: Final[Mapping[str, str]] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "tool": "tool", "observation": "tool",
}  # fmt: skip

_ABOUT: Final[Mapping[str, Any]] = {
    "file_name": ROWS,
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def export_sharegpt(folder: str | Path, out: str | Path, *, name: str = "vzgym") -> int:
    """Write collected trajectories in LLaMA-Factory's format.

    Args:
        folder: A folder written by `vzgym collect` or `import_sharegpt`.
        out: A folder for `trajectories.json`, `images/` (lossless PNG files) and `dataset_info.json`, usable as
            LLaMA-Factory's `dataset_dir`.
        name: The dataset's name there.

    Returns:
        Number of rows written.

    Raises:
        InvalidSetting: If `folder` contains no trajectories, or `out` exists already.
        RecordError: If a row cannot be written: a text contains "<image>", or images are missing.
    """
    datasets = import_datasets()
    rows = load_trajectories(folder, in_blocks=False)
    rows = rows.cast_column("images", datasets.List(datasets.Image(decode=False)))
    with whole_folder(Path(out)) as target:
        return write_sharegpt(((f"{folder}, row {number}", row) for number, row in enumerate(rows, 1)), target, name)


def write_sharegpt(rows: Iterable[tuple[str, Mapping[str, Any]]], folder: Path, name: str) -> int:
    """Write rows in LLaMA-Factory's format into an existing folder.

    Args:
        rows: Rows as `trajectory_row` makes them, each with its location for errors.
        folder: The folder, for `trajectories.json`, `images/` and `dataset_info.json`.
        name: The dataset's name in `dataset_info.json`.

    Returns:
        Number of rows written.

    Raises:
        RecordError: If a row cannot be written: a text contains "<image>", or images are missing.
    """
    number = 0
    with (folder / ROWS).open("w", encoding="utf-8") as file:
        file.write("[\n")
        for where, row in rows:
            made = _exported(row, number, folder, where)
            file.write(f"{',' if number else ''}{json_line(made)}\n")
            number += 1
        file.write("]\n")
    write_json(folder / "dataset_info.json", {name: _ABOUT})
    return number


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder, renamed to `out` when all is written.

    Raises:
        InvalidSetting: If `out` exists already.
        FolderInUse: If another process is writing it.
    """
    with file_lock(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InvalidSetting(f"{out} holds something already: choose another folder, or delete it")
        draft = hidden_beside(out, ".unfinished")
        # Left by a killed writer.
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
            # Windows renames no folder onto another, not even onto an empty one.
            if out.exists():
                out.rmdir()
            draft.replace(out)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _exported(row: Mapping[str, Any], number: int, target: Path, where: str) -> dict[str, Any]:
    paths = []
    for place, image in enumerate(row["images"]):
        path = Path("images") / f"{number:06d}" / f"{place:03d}.png"
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(_png_of(image))
        paths.append(path.as_posix())
    messages = []
    for message in row["messages"]:
        texts = [block["text"] for block in message["content"] if block["type"] == "text"]
        if any(PLACE in text for text in texts):
            raise RecordError(f"{where}: a text holds {PLACE!r}, which is an image placeholder in this format")
        content = "".join(PLACE if block["type"] == "image" else block["text"] for block in message["content"])
        # The environment's replies have the role "user", as in the paper's data: the format allows images only there.
        messages.append({"role": "user" if message["role"] == "tool" else message["role"], "content": content})
    places = sum(message["content"].count(PLACE) for message in messages)
    if places != len(paths):
        raise RecordError(f"{where}: {len(paths)} images, but {places} placeholders")
    return {"messages": messages, "images": paths, "task_id": row["task_id"]}


def _png_of(image: Mapping[str, Any]) -> bytes:
    data: bytes = image["bytes"]
    if data.startswith(b"\x89PNG"):
        return data
    return encode_image(Image.open(io.BytesIO(data)).convert("RGB"), "png")


@dataclass
class ImportReport:
    """Counts of an import.

    Attributes:
        rows: Number of trajectories.
        turns: Number of the model's turns.
        zooms: Number of zooms, executed or refused.
        unreadable: Number of turns without an action that the protocol can read.
        untidy: Number of readable turns that are not well-formed.
        frames: Number of images.
        broken: The fault of each skipped row.
    """

    rows: int = 0
    turns: int = 0
    zooms: int = 0
    unreadable: int = 0
    untidy: int = 0
    frames: int = 0
    broken: list[str] = field(default_factory=list)

    def count(self, row: Mapping[str, Any], parsed: Sequence[Parsed]) -> None:
        """Add a row to the counts."""
        self.rows += 1
        self.turns += len(parsed)
        self.zooms += row["zooms"]
        self.frames += row["frames"]
        unreadable = sum(isinstance(turn.action, Malformed) for turn in parsed)
        self.unreadable += unreadable
        self.untidy += sum(not turn.well_formed for turn in parsed) - unreadable


def import_sharegpt(
    path: str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
    protocol: str | Mapping[str, Any] = "tags",
    skip_broken: bool = False,
    root: str | Path | None = None,
) -> ImportReport:
    """Import rows in LLaMA-Factory's format into a folder of trajectories, for `vzgym train sft`.

    They have no records, so they cannot be replayed or graded (`correct` is empty).

    Args:
        path: A `.json`, `.jsonl` or `.parquet` file.
        out: The folder.
        images: The folder to which image paths are relative; the file's own if not given.
        protocol: The text protocol by which turns are parsed, for the columns `zooms`, `fps` and `answer`.
        skip_broken: Skip broken rows instead of stopping at the first.
        root: The only folder from which images may be read, links resolved; any folder if not given.

    Returns:
        The counts. Warns (`UnusedColumns`) of columns that are not used.

    Raises:
        InvalidSetting: If `out` exists already.
        TaskError: If the file cannot be read.
        RecordError: If no row is left or, unless `skip_broken`, a row is broken: no messages, an unknown role, turns
            out of order, two system messages, not exactly one image for each `<image>`, an image that is unreadable or
            outside `root`, videos, audio or tools. Names file, row and reason.
    """
    import_datasets()
    file = Path(path)
    folder = Path(images) if images is not None else file.parent
    report, reader = ImportReport(), PROTOCOLS.make(protocol)
    with whole_folder(Path(out)) as target:
        rows = _imported(file, folder, root, reader, report, skip_broken)
        write_rows(target, rows, f"{file.resolve()} {file.stat().st_mtime_ns if file.exists() else 0}".encode())
        if not report.rows:
            raise RecordError(f"{path}: no row is left; the first: {report.broken[0]}")
        notes = {"imported": file.name, "protocol": dict(reader.spec), **vars(report)}
        write_json(target / IMPORTED, notes)
    return report


def _imported(
    path: Path, folder: Path, root: str | Path | None, reader: TextProtocol, report: ImportReport, skip_broken: bool
) -> Iterator[dict[str, Any]]:
    numbers = count()
    unused: Counter[str] = Counter()
    for where, row in read_rows(path):
        unused.update(unused_columns(row, (*_USED, *_FOREIGN)))
        try:
            made, parsed = _trajectory(row, folder, root, reader)
        except TaskError as error:
            reason = f"{where}: {error}"
            if not skip_broken:
                raise RecordError(reason) from error
            report.broken.append(reason)
            continue
        number = next(numbers)
        made |= {"index": number, "task_id": str(row.get("task_id") or f"{path.stem}/{number}")}
        report.count(made, parsed)
        yield made
    warn_of_unused(path, unused, _USED)


def _trajectory(
    row: Mapping[str, Any], folder: Path, root: str | Path | None, reader: TextProtocol
) -> tuple[dict[str, Any], list[Parsed]]:
    """Convert a row to a row of trajectories, and parse its turns.

    Raises:
        TaskError: If it is broken.
    """
    for column in _FOREIGN:
        if row.get(column):
            raise TaskError(f"the row has {column!r}, which a trajectory cannot hold; frames are 'images'")
    said = _said(row)
    for number, (_, text) in enumerate(said, start=1):
        found = next((mark for mark in _FOREIGN_MARKS if mark in text), None)
        if found:
            raise TaskError(f"message {number} holds {found}, which a trajectory cannot hold; frames are {PLACE}")
    paths = row.get("images")
    if paths is None:
        paths = []
    if not isinstance(paths, list):
        raise TaskError(f"'images' must be a list of paths, got {type(paths).__name__}")
    places = sum(text.count(PLACE) for _, text in said)
    if places != len(paths):
        raise TaskError(f"{len(paths)} images, but {places} times {PLACE}")
    turns = [text for role, text in said if role == "assistant"]
    parsed = [reader.parse(text) for text in turns]
    zooms = [turn.action for turn in parsed if isinstance(turn.action, Zoom)]
    last = parsed[-1].action
    made = {
        "messages": [{"role": role, "content": _blocks(text)} for role, text in said],
        "images": [{"bytes": _image_bytes(path, folder, root), "path": None} for path in paths],
        "category": "",
        "kind": "imported",
        "sample": 0,
        "correct": None,
        "reflects": any(names_previous_call(text) for text in turns),
        "turns": len(turns),
        "zooms": len(zooms),
        "frames": len(paths),
        "fps": [float(zoom.fps) for zoom in zooms],
        "answer": last.text if isinstance(last, Answer) else "",
    }
    return made, parsed


def _said(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The roles (in standard names) and texts of a row, validated."""
    key = "messages" if "messages" in row else "conversations"
    messages = row.get(key)
    if not isinstance(messages, list) or not messages:
        raise TaskError("a row needs 'messages' (or 'conversations'), a list of messages")
    said = []
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, Mapping):
            raise TaskError(f"message {number} must be an object, got {type(message).__name__}")
        role = message.get("role", message.get("from"))
        text = message.get("content", message.get("value"))
        if role not in _ROLES:
            raise TaskError(f"message {number} has the role {role!r}; valid: {', '.join(_ROLES)}")
        if not isinstance(text, str):
            raise TaskError(f"message {number} must hold a text, got {type(text).__name__}")
        said.append((_ROLES[role], text))
    system = row.get("system")
    if system:
        if not isinstance(system, str):
            raise TaskError(f"'system' must be a text, got {type(system).__name__}")
        if said[0][0] == "system":
            raise TaskError("the row has a 'system' column and a system message: which one counts is not known")
        said.insert(0, ("system", system))
    _check_order([role for role, _ in said])
    wrong = next((number for number, (role, text) in enumerate(said, 1) if role == "assistant" and PLACE in text), 0)
    if wrong:
        raise TaskError(f"message {wrong} is the model's, but holds {PLACE}: a model writes no images")
    # A message after the model's turn is the environment's reply.
    return [
        ("tool" if role == "user" and place and said[place - 1][0] == "assistant" else role, text)
        for place, (role, text) in enumerate(said)
    ]


def _check_order(roles: Sequence[str]) -> None:
    """Check the order of roles: an optional system message, then user and assistant alternately, the assistant last."""
    for number, role in enumerate(roles[1:] if roles[0] == "system" else roles):
        wanted = ("assistant",) if number % 2 else ("user",) if not number else ("user", "tool")
        if role not in wanted:
            raise TaskError(f"the messages' roles must alternate, from user to assistant, got {', '.join(roles)}")
    if roles[-1] != "assistant":
        raise TaskError("the last message must be the model's")


def _blocks(text: str) -> list[dict[str, str]]:
    blocks: list[dict[str, str]] = []
    for place, piece in enumerate(text.split(PLACE)):
        if place:
            blocks.append({"type": "image"})
        if piece:
            blocks.append({"type": "text", "text": piece})
    return blocks


def _image_bytes(path: Any, folder: Path, root: str | Path | None) -> bytes:
    """Read and validate an image file."""
    if not isinstance(path, str):
        raise TaskError(f"'images' must hold paths, got {type(path).__name__}")
    file = find_file(path, folder, root, "image")
    try:
        data = file.read_bytes()
        Image.open(io.BytesIO(data)).load()
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise TaskError(f"{file} cannot be read as an image: {error}") from error
    return data
