"""Serves requests for frames: from the cache first, then from an open reader, one pass for all that is missing."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.base import FRAME_SLACK, Frames, crop_box
from vzgym.video.cache import CacheStats, FrameCache
from vzgym.video.decoder import Deadline, Decoder, Picture, ReadOptions, Rendered, StreamInfo, View
from vzgym.video.paths import identify
from vzgym.video.pool import ReaderPool
from vzgym.video.settings import VideoLimits, limits

__all__ = ["Clip", "SharedVideos", "Source", "clear", "shared_videos", "stats"]

_RAW = "raw"
_INFOS = 1024
# A decoded picture so many times larger than the view of it is not worth its memory.
_LARGE = 2
_USUAL_PIXELS = 1280 * 720


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how it is read.

    Args:
        path: The file.
        backend: Name of the decoder, for errors and to distinguish sources.
        options: Which stream is read, and how it is shown.
        open_one: Opens a reader: `open_one(threads, timeout)`.
    """

    path: str
    backend: str
    options: ReadOptions
    open_one: Callable[[int, float], Decoder]

    def key(self) -> Hashable:
        """Identifies the file's present content and the decoder.

        Raises:
            VideoError: If the file is not there.
        """
        return *identify(self.path, self.backend), self.backend, self.options


@dataclass(frozen=True, slots=True)
class Clip:
    """One request.

    Args:
        times: float64, shape `(n,)`, within the video.
        view: How the frames are to be shown.
        keep_every: Which pictures decoded on the way to keep for later requests; see `Decoder.pictures`.
        key_frames: Take the last key frame at or before each time.
        grid: Seconds between the points of the grid that `times` lie on, if they do.
    """

    times: NDArray[np.float64]
    view: View
    keep_every: float | None = None
    key_frames: bool = False
    grid: float | None = None


class SharedVideos:
    """All that video reading holds in a process: frames, open readers, what is known of files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: OrderedDict[Hashable, StreamInfo] = OrderedDict()
        self._users: dict[Hashable, weakref.WeakSet[object]] = {}
        self._locks = _DecodeLocks()
        self.cache = FrameCache(limits().cache_bytes)
        self.pool = ReaderPool()

    def info(self, source: Source) -> StreamInfo:
        """What the file says of itself; opens it the first time."""
        key = source.key()
        with self._lock:
            known = self._infos.get(key)
        if known is not None:
            return known
        now = limits()
        with self._reader(source, key, 0.0, Deadline(now.timeout, source.path, source.backend), now) as decoder:
            return decoder.info

    def read(self, source: Source, clips: Sequence[Clip], user: object) -> list[Frames]:
        """The frames of each clip.

        Args:
            source: The file.
            clips: Requests; what they need is decoded in order of time.
            user: Who reads. The file's frames and readers are kept while one of its users has not left.

        Raises:
            VideoError: If a frame cannot be had.
        """
        now = limits()
        self.cache.set_limit(now.cache_bytes)
        key = source.key()
        with self._lock:
            self._users.setdefault(key, weakref.WeakSet()).add(user)
        deadline = Deadline(now.timeout, source.path, source.backend)
        pending = [_PendingClip(clip) for clip in clips]
        decoded = [0] * len(clips)
        # Clips are dense and worth keeping, or glances, or glances at key frames: each kind in a pass of its own.
        for kind in sorted({_kind(clip) for clip in clips}):
            chosen = [n for n, clip in enumerate(clips) if _kind(clip) == kind]
            count = self._pass(source, key, [pending[n] for n in chosen], deadline, now)
            decoded[chosen[0]] += count
        return [
            waiting.frames(self.info(source), count, source) for waiting, count in zip(pending, decoded, strict=True)
        ]

    def leave(self, source: Source, user: object) -> None:
        """`user` reads no more. The last user of a file closes its readers and frees its frames."""
        try:
            key = source.key()
        except VideoError:
            return  # the file is gone; what is held of it goes with age
        with self._lock:
            users = self._users.get(key)
            if users is None:
                return
            users.discard(user)
            if users:
                return
            del self._users[key]
        self.pool.close(key)
        self.cache.forget(key)

    def clear(self) -> None:
        """Close all idle readers and free all frames."""
        self.pool.close()
        self.cache.clear()
        with self._lock:
            self._infos.clear()

    def _pass(
        self, source: Source, key: Hashable, pending: list[_PendingClip], deadline: Deadline, now: VideoLimits
    ) -> int:
        """Fill `pending`; the number of frames decoded for that."""
        clips = [waiting.clip for waiting in pending]
        keeps = [clip.keep_every for clip in clips if clip.keep_every is not None]
        keep_every = min(keeps) if keeps and now.cache_bytes else None
        self._look_up(key, pending)
        missing = _missing(pending)
        if not len(missing):
            return 0
        if keep_every is None:
            return self._decode(source, key, pending, missing, keep_every, deadline, now)
        # Two threads that want the same stretch: the second waits, then finds the frames in the cache.
        with self._locks.hold(key, missing[0], missing[-1], deadline):
            self._look_up(key, pending)
            missing = _missing(pending)
            return self._decode(source, key, pending, missing, keep_every, deadline, now) if len(missing) else 0

    def _look_up(self, key: Hashable, pending: list[_PendingClip]) -> None:
        for waiting in pending:
            view = waiting.clip.view
            if waiting.clip.key_frames:
                continue
            for time in waiting.missing():
                picture = self.cache.get(key, view, time + FRAME_SLACK)
                if picture is None:
                    picture = self.cache.get(key, _RAW, time + FRAME_SLACK)
                if picture is not None:
                    drawn = isinstance(picture.pixels, Rendered)
                    waiting.put(picture if drawn else self._draw(key, picture, view))

    def _decode(
        self,
        source: Source,
        key: Hashable,
        pending: list[_PendingClip],
        missing: NDArray[np.float64],
        keep_every: float | None,
        deadline: Deadline,
        now: VideoLimits,
    ) -> int:
        decoded = 0
        while len(missing):
            with self._reader(source, key, float(missing[0]), deadline, now) as decoder:
                before = decoder.decoded
                # Where decoding would jump, another reader may stand closer: each run is given to the best one.
                last = math.inf if keep_every is None else float(decoder.split_at_seeks(missing)[0][-1])
                for group in _groups(pending, decoder.raw):
                    times, view = _missing(group), group[0].clip.view
                    if group[0].clip.key_frames:
                        pictures = decoder.key_pictures(times, view, deadline)
                    else:
                        pictures = decoder.pictures(times[times <= last], view, keep_every, deadline)
                    for picture in pictures:
                        self._place(key, picture, group, keep_every, decoder.raw)
                decoded += decoder.decoded - before
            left = _missing(pending)
            if len(left) == len(missing):
                return decoded  # nothing more comes: reported when the clip is put together
            missing = left
        return decoded

    def _place(
        self, key: Hashable, picture: Picture, pending: list[_PendingClip], keep_every: float | None, raw: bool
    ) -> None:
        """Put a decoded picture where it is wanted, and into the cache."""
        drawn: dict[View, Picture] = {}
        for waiting in pending:
            view = waiting.clip.view
            if waiting.wants(picture):
                if view not in drawn:
                    drawn[view] = self._draw(key, picture, view, keep=not waiting.clip.key_frames)
                waiting.put(drawn[view])
        if keep_every is None:
            return
        views = {waiting.clip.view for waiting in pending}
        if keep_every == 0 and raw and all(picture.pixels.nbytes <= _LARGE * _nbytes(view) for view in views):
            # Kept whole, drawn when somebody asks: most never are.
            self.cache.put(key, _RAW, picture)
            return
        # Few, or much larger than what will be shown of them: resized at once, drawn when somebody asks.
        for view in views - set(drawn):
            small = Picture(picture.start, picture.end, picture.pixels.shrunk(view))
            self.cache.put(key, view, small)

    def _draw(self, key: Hashable, picture: Picture, view: View, keep: bool = True) -> Picture:
        drawn = Picture(picture.start, picture.end, Rendered(picture.pixels.render(view)))
        if keep:  # of a key frame taken alone it is not known when it ends: it could pass for a later frame
            self.cache.put(key, view, drawn)
        return drawn

    def _most_readers(self, key: Hashable, now: VideoLimits) -> int:
        """Readers of a file: fewer of large pictures, since each reader holds about twenty."""
        with self._lock:
            info = self._infos.get(key)
        if info is None:
            return now.readers_per_file
        fit = int(now.readers_per_file * _USUAL_PIXELS / (info.height * info.width))
        return max(1, min(now.readers_per_file, fit))

    @contextmanager
    def _reader(
        self, source: Source, key: Hashable, time: float, deadline: Deadline, now: VideoLimits
    ) -> Iterator[Decoder]:
        lent = self.pool.borrow(
            key,
            time,
            lambda: source.open_one(now.decoder_threads, now.timeout),
            most=now.max_readers,
            most_per_video=self._most_readers(key, now),
            deadline=deadline,
        )
        with lent as decoder:
            with self._lock:
                self._infos[key] = decoder.info
                while len(self._infos) > _INFOS:
                    self._infos.popitem(last=False)
            yield decoder


class _PendingClip:
    """A clip and the pictures found for it."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._distinct = np.unique(clip.times)
        self._missing = np.ones(len(self._distinct), dtype=bool)
        self._pictures: dict[float, Picture] = {}

    def missing(self) -> NDArray[np.float64]:
        """Times that no picture has been found for, ascending."""
        return self._distinct[self._missing]

    def wants(self, picture: Picture) -> bool:
        """Whether `picture` is shown at a time still missing."""
        return self.clip.key_frames or bool((self._missing & self._served_by(picture)).any())

    def put(self, picture: Picture) -> None:
        """Take `picture` for all times that it is shown at; a key frame for all that follow, until the next."""
        if not self.clip.key_frames:
            self._missing &= ~self._served_by(picture)
        self._pictures[picture.start] = picture

    def _served_by(self, picture: Picture) -> NDArray[np.bool_]:
        moments = self._distinct + FRAME_SLACK
        return (moments >= picture.start) & (moments < picture.end)

    def frames(self, info: StreamInfo, decoded: int, source: Source) -> Frames:
        """The clip, in the order asked for."""
        times, view = self.clip.times, self.clip.view
        if not len(times):
            return Frames(np.empty((0, *_shape(info, view), 3), dtype=np.uint8), np.empty(0), decoded)
        starts = np.array(sorted(self._pictures))
        places = np.searchsorted(starts, times + FRAME_SLACK, side="right") - 1
        lost = self._missing.any() and not self.clip.key_frames
        if lost or places.min() < 0:
            at = float(self.missing()[0])
            raise VideoError("no frame came for this time", path=source.path, time=at, backend=source.backend)
        drawn = [self._pictures[start].pixels.render(view) for start in starts]
        return Frames(np.stack([drawn[place] for place in places]), starts[places], decoded)


class _DecodeLocks:
    """Stretches of videos that some thread is decoding now."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: list[tuple[Hashable, float, float]] = []

    @contextmanager
    def hold(self, key: Hashable, start: float, end: float, deadline: Deadline) -> Iterator[None]:
        """Hold `[start, end]` of a video; waits while another thread holds a part of it."""
        claim = (key, start, end)
        with self._changed:
            while any(k == key and s <= end and start <= e for k, s, e in self._held):
                if not self._changed.wait(deadline.left):
                    raise deadline.error(start)
            self._held.append(claim)
        deadline.extend()  # the wait was another's decoding
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(claim)
                self._changed.notify_all()


def _kind(clip: Clip) -> int:
    """Clips that may share a pass: 0 worth keeping what lies between, 1 glances, 2 glances at key frames."""
    if clip.key_frames:
        return 2
    return 1 if clip.keep_every is None else 0


def _groups(pending: list[_PendingClip], raw: bool) -> list[list[_PendingClip]]:
    """Shelves that one pass can serve: all, or those of one view where pictures come drawn already."""
    if raw:
        return [pending]
    views = {waiting.clip.view: [s for s in pending if s.clip.view == waiting.clip.view] for waiting in pending}
    return list(views.values())


def _missing(pending: list[_PendingClip]) -> NDArray[np.float64]:
    return np.unique(np.concatenate([waiting.missing() for waiting in pending]))


def _nbytes(view: View) -> float:
    """Bytes of a picture drawn at `view`; unbounded if it has no size of its own."""
    return math.inf if view.size is None else 3 * view.size[0] * view.size[1]


def _shape(info: StreamInfo, view: View) -> tuple[int, int]:
    """Rows and columns of a picture at `view`."""
    if view.size is not None:
        return view.size
    if view.region is None:
        return info.height, info.width
    top, bottom, left, right = crop_box(view.region, info.height, info.width)
    return bottom - top, right - left


_shared = SharedVideos()


def shared_videos() -> SharedVideos:
    """What video reading holds in this process."""
    return _shared


def stats() -> CacheStats:
    """What the frame cache of this process holds and has done."""
    return _shared.cache.stats


def clear() -> None:
    """Close all files that are open for later use, and free all frames kept."""
    _shared.clear()


def _reset_after_fork() -> None:
    """After a fork: open files belong to the parent, and its threads, which may hold our locks, are not here."""
    global _shared
    old, _shared = _shared, SharedVideos()
    # Never destroy them here: closing a decoder would wait for threads that this process does not have.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(old))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
