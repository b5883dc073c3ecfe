"""Trajectories to and from LLaMA-Factory's ShareGPT form, in which VideoZoomer publishes its cold-start data.

A row is `{"messages": [{"role", "content"}], "images": [path]}`; `<image>` in a content stands for the next picture.
"""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from PIL import Image, UnidentifiedImageError

from vzgym.agents.data.dataset import IMPORTED, load_trajectories
from vzgym.agents.data.rows import import_datasets, png, write_rows
from vzgym.agents.data.teaching import names_previous_call
from vzgym.core.actions import Answer, Malformed, Zoom
from vzgym.core.errors import InvalidSetting, RecordError, TaskError
from vzgym.core.files import file_lock, json_line, write_json
from vzgym.protocols import PROTOCOLS, Parsed, TextProtocol
from vzgym.tasks.io.rows import find_file, read_rows, unused_columns, warn_of_unused

__all__ = ["ImportReport", "export_sharegpt", "import_sharegpt"]

PLACE: Final = "<image>"
ROWS: Final = "trajectories.json"

_USED: Final = ("messages", "conversations", "images", "system", "task_id")

# Columns and marks of content that trajectories cannot hold: a row without it would be another one.
_FOREIGN: Final = ("videos", "audios", "tools")
_FOREIGN_MARKS: Final = ("<video>", "<audio>")

# ShareGPT's names of roles, and the plain ones.
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
    """Write collected trajectories in LLaMA-Factory's form.

    Args:
        folder: What `vzgym collect` or `import_sharegpt` wrote.
        out: A folder for `trajectories.json`, `images/` (PNG files, the frames bit for bit) and `dataset_info.json`: it
            is LLaMA-Factory's `dataset_dir`.
        name: The dataset's name there.

    Returns:
        How many rows were written.

    Raises:
        InvalidSetting: If `folder` holds no trajectories, or `out` something else.
        RecordError: If a row cannot be written: a text holds "<image>", or pictures are lost.
    """
    datasets = import_datasets()
    rows = load_trajectories(folder, in_blocks=False)
    rows = rows.cast_column("images", datasets.List(datasets.Image(decode=False)))
    with _whole_folder(Path(out)) as target:
        with (target / ROWS).open("w", encoding="utf-8") as file:
            file.write("[\n")
            for number, row in enumerate(rows):
                made = _exported(row, number, target, f"{folder}, row {number + 1}")
                file.write(f"{',' if number else ''}{json_line(made)}\n")
            file.write("]\n")
        write_json(target / "dataset_info.json", {name: _ABOUT})
    return len(rows)


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when all is written.

    Raises:
        InvalidSetting: If there is something under that name.
        FolderInUse: If another process writes it.
    """
    with file_lock(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InvalidSetting(f"{out} holds something already: choose another folder, or delete it")
        draft = out.with_name(f".{out.name}.unfinished")
        # Of a writer that was killed.
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
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
            raise RecordError(f"{where}: a text holds {PLACE!r}, which stands for a picture in this form")
        content = "".join(PLACE if block["type"] == "image" else block["text"] for block in message["content"])
        # The environment speaks as the user, as in the paper's data: the form has no pictures elsewhere.
        messages.append({"role": "user" if message["role"] == "tool" else message["role"], "content": content})
    places = sum(message["content"].count(PLACE) for message in messages)
    if places != len(paths):
        raise RecordError(f"{where}: {len(paths)} pictures, but places for {places}")
    return {"messages": messages, "images": paths, "task_id": row["task_id"]}


def _png_of(image: Mapping[str, Any]) -> bytes:
    data: bytes = image["bytes"]
    if data.startswith(b"\x89PNG"):
        return data
    return png(Image.open(io.BytesIO(data)).convert("RGB"))


@dataclass
class ImportReport:
    """What was imported.

    Attributes:
        rows: Trajectories.
        turns: Turns of the model.
        zooms: Of these, zooms; those that were carried out cannot be told from others.
        unreadable: Turns in which the protocol reads no action.
        untidy: Turns that it reads, but which do not keep its form to the letter.
        frames: Pictures.
        broken: What was wrong with each row that was left out.
    """

    rows: int = 0
    turns: int = 0
    zooms: int = 0
    unreadable: int = 0
    untidy: int = 0
    frames: int = 0
    broken: list[str] = field(default_factory=list)

    def count(self, row: Mapping[str, Any], parsed: Sequence[Parsed]) -> None:
        """Count a row in."""
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
    """Read rows in LLaMA-Factory's form into a folder of trajectories, for `vzgym train sft`.

    They come without records: what the videos showed besides is not known, so they cannot be replayed or judged again
    (`correct` is empty).

    Args:
        path: A `.json`, `.jsonl` or `.parquet` file.
        out: The folder.
        images: The folder that paths of pictures start from; the file's own if not given.
        protocol: The text protocol that turns are read by, for the columns `zooms`, `fps` and `answer`.
        skip_broken: Leave broken rows out, instead of stopping at the first.
        root: The only folder whose pictures may be named, links followed; any if not given.

    Returns:
        What was found. Warns (`UnusedColumns`) of columns that are not used.

    Raises:
        InvalidSetting: If `out` holds something already.
        TaskError: If the file cannot be read.
        RecordError: If no row is left or, unless `skip_broken`, a row is broken: no messages, an unknown role, turns
            out of order, two system messages, other than one picture for each `<image>`, a picture that cannot be
            read or lies outside `root`, videos, audio or tools. Names file, row and
            reason.
    """
    import_datasets()
    file = Path(path)
    folder = Path(images) if images is not None else file.parent
    report, reader = ImportReport(), PROTOCOLS.make(protocol)
    with _whole_folder(Path(out)) as target:
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
    """A row as a row of trajectories, and what its turns say.

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
    pictures = row.get("images")
    if pictures is None:
        pictures = []
    if not isinstance(pictures, list):
        raise TaskError(f"'images' must be a list of paths, got {type(pictures).__name__}")
    places = sum(text.count(PLACE) for _, text in said)
    if places != len(pictures):
        raise TaskError(f"{len(pictures)} pictures, but {places} times {PLACE}")
    turns = [text for role, text in said if role == "assistant"]
    parsed = [reader.parse(text) for text in turns]
    zooms = [turn.action for turn in parsed if isinstance(turn.action, Zoom)]
    last = parsed[-1].action
    made = {
        "messages": [{"role": role, "content": _blocks(text)} for role, text in said],
        "images": [{"bytes": _picture(picture, folder, root), "path": None} for picture in pictures],
        "category": "",
        "kind": "imported",
        "sample": 0,
        "correct": None,
        "reflects": any(names_previous_call(text) for text in turns),
        "turns": len(turns),
        "zooms": len(zooms),
        "frames": len(pictures),
        "fps": [float(zoom.fps) for zoom in zooms],
        "answer": last.text if isinstance(last, Answer) else "",
    }
    return made, parsed


def _said(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who says what, in plain roles; checked."""
    key = "messages" if "messages" in row else "conversations"
    messages = row.get(key)
    if not isinstance(messages, list) or not messages:
        raise TaskError("a row needs 'messages' (or 'conversations'), a list of who says what")
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
        raise TaskError(f"message {wrong} is the model's, but holds {PLACE}: a model shows no pictures")
    # What follows a turn of the model is the environment's reply.
    return [
        ("tool" if role == "user" and place and said[place - 1][0] == "assistant" else role, text)
        for place, (role, text) in enumerate(said)
    ]


def _check_order(roles: Sequence[str]) -> None:
    """A system message or none, then question and turns in turn, a turn of the model last."""
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


def _picture(path: Any, folder: Path, root: str | Path | None) -> bytes:
    """A picture's file; whole, or refused."""
    if not isinstance(path, str):
        raise TaskError(f"'images' must hold paths, got {type(path).__name__}")
    file = find_file(path, folder, root, "picture")
    try:
        data = file.read_bytes()
        Image.open(io.BytesIO(data)).load()
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise TaskError(f"{file} cannot be read as a picture: {error}") from error
    return data
