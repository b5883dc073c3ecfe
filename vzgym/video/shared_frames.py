"""Decoded frames that the processes of a machine share, limited in bytes.

A folder, in shared memory where the system has it, holds two files:

- `frames.bin`: a ring of bytes. New frames take the place of the oldest.
- `index.db`: an SQLite database of the frames in the ring, and of its head: the number of bytes that were ever
  reserved, so that nobody takes it for unchanged after others have filled the ring once.

A frame's row is deleted, and that is committed, before its bytes are replaced; its bytes are written before its row is
inserted. A reader copies the bytes between two looks at the row: if the row is still there, no writer had begun. So a
process may be killed at any moment, and no reader gets another frame's bytes.

Each process that uses the folder holds a shared lock on it. The last one that leaves removes it, and whoever comes next
removes the folders of killed processes.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import hashlib
import logging
import mmap
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting
from vzgym.video.base import FRAME_SLACK
from vzgym.video.decoder import DecodedFrame, Rendered
from vzgym.video.scale import RawPixels

__all__ = ["SharedFrames", "shared_frames"]

_log = logging.getLogger("vzgym.video")

_BUSY_SECONDS: Final = 30.0
_BUCKET_SECONDS: Final = 8.0
_BUCKETS: Final = 1 << 16
_MOST_BUCKETS: Final = 16
_PREFIX: Final = "vzgym-frames"

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS ring (head INTEGER NOT NULL);
INSERT INTO ring SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM ring);
CREATE TABLE IF NOT EXISTS frames (
    id INTEGER PRIMARY KEY AUTOINCREMENT, series BLOB NOT NULL, start REAL NOT NULL, "end" REAL NOT NULL,
    place INTEGER NOT NULL, nbytes INTEGER NOT NULL, form TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_time ON frames (series, start);
CREATE INDEX IF NOT EXISTS by_place ON frames (place);
"""


class SharedFrames:
    """The shared frames of one folder. Thread-safe.

    If the folder becomes unusable (it is deleted, say), nothing is found or kept any more, with a warning in the log.

    Args:
        folder: The folder; it is made if it is not there.
        limit: Size of the ring in bytes, > 0. The same for all processes that use the folder.

    Raises:
        OSError: If the folder cannot be used, or there is no room for the ring.
        sqlite3.Error: If the database cannot be used.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._lock = threading.Lock()
        self._in_use = _join(folder)
        with (folder / "frames.bin").open("a+b") as file:
            _allocate(file, limit)
            self._ring = mmap.mmap(file.fileno(), limit)
        self._index = sqlite3.connect(
            folder / "index.db", timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        # Nothing needs to survive the machine.
        self._index.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;")
        self._index.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        atexit.register(self.close)
        _joined.add(self)

    def forget(self) -> None:
        """Leave the folder as it is: it is removed by others. For forked processes, whose parent still uses it."""
        _joined.discard(self)
        atexit.unregister(self.close)
        os.close(self._in_use)  # a parent's copy keeps the lock

    def close(self) -> None:
        """Leave the folder, and remove it if no other process uses it."""
        _joined.discard(self)
        atexit.unregister(self.close)
        with self._lock:
            self._index.close()
            _remove_unused(self.folder, self._in_use)
            os.close(self._in_use)

    def find(self, video: Hashable, spec: Hashable, times: Iterable[float]) -> list[DecodedFrame]:
        """The shared frames that are shown at `times` (seconds), each once; those that are missing are left out."""
        series = _series(video, spec)
        found: dict[int, tuple[float, float, int, int, str]] = {}
        with self._lock, self._errors_as_warnings():
            for time in times:
                row = self._index.execute(
                    'SELECT id, start, "end", place, nbytes, form FROM frames WHERE series = ? AND start <= ? '
                    "ORDER BY start DESC LIMIT 1",
                    (series, time + FRAME_SLACK),
                ).fetchone()
                if row is not None and time + FRAME_SLACK < row[2]:
                    found[row[0]] = row[1:]
            copies = {id: self._ring[place : place + nbytes] for id, (_, _, place, nbytes, _) in found.items()}
            return [
                DecodedFrame(start, end, _from_bytes(copies[id], form))
                for id, (start, end, _, _, form) in found.items()
                if self._index.execute("SELECT 1 FROM frames WHERE id = ?", (id,)).fetchone()
            ]
        return []

    def put(self, video: Hashable, spec: Hashable, frames: Iterable[DecodedFrame]) -> None:
        """Add frames, in place of the oldest. Frames of which there is no exact copy as bytes are left out."""
        series = _series(video, spec)
        # At most a quarter of the ring at once, so that no batch replaces its own frames.
        batch: list[tuple[DecodedFrame, bytes, str]] = []
        total = 0
        for frame in frames:
            packed = _to_bytes(frame.pixels)
            if packed is None or len(packed[0]) > self.limit // 4:
                continue
            if total + len(packed[0]) > self.limit // 4:
                self._write(series, batch, total)
                batch, total = [], 0
            batch.append((frame, *packed))
            total += len(packed[0])
        if batch:
            self._write(series, batch, total)

    @property
    def usage(self) -> tuple[int, int]:
        """Bytes and number of the frames in the ring."""
        with self._lock:
            nbytes, count = self._index.execute("SELECT COALESCE(SUM(nbytes), 0), COUNT(*) FROM frames").fetchone()
        return nbytes, count

    @contextmanager
    def hold(self, video: Hashable, start: float, end: float) -> Iterator[None]:
        """Lock an interval of a video (seconds) among the processes, so that only one of them decodes it.

        Long intervals are one for this purpose. The locks are those of the operating system, which a killed process
        loses. Threads of one process do not exclude each other.
        """
        first, last = int(max(0.0, start) // _BUCKET_SECONDS), int(max(0.0, end) // _BUCKET_SECONDS)
        buckets = range(first, last + 1) if last - first < _MOST_BUCKETS else range(_BUCKETS - 1, _BUCKETS)
        offset = int.from_bytes(_series(video, None)[:5]) * _BUCKETS
        held = []
        try:
            # All processes lock in the same order, so that none waits for another in a circle.
            for place in sorted({offset + bucket % _BUCKETS for bucket in buckets}):
                try:
                    fcntl.lockf(self._in_use, fcntl.LOCK_EX, 1, place)
                except OSError as error:
                    # Threads of two processes that wait for each other's locks look like a circle to the system.
                    if error.errno != errno.EDEADLK:
                        raise
                    break
                held.append(place)
            yield
        finally:
            for place in held:
                fcntl.lockf(self._in_use, fcntl.LOCK_UN, 1, place)

    def _write(self, series: bytes, batch: Sequence[tuple[DecodedFrame, bytes, str]], total: int) -> None:
        done = False
        with self._lock, self._errors_as_warnings():
            while not done:
                with self._transaction():
                    (head,) = self._index.execute("SELECT head FROM ring").fetchone()
                    if head % self.limit + total > self.limit:
                        head += self.limit - head % self.limit
                    place, end = head % self.limit, head + total
                    replaced = (place + total, place)
                    self._index.execute("DELETE FROM frames WHERE place < ? AND place + nbytes > ?", replaced)
                    self._index.execute("UPDATE ring SET head = ?", (end,))
                with self._transaction():
                    # If another process was faster, this place may be its own by now.
                    done = self._index.execute("SELECT head FROM ring").fetchone() == (end,)
                    for frame, data, form in batch if done else ():
                        self._ring[place : place + len(data)] = data
                        self._index.execute(
                            'INSERT INTO frames (series, start, "end", place, nbytes, form) VALUES (?, ?, ?, ?, ?, ?)',
                            (series, frame.start, frame.end, place, len(data), form),
                        )
                        place += len(data)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._index.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._index.execute("ROLLBACK")
            raise
        self._index.execute("COMMIT")

    @contextmanager
    def _errors_as_warnings(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            _log.warning("frames are decoded again, since shared ones are unusable: %s: %s", self.folder, error)


_inherited: Final[list[SharedFrames]] = []
"""Those of a parent process, whose database connections must not be closed here."""
_joined: Final[weakref.WeakSet[SharedFrames]] = weakref.WeakSet()


def _allocate(file: BinaryIO, size: int) -> None:
    """Allocate all bytes of a file: memory that is missing later would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    # macOS has no such call.
    while (missing := size - os.fstat(file.fileno()).st_size) > 0:
        file.write(bytes(min(missing, 1 << 20)))
        file.flush()


def _series(video: Hashable, spec: Hashable) -> bytes:
    return hashlib.blake2b(repr((video, spec)).encode(), digest_size=16).digest()


def _to_bytes(pixels: object) -> tuple[bytes, str] | None:
    """A frame's bytes and their form; None if they would not tell everything."""
    if isinstance(pixels, Rendered):
        array = np.ascontiguousarray(pixels.pixels)
        return array.tobytes(), f"rgb {array.shape[0]} {array.shape[1]}"
    return pixels.to_bytes() if isinstance(pixels, RawPixels) else None


def _from_bytes(data: bytes, form: str) -> Rendered | RawPixels:
    kind, _, rest = form.partition(" ")
    if kind != "rgb":
        return RawPixels.from_bytes(data, form)
    height, width = map(int, rest.split())
    array: NDArray[np.uint8] = np.frombuffer(bytearray(data), dtype=np.uint8)
    return Rendered(array.reshape(height, width, 3))


def _join(folder: Path) -> int:
    """Make a folder, and hold a shared lock on it, for as long as the returned file is open.

    Raises:
        OSError: If the folder cannot be made, or belongs to another user.
    """
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "belongs to another user", str(folder))
        # The last process may remove the folder meanwhile.
        with contextlib.suppress(FileNotFoundError):
            file = os.open(folder / "locks", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(file, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(file).st_ino == (folder / "locks").stat().st_ino:
                    return file
            os.close(file)


def _remove_unused(folder: Path, file: int) -> None:
    """Remove a folder unless another process holds its lock (an open file)."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Remove the folders of processes that were killed."""
    for folder in root.glob(f"{_PREFIX}-{os.getuid()}-*"):
        with contextlib.suppress(FileNotFoundError):
            file = os.open(folder / "locks", os.O_RDWR)
            _remove_unused(folder, file)
            os.close(file)


@cache
def shared_frames(limit: int) -> SharedFrames:
    """The frames that processes of this user with the same limit share on this machine.

    Args:
        limit: In bytes, > 0.

    Raises:
        InvalidSetting: If there is no room for them.
    """
    name = f"{_PREFIX}-{os.getuid()}-{limit}"
    roots = [Path(tempfile.gettempdir())]
    if (memory := Path("/dev/shm")).is_dir() and os.access(memory, os.W_OK):
        roots.insert(0, memory)
    for root in roots:
        _remove_leftovers(root)
    there = [root for root in roots if (root / name).is_dir()]
    room = [root for root in roots if shutil.disk_usage(root).free > limit]
    if not there and not room:
        raise InvalidSetting(f"there is no room for {limit:,} bytes of shared frames in {' or '.join(map(str, roots))}")
    folder = (there or room)[0] / name
    try:
        return SharedFrames(folder, limit)
    except (OSError, sqlite3.Error) as error:
        raise InvalidSetting(f"frames cannot be shared in {folder}: {error}") from error


def _forget_after_fork() -> None:
    """A forked process must not use its parent's database connection, nor remove its folder."""
    inherited = list(_joined)
    _inherited.extend(inherited)
    for frames in inherited:
        frames.forget()
    shared_frames.cache_clear()


os.register_at_fork(after_in_child=_forget_after_fork)
