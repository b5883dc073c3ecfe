"""Pool of open readers, limited in number."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vzgym.video.decoder import Deadline, Decoder

__all__ = ["ReaderPool"]


@dataclass(eq=False, slots=True)
class _Reader:
    video: Hashable
    decoder: Decoder


class ReaderPool:
    """Thread-safe pool of open readers; a reader is lent to one thread at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[_Reader] = []  # most recently used last
        self._lent: dict[Hashable, int] = {}  # number of readers of each video that are lent or being opened

    @contextmanager
    def borrow(
        self,
        video: Hashable,
        time: float,
        open_one: Callable[[], Decoder],
        *,
        most: int,
        most_per_video: int,
        deadline: Deadline,
    ) -> Iterator[Decoder]:
        """Borrow a reader of `video`, preferably one positioned shortly before `time`, else an idle one.

        A reader is closed if its use raises an error.

        Args:
            video: Identifies the file and how it is read.
            time: Position in seconds at which reading will begin.
            open_one: Opens one more reader.
            most: Maximum number of open readers of all videos.
            most_per_video: Maximum number of open readers of this video.
            deadline: Limit on the wait for a reader.

        Raises:
            VideoError: If none can be opened, or none becomes free in time.
        """
        reader = self._take(video, time, most, most_per_video, deadline)
        try:
            if reader is None:
                reader = _Reader(video, open_one())
            yield reader.decoder
        except BaseException:
            self._give(video, None)
            if reader is not None:
                reader.decoder.close()
            raise
        self._give(video, reader)

    def close(self, video: Hashable | None = None) -> None:
        """Close the idle readers of `video`, or all of them."""
        with self._changed:
            closing = [r for r in self._idle if video is None or r.video == video]
            self._idle = [r for r in self._idle if r not in closing]
            self._changed.notify_all()
        for reader in closing:
            reader.decoder.close()

    @property
    def open_readers(self) -> int:
        """Number of open readers, including lent ones."""
        with self._changed:
            return len(self._idle) + sum(self._lent.values())

    def _take(self, video: Hashable, time: float, most: int, most_per_video: int, deadline: Deadline) -> _Reader | None:
        """Take an idle reader; None if another must be opened."""
        evicted: _Reader | None = None
        with self._changed:
            while True:
                mine = [r for r in self._idle if r.video == video]
                near = [r for r in mine if r.decoder.reaches_without_seek(time)]
                # Another is opened if each of them is within a group of pictures.
                free = [r for r in mine if r.decoder.is_idle]
                open_now = len(self._idle) + sum(self._lent.values())
                if near:
                    chosen: _Reader | None = near[-1]
                elif free:
                    chosen = free[-1]
                elif len(mine) + self._lent.get(video, 0) < most_per_video and (open_now < most or self._idle):
                    chosen = None
                    if open_now >= most:
                        evicted = self._idle.pop(0)
                elif mine:
                    chosen = mine[0]
                else:
                    chosen = None
                    if not self._changed.wait(deadline.left):
                        raise deadline.error(time)
                    continue
                if chosen is not None:
                    self._idle.remove(chosen)
                self._lent[video] = self._lent.get(video, 0) + 1
                break
        if evicted is not None:
            evicted.decoder.close()
        return chosen

    def _give(self, video: Hashable, reader: _Reader | None) -> None:
        with self._changed:
            self._lent[video] -= 1
            if not self._lent[video]:
                del self._lent[video]
            if reader is not None:
                self._idle.append(reader)
            self._changed.notify_all()
