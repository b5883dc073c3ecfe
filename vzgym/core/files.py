"""Files: atomic writes, JSON lines, strict JSON, and locks on folders.

A JSON-lines file contains one JSON value per line in UTF-8. Only a line feed ends a line: other Unicode line separators
may occur inside strings. A byte order mark and blank lines are ignored.
"""

from __future__ import annotations

import codecs
import errno
import json
import math
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal, Self, TypeAlias

import numpy as np

from vzgym.core.errors import FolderInUse, InvalidSetting, RecordError, VzgymError
from vzgym.core.text import close_name

__all__ = [
    "MAX_DEPTH",
    "JsonLinesWriter",
    "append_json_line",
    "check_model_path",
    "drop_torn_line",
    "file_lock",
    "folder_lock",
    "hidden_beside",
    "is_disk_full",
    "is_file",
    "is_leftover",
    "json_fault",
    "json_line",
    "lacks_only_its_end",
    "parse_json",
    "read_json",
    "read_json_lines",
    "replace_file",
    "write_bytes",
    "write_json",
    "write_text",
]

PathLike: TypeAlias = "str | os.PathLike[str]"
ErrorType: TypeAlias = type[VzgymError]

MAX_DEPTH: Final = 64
"""How deep JSON values may be nested. Python's parser and printer give up at depths that differ between them."""

_PARTIAL: Final = ".partial"
_LOCK: Final = ".lock"
_LONGEST_STEM: Final = 100
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What JSON leaves as it is within a string, but some readers take for the end of a line, or UTF-8 cannot hold.
_AWKWARD: Final = re.compile("[\x85\u2028\u2029\ud800-\udfff]")


# Writing ---------------------------------------------------------------------------------------------------------


@contextmanager
def replace_file(path: PathLike) -> Iterator[Path]:
    """Provide a temporary path in the same folder, which replaces `path` at the end of the block.

    For writers that need a path. After an error or a kill, `path` is unchanged.

    Yields:
        The temporary path; it does not end as `path` does.

    Raises:
        InvalidSetting: If `path` ends in no name.
    """
    target = Path(path)
    unique = f"{os.getpid()}-{threading.get_ident()}"
    partial = hidden_beside(target, f".{unique}{_PARTIAL}")
    try:
        with _names(target, partial):
            yield partial
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def hidden_beside(path: Path, ending: str) -> Path:
    """Path of a hidden file or folder beside another one, for locks and unfinished results.

    Args:
        path: The other one. Only the beginning of a long name is used.
        ending: What the name ends with.

    Raises:
        InvalidSetting: If `path` ends in no name, as "." and ".." do.
    """
    if path.name in ("", ".."):
        raise InvalidSetting(f"{str(path)!r} is not the name of a file or folder to write: give one with a name")
    # A name is limited in bytes, and must not end within a character.
    beginning = os.fsencode(path.name)[:_LONGEST_STEM].decode(errors="ignore")
    return path.with_name(f".{beginning}{ending}")


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        OSError: If it cannot be written; names the file.
    """
    with replace_file(path) as partial:
        partial.write_bytes(data)


def write_text(path: PathLike, text: str) -> None:
    """Write a UTF-8 file atomically; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: PathLike, value: Any, *, indent: int | None = 2) -> None:
    """Write a JSON file atomically; see `write_bytes`.

    Raises:
        ValueError: If `value` holds something that JSON has no form for (see `json_fault`).
        OSError: If it cannot be written; names the file.
    """
    write_text(path, _dump(value, indent=indent) + "\n")


def json_line(value: Any) -> str:
    """`value` as JSON in one line, without the line end. Strings hold no character that some readers end a line at.

    Raises:
        ValueError: If `value` holds something that JSON has no form for (see `json_fault`).
    """
    return _dump(value, separators=(",", ":"))


def _dump(value: Any, **options: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(json_fault(value) or str(error)) from error
    if _most_nested(text) > MAX_DEPTH and (fault := json_fault(value)) is not None:
        raise ValueError(fault)  # could be written, but not read again
    if not _has_text_keys(value):
        raise ValueError(json_fault(value))  # the printer makes texts of numbers
    return _AWKWARD.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _has_text_keys(value: Any) -> bool:
    """Whether all keys within a value that could be printed are texts. Faster than `json_fault`."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                return False
            stack.extend(item.values())
        elif isinstance(item, (list, tuple)):
            stack.extend(item)
    return True


class JsonLinesWriter:
    """Appends JSON lines to a file. Each line is written completely or not at all, even if the disk is full.

    An unfinished last line, as a killed process leaves it, is dropped when the file is opened (see `drop_torn_line`).

    Args:
        path: The file; created if missing, with its folder. new: Begin an empty file.

    Attributes:
        path: As given.
        dropped: Whether an unfinished last line was dropped.

    Raises:
        OSError: If it cannot be opened; names the file.
    """

    def __init__(self, path: PathLike, *, new: bool = False) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.dropped = not new and drop_torn_line(self.path)
        self._file: IO[bytes] = self.path.open("wb" if new else "ab", buffering=0)

    def write(self, value: Any) -> None:
        """Append a value.

        Raises:
            ValueError: If `value` holds something that JSON has no form for.
            OSError: If it cannot be written; names the file.
        """
        self.write_line(json_line(value))

    def write_line(self, line: str) -> None:
        """Append a line of JSON, given without its line end, and flush it to the operating system."""
        data = memoryview(f"{line}\n".encode())
        with _names(self.path):
            end = self._file.seek(0, os.SEEK_END)
            try:
                while data:
                    data = data[self._file.write(data) or 0 :]
            except OSError:
                self._file.truncate(end)
                raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def append_json_line(path: PathLike, value: Any, *, shared: bool = False) -> None:
    """Append one value to a JSON-lines file; see `JsonLinesWriter`.

    Args:
        path: The file; made if missing, its folder too.
        value: The value.
        shared: Whether other processes may append to the file at the same time; they then wait for each other.
    """
    file = Path(path)
    if not shared:
        with JsonLinesWriter(file) as lines:
            lines.write(value)
        return
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(hidden_beside(file, _LOCK)), JsonLinesWriter(file) as lines:
        lines.write(value)


def drop_torn_line(path: PathLike) -> bool:
    """Remove an unfinished last line, as a killed process leaves it; returns whether there was one.

    A last line that lacks nothing but its end, as some editors leave it, is ended.
    """
    file = Path(path)
    if not is_file(file):
        return False
    with file.open("r+b") as lines:
        end = lines.seek(0, os.SEEK_END)
        place = end
        while place:
            start = max(0, place - (1 << 16))
            lines.seek(start)
            found = lines.read(place - start).rfind(b"\n")
            if found >= 0:
                place = start + found + 1
                break
            place = start
        if place == end:
            return False
        lines.seek(place)
        if lacks_only_its_end(lines.read()):
            lines.write(b"\n")
            return False
        lines.truncate(place)
    return True


def lacks_only_its_end(line: bytes) -> bool:
    """Whether a last line without a line feed holds a whole JSON object or list. A part of one never is another one."""
    if not line.lstrip(b"\xef\xbb\xbf \t").startswith((b"{", b"[")):
        return False
    try:
        parse_json(line.removeprefix(codecs.BOM_UTF8).strip(), "the last line")
    except RecordError:
        return False
    return True


# Reading ---------------------------------------------------------------------------------------------------------


def parse_json(text: str | bytes, where: str, error: ErrorType = RecordError) -> Any:
    """Parse one JSON value strictly: no NaN, no infinity, at most `MAX_DEPTH` levels.

    Args:
        text: The JSON; bytes are UTF-8.
        where: The location for errors ("tasks.jsonl, line 3").
        error: What to raise. Raises: VzgymError: `error`, if it is none; names the place and the reason.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as fault:
        raise error(f"{where}: not UTF-8 text: {fault.reason} at byte {fault.start}") from fault
    except json.JSONDecodeError as fault:
        place = f"line {fault.lineno}, column {fault.colno}" if fault.lineno > 1 else f"column {fault.colno}"
        raise error(f"{where}: not JSON: {fault.msg} at {place}") from fault
    except RecursionError as fault:
        raise error(f"{where}: not readable: values nested more than {MAX_DEPTH} levels deep") from fault
    except ValueError as fault:
        # Python reads no integer of more than some thousand digits.
        raise error(f"{where}: not readable: {fault}") from fault
    if _most_nested(text) > MAX_DEPTH and (found := json_fault(value)) is not None:
        raise error(f"{where}: not readable: {found}")
    return value


_OTHER_THAN_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def _most_nested(text: str) -> int:
    """How deep a JSON text is nested, or more: brackets within strings are counted, too."""
    brackets = np.frombuffer(text.encode(errors="replace").translate(None, _OTHER_THAN_BRACKETS), dtype=np.uint8)
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    return int(np.cumsum(np.where(opening, 1, -1)).max(initial=0))


def read_json(path: PathLike, error: ErrorType = RecordError) -> Any:
    """Read a JSON file; a byte order mark is ignored.

    Raises:
        VzgymError: `error`, if the file cannot be read or is not JSON; names file and reason.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as fault:
        raise error(f"cannot read {_short(path)}: {_reason(fault)}") from fault
    return parse_json(data.removeprefix(codecs.BOM_UTF8), str(path), error)


def read_json_lines(
    path: PathLike,
    error: ErrorType = RecordError,
    *,
    torn: Literal["refuse", "skip"] = "refuse",
    broken: list[str] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Read the values of a JSON-lines file, with their line numbers, from 1.

    Args:
        path: The file.
        error: What to raise.
        torn: What to do with an unfinished last line that is not JSON, as a killed process leaves it.
        broken: Collects the faults of lines that are not JSON, which are skipped then. Default: they are refused.

    Raises:
        VzgymError: `error`, if the file cannot be read or a line is refused; names file, line and reason.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below; errors of the lines are others
    except (OSError, ValueError) as fault:
        raise error(f"cannot read {_short(path)}: {_reason(fault)}") from fault
    with file:
        for number, line in enumerate(_lines(file, path, error), start=1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                value = parse_json(line.rstrip(), where, error)
            except error as fault:
                cut = not line.endswith(b"\n")
                if cut and torn == "skip":
                    return
                reason = (
                    f"{fault} (the last line is incomplete: the writing process was stopped)" if cut else str(fault)
                )
                if broken is None:
                    raise error(reason) from fault
                broken.append(reason)
                continue
            yield number, value


def _lines(file: IO[bytes], path: PathLike, error: ErrorType) -> Iterator[bytes]:
    try:
        yield from file
    except OSError as fault:
        raise error(f"cannot read {path}: {_reason(fault)}") from fault


def check_model_path(path: PathLike) -> None:
    """Check that a model that is named by a path is there, before a library asks a hub for it, with retries.

    A path is what is no name on the Hugging Face hub (`NAME` or `OWNER/NAME`), or begins with an existing folder, or
    with `runs`, where vzgym's commands write by default.

    Raises:
        InvalidSetting: If there is no such folder, or no model in it.
    """
    text = os.fspath(path)
    folder = Path(text)
    # Not Path's methods: they raise for texts that are not valid paths, such as very long ones.
    if os.path.isdir(text):  # noqa: PTH112
        if any((folder / name).is_file() for name in _MODEL_FILES):
            return
        inside = sorted(found.parent for name in _MODEL_FILES for found in folder.glob(f"*/{name}"))
        hint = f"; there is one in {', '.join(map(str, inside[:3]))}" if inside else ""
        raise InvalidSetting(f"no model in the folder {text!r}: it has no {' and no '.join(_MODEL_FILES)}{hint}")
    if os.path.isfile(text):  # noqa: PTH113
        raise InvalidSetting(f"no model at {text!r}: it is a file; give the folder that holds it")
    parts = folder.parts
    named = _HUB_NAME.fullmatch(text) is not None
    if named and not (len(parts) > 1 and (parts[0] == "runs" or os.path.isdir(parts[0]))):  # noqa: PTH112
        return
    there = folder.parent.iterdir() if os.path.isdir(folder.parent) else ()  # noqa: PTH112
    close = close_name(folder.name, [place.name for place in there if place.is_dir()])
    guess = f"did you mean {str(folder.parent / close)!r}? Give" if close else "give"
    raise InvalidSetting(
        f"no model at {text!r}: there is no such folder; {guess} a folder with a config.json, or a name on the Hugging "
        "Face hub (OWNER/NAME)"
    )


_MODEL_FILES: Final = ("config.json", "adapter_config.json")
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def json_fault(value: Any, max_depth: int = MAX_DEPTH) -> str | None:
    """Find the part of a value that is not JSON-serializable; None if there is none.

    Values are None, truth values, texts, finite numbers, lists, tuples and mappings from texts.

    Args:
        value: The value.
        max_depth: How deep it may be nested; less than `MAX_DEPTH` for what becomes a part of a JSON value.
    """
    stack: list[tuple[Any, str, int]] = [(value, "", 1)]
    while stack:
        item, place, depth = stack.pop()
        at = f" at {place}" if place else ""
        match item:
            case None | bool() | str():
                continue
            case int():
                # Python's printer gives up at some thousand digits.
                if item.bit_length() > 14_000:
                    return f"an integer of {item.bit_length()} bits{at}"
            case float():
                if not math.isfinite(item):
                    return f"{item!r}{at}"
            case list() | tuple() | Mapping():
                if depth > max_depth:
                    return f"values nested more than {max_depth} levels deep"
                if isinstance(item, Mapping):
                    wrong = [key for key in item if not isinstance(key, str)]
                    if wrong:
                        return f"a key that is no text, {wrong[0]!r:.100},{at or ' in it'}"
                    stack += [(part, f"{place}.{key}".lstrip("."), depth + 1) for key, part in item.items()]
                else:
                    stack += [(part, f"{place}[{index}]", depth + 1) for index, part in enumerate(item)]
            case _:
                return f"a {type(item).__name__}{at}"
    return None


def is_file(path: PathLike) -> bool:
    """Whether a file exists; False if the path is too long or invalid."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for such paths


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text:.40} is too large")
    return value


def _reason(fault: Exception) -> str:
    return (fault.strerror if isinstance(fault, OSError) else None) or str(fault)


def _short(path: PathLike) -> str:
    text = str(path)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


# Folders ---------------------------------------------------------------------------------------------------------


@contextmanager
def folder_lock(folder: PathLike) -> Iterator[Path]:
    """Lock a folder for writing, against other processes and other users in this process.

    Partial files of killed writers in it are deleted. A folder that was created by this call and stays empty is
    removed.

    Args:
        folder: The folder; created if missing.

    Raises:
        FolderInUse: If it is locked; names the folder.
        OSError: If it cannot be made.
    """
    place = Path(folder)
    made = [parent for parent in (place, *place.parents) if not parent.exists()]
    place.mkdir(parents=True, exist_ok=True)
    try:
        with _held(place / _LOCK, f"{place} is being written by another process"):
            for file in place.glob(f".*{_PARTIAL}"):
                file.unlink(missing_ok=True)
            yield place
    finally:
        if made and place.is_dir() and all(map(is_leftover, place.iterdir())):
            (place / _LOCK).unlink(missing_ok=True)
            for parent in made:
                with suppress(OSError):  # it is no longer empty
                    parent.rmdir()


@contextmanager
def file_lock(path: PathLike, *, wait: bool = False) -> Iterator[Path]:
    """Lock a file for writing; see `folder_lock`. Its folder is created if missing.

    Args:
        path: The file.
        wait: Whether to wait while it is locked.

    Raises:
        FolderInUse: If it is locked and `wait` is not set; names the file.
        InvalidSetting: If `path` ends in no name.
        OSError: If its folder cannot be made.
    """
    file = Path(path)
    lock = hidden_beside(file, _LOCK)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _held(lock, f"{file} is being written by another process", wait):
        yield file


@contextmanager
def _held(lock_file: Path, taken: str, wait: bool = False) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file, thread_local=False)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise FolderInUse(f"{taken}: wait until it has finished, or write elsewhere") from None
    try:
        yield
    finally:
        lock.release()


def is_leftover(path: PathLike) -> bool:
    """Whether a file is a lock or a partial file of a killed writer. A folder of only such files counts as empty."""
    name = Path(path).name
    return name.startswith(".") and name.endswith((_LOCK, _PARTIAL))


def is_disk_full(error: BaseException) -> bool:
    """Whether an error or one of its causes means that no space was left (or a file became too large)."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in _FULL:
            return True
        # Libraries that write files raise their own errors, with the system's message.
        if any(os.strerror(number) in str(found) for number in _FULL):
            return True
        found = found.__cause__ or found.__context__
    return False


@contextmanager
def _names(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Add the file's name to errors that have none, such as those of `write`, or name its partial file."""
    try:
        yield
    except OSError as error:
        if error.filename is None or (partial is not None and str(error.filename) == str(partial)):
            error.filename = str(path)
            del error.filename2
        raise
