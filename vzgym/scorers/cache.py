"""Scores and embeddings of videos on disk, so that no frame passes through a scorer twice.

An entry holds the values of the candidates of one video for one scorer, and for one query unless the scorer embeds
frames. It is a folder named by the hash of its key:

- `entry.json`: the key, for people; its modification time is the time of the last use;
- `0.npz`, `128.npz`, ...: the values of 128 candidates each, from that index on, with the frames' times.

Blocks are written as they are computed, so that a stopped run continues where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import FolderInUse, InvalidSetting, ScorerError
from vzgym.core.files import MAX_DEPTH, file_lock, json_fault, json_line, write_bytes, write_json
from vzgym.scorers.base import Query, Scorer
from vzgym.video.base import Video
from vzgym.video.file import FileVideo

__all__ = [
    "CACHE_VARIABLE",
    "DEFAULT_LIMIT",
    "Block",
    "CacheSpec",
    "Entry",
    "ScoreCache",
    "entry_key",
    "entry_name",
    "make_cache",
]

_log = logging.getLogger("vzgym.scorers")

CACHE_VARIABLE: Final = "VZGYM_CACHE"
"""Environment variable of the folder of caches."""

DEFAULT_LIMIT: Final = 8_000_000_000
"""Default limit of a cache of scores, in bytes."""

_VERSION: Final = 1
_HEADER: Final = "entry.json"
_NAME: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Values of consecutive candidates.

    Attributes:
        times: float64, shape `(n,)`: the frames' own times in seconds.
        values: Scores, float64 `(n,)`, or embeddings, float32 `(n, d)`.
        decoded: Number of frames decoded for them.
    """

    times: NDArray[np.float64]
    values: NDArray[Any]
    decoded: int


def entry_key(
    scorer: Scorer,
    video: Video,
    query: Query | None,
    times: NDArray[np.float64],
    size: tuple[int, int] | None,
) -> dict[str, Any] | None:
    """What determines the values of an entry, as JSON values; None if they cannot be kept.

    They are kept for video files, and for scorers with an `identity`.

    Args:
        scorer: The scorer.
        video: The video. A file is identified by a hash of its content, so that it may be moved.
        query: The query; None for embeddings.
        times: The candidates' times.
        size: Size to which they are scaled, if they are.

    Raises:
        VideoError: If the file cannot be read.
        ScorerError: If the scorer's identity is not JSON values.
    """
    identity = getattr(scorer, "identity", None)
    if query is None:
        identity = getattr(scorer, "frame_identity", identity)
    if identity is None or not isinstance(video, FileVideo):
        return None
    if (fault := json_fault(identity, MAX_DEPTH // 2)) is not None:
        raise ScorerError(f"identity of scorer {scorer.name!r} must be JSON values, but holds {fault}")
    from vzgym.video.store import fingerprint  # loads a decoder

    reading = {"backend": video.backend, "sparse_reads": video.sparse_reads, "grid_fps": video.grid_fps,
               "stream": video.stream, "deinterlace": video.deinterlace, "store": video.store is not None}  # fmt: skip
    kind = type(scorer)
    return {
        "version": _VERSION,
        "video": {"content": fingerprint(video.path), **reading},
        "scorer": {"name": scorer.name, "class": f"{kind.__module__}:{kind.__qualname__}", "identity": identity},
        "query": None if query is None else {"text": query.text, "options": list(query.options)},
        "times": {
            "count": len(times),
            "first": float(times[0]),
            "last": float(times[-1]),
            "hash": hashlib.blake2b(times.astype("<f8").tobytes(), digest_size=16).hexdigest(),
        },
        "size": None if size is None else list(size),
    }


class Entry:
    """The blocks of one entry. Used while it is locked (`ScoreCache.open`)."""

    def __init__(self, cache: ScoreCache, folder: Path, key: Mapping[str, Any]) -> None:
        self._cache, self._folder, self._key = cache, folder, key
        self._full = False
        self._room_made = False

    def get(self, first: int, count: int) -> Block | None:
        """The block of `count` candidates from index `first` on; None if it is missing or damaged."""
        path = self._folder / f"{first}.npz"
        try:
            with np.load(path, allow_pickle=False) as data:
                block = Block(data["times"], data["values"], int(data["decoded"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("%s is damaged and is computed again: %s", path, error)
            return None
        return block if len(block.times) == len(block.values) == count else None

    def put(self, first: int, block: Block, total: int) -> None:
        """Store a block, evicting the least recently used entries.

        A block is not stored, with a warning in the log, if the entry would exceed the cache's limit or the disk is
        full.

        Args:
            first: Index of its first candidate.
            block: The block.
            total: Number of candidates of the entry.
        """
        if self._full:
            return
        buffer = io.BytesIO()
        np.savez(buffer, times=block.times, values=block.values, decoded=np.int64(block.decoded))
        data = buffer.getvalue()
        try:
            if not self._room_made:
                # Blocks are of equal size, except for the last one.
                self._make_room(len(data) * -(-total // len(block.times)))
            if not self._full:
                write_bytes(self._folder / f"{first}.npz", data)
        except OSError as error:
            self._full = True
            _log.warning("scores are not kept on disk: %s", error)

    def _make_room(self, nbytes: int) -> None:
        self._room_made = True
        if nbytes > self._cache.limit:
            self._full = True
            _log.warning(
                "%s takes about %d bytes, more than the limit of the cache in %s (%d): not kept",
                self._key["scorer"]["name"], nbytes, self._cache.folder, self._cache.limit,
            )  # fmt: skip
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / _HEADER, self._key)
        self._cache.trim(self._cache.limit - nbytes, keep=self._folder.name)

    def touch(self) -> None:
        """Mark the entry as used now."""
        with suppress(FileNotFoundError):
            os.utime(self._folder / _HEADER)


class ScoreCache:
    """A folder of scores and embeddings, limited in bytes. Several processes may use it at once.

    Args:
        folder: The folder. Default: `scores` in `$VZGYM_CACHE`, else in `$XDG_CACHE_HOME/vzgym`, else in
            `~/.cache/vzgym`.
        limit: Maximum size in bytes, >= 0. The entries used least recently are deleted to keep it.

    Raises:
        InvalidSetting: If the limit is out of range.
    """

    def __init__(self, folder: str | Path | None = None, *, limit: int = DEFAULT_LIMIT) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise InvalidSetting(f"the limit of a cache must be a whole number of bytes >= 0, got {limit!r}")
        self.folder = _default_folder() if folder is None else Path(folder)
        self.limit = limit

    def __repr__(self) -> str:
        return f"ScoreCache({str(self.folder)!r}, limit={self.limit})"

    @contextmanager
    def open(self, key: Mapping[str, Any]) -> Iterator[Entry]:
        """Open the entry of a key. A process that wants the same entry waits until the block is left."""
        name = entry_name(key)
        # Locks lie beside the entries, so that eviction removes no lock that a process waits for.
        with file_lock(self.folder / "locks" / name, wait=True):
            entry = Entry(self, self.folder / name, key)
            entry.touch()
            yield entry

    def count(self, key: Mapping[str, Any]) -> int:
        """Number of stored blocks of a key, without a lock."""
        return len(list((self.folder / entry_name(key)).glob("*.npz")))

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(size for _, size, _ in self._entries())

    def trim(self, limit: int, keep: str = "") -> None:
        """Delete the least recently used entries until the others take at most `limit` bytes.

        Entries in use are not deleted.

        Args:
            limit: In bytes.
            keep: Name of an entry that is neither counted nor deleted.
        """
        entries = sorted(entry for entry in self._entries() if entry[2].name != keep)
        total = sum(size for _, size, _ in entries)
        for _, size, folder in entries:
            if total <= limit:
                return
            with suppress(FolderInUse), file_lock(self.folder / "locks" / folder.name):
                shutil.rmtree(folder, ignore_errors=True)
                total -= size

    def clear(self) -> None:
        """Delete all entries that are not in use."""
        self.trim(-1)  # an empty entry, too

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Time of the last use, size in bytes and folder of each entry."""
        if not self.folder.is_dir():
            return
        for folder in self.folder.iterdir():
            # Another process may delete it meanwhile.
            with suppress(FileNotFoundError, NotADirectoryError):
                if _NAME.fullmatch(folder.name):  # nothing else is ever deleted
                    used = (folder / _HEADER).stat().st_mtime
                    yield used, sum(file.stat().st_size for file in folder.iterdir()), folder


CacheSpec: TypeAlias = ScoreCache | str | Path | bool | None
"""A cache, its folder, True for the default one, or None or False for none."""


def make_cache(spec: CacheSpec) -> ScoreCache | None:
    """Create a cache from its specification."""
    if isinstance(spec, ScoreCache) or spec is None:
        return spec
    if isinstance(spec, bool):
        return ScoreCache() if spec else None
    return ScoreCache(spec)


def entry_name(key: Mapping[str, Any]) -> str:
    """Name of the folder of an entry."""
    return hashlib.blake2b(json_line(key).encode(), digest_size=16).hexdigest()


def _default_folder() -> Path:
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given) / "scores"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vzgym" / "scores"
