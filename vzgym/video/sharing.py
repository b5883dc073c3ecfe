"""Shared reading of frames: from the cache first, then from an open reader, in one pass for all missing frames."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.base import FRAME_SLACK, Frames, crop_box
from vzgym.video.cache import CacheStats, FrameCache
from vzgym.video.decoder import Deadline, DecodedFrame, Decoder, ReadOptions, Rendered, RenderSpec, StreamInfo
from vzgym.video.playlists import identity_of
from vzgym.video.pool import ReaderPool
from vzgym.video.settings import VideoLimits, limits

if TYPE_CHECKING:
    from vzgym.video.shared_frames import SharedFrames

__all__ = ["Clip", "SharedVideos", "Source", "clear", "shared_videos", "stats"]

_RAW = "raw"
_INFOS = 1024
# A decoded frame this many times larger than its rendered size is not cached as decoded.
_LARGE = 2
_USUAL_PIXELS = 1280 * 720


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how it is read.

    Args:
        path: The file.
        backend: Name of the decoder, for errors and to tell sources apart.
        options: Which stream is read, and how it is shown.
        open_one: Opens a reader: `open_one(threads, timeout)`.
    """

    path: str
    backend: str
    options: ReadOptions
    open_one: Callable[[int, float], Decoder]

    def key(self) -> Hashable:
        """Key of the file's current content and the decoder.

        Raises:
            VideoError: If the file does not exist.
        """
        return identity_of(self.path, self.options, self.backend), self.backend, self.options


@dataclass(frozen=True, slots=True)
class Clip:
    """A request for frames.

    Args:
        times: float64, shape `(n,)`, within the video.
        spec: Size and crop of the frames.
        keep_every: Which intermediate frames to keep for later requests; see `Decoder.read_frames`.
        key_frames: Whether to use the last key frame at or before each time.
        grid: Seconds between the points of the grid of `times`, if they are on one.
        keep: Whether its frames are cached; frames that are cached already are used in any case.
    """

    times: NDArray[np.float64]
    spec: RenderSpec
    keep_every: float | None = None
    key_frames: bool = False
    grid: float | None = None
    keep: bool = True


class SharedVideos:
    """State of video reading in a process: cached frames, open readers, file properties."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: OrderedDict[Hashable, StreamInfo] = OrderedDict()
        self._users: dict[Hashable, weakref.WeakSet[object]] = {}
        self._locks = _DecodeLocks()
        self.cache = FrameCache(limits().cache_bytes)
        self.pool = ReaderPool()

    def info(self, source: Source) -> StreamInfo:
        """Properties of the video stream; opens the file the first time."""
        key = source.key()
        with self._lock:
            known = self._infos.get(key)
        if known is not None:
            return known
        now = limits()
        with self._reader(source, key, 0.0, Deadline(now.timeout, source.path, source.backend), now) as decoder:
            return decoder.info

    def read(self, source: Source, clips: Sequence[Clip], user: object) -> list[Frames]:
        """Read the frames of each clip.

        Args:
            source: The file.
            clips: Requests; missing frames are decoded in order of time.
            user: Token of the caller. The file's frames and readers are kept until its last user leaves.

        Raises:
            VideoError: If a frame cannot be decoded.
        """
        now = limits()
        self.cache.set_limit(now.cache_bytes)
        key = source.key()
        with self._lock:
            self._users.setdefault(key, weakref.WeakSet()).add(user)
        deadline = Deadline(now.timeout, source.path, source.backend)
        pending = [_PendingClip(clip) for clip in clips]
        decoded = [0] * len(clips)
        # Dense clips, whose intermediate frames are kept, sparse clips, and sparse clips of key frames each have a
        # pass.
        for kind in sorted({_kind(clip) for clip in clips}):
            chosen = [n for n, clip in enumerate(clips) if _kind(clip) == kind]
            count = self._pass(source, key, [pending[n] for n in chosen], deadline, now)
            decoded[chosen[0]] += count
        return [
            waiting.frames(self.info(source), count, source) for waiting, count in zip(pending, decoded, strict=True)
        ]

    def leave(self, source: Source, user: object) -> None:
        """Unregister `user`. When the last user of a file leaves, its readers are closed and its frames freed."""
        try:
            key = source.key()
        except VideoError:
            return  # the file is gone; its frames are evicted later
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
        """Fill `pending` and return the number of decoded frames."""
        clips = [waiting.clip for waiting in pending]
        keeps = [clip.keep_every for clip in clips if clip.keep_every is not None]
        keep_every = min(keeps) if keeps and now.cache_bytes else None
        self._look_up(key, pending)
        missing = _missing(pending)
        if not len(missing):
            return 0
        shared = _shared_by(now)
        if keep_every is None and shared is None:
            return self._decode(source, key, pending, missing, keep_every, deadline, now)
        # If two threads or processes need the same interval, the second waits and then finds the frames in the cache.
        with ExitStack() as locks:
            if keep_every is not None:
                locks.enter_context(self._locks.hold(key, missing[0], missing[-1], deadline))
            if shared is not None and any(waiting.clip.keep for waiting in pending):
                locks.enter_context(shared.hold(key, missing[0], missing[-1]))
                deadline.extend()  # do not count the wait
            self._look_up(key, pending)
            missing = _missing(pending)
            return self._decode(source, key, pending, missing, keep_every, deadline, now) if len(missing) else 0

    def _look_up(self, key: Hashable, pending: list[_PendingClip]) -> None:
        shared = _shared_by(limits())
        for waiting in pending:
            spec = waiting.clip.spec
            if waiting.clip.key_frames:
                continue
            for time in waiting.missing():
                frame = self.cache.get(key, spec, time + FRAME_SLACK)
                if frame is None:
                    frame = self.cache.get(key, _RAW, time + FRAME_SLACK)
                if frame is not None:
                    drawn = isinstance(frame.pixels, Rendered)
                    waiting.put(frame if drawn else self._draw(key, frame, spec, keep=waiting.clip.keep))
            for series in (spec, _RAW):
                found = [] if shared is None else shared.find(key, series, waiting.missing())
                for frame in found:
                    waiting.put(self._draw(key, frame, spec, keep=waiting.clip.keep))

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
        shared = _shared_by(now)
        while len(missing):
            to_share: list[tuple[Hashable, DecodedFrame]] | None = None if shared is None else []
            with self._reader(source, key, float(missing[0]), deadline, now) as decoder:
                before = decoder.decoded
                # Where a seek is due, another reader may be closer: each part is served by the best one.
                last = math.inf if keep_every is None else float(decoder.split_at_seeks(missing)[0][-1])
                for group in _groups(pending, decoder.raw):
                    times, spec, key_frames = _missing(group), group[0].clip.spec, group[0].clip.key_frames
                    times = times if key_frames else times[times <= last]
                    if not len(times):
                        continue
                    if key_frames:
                        frames = decoder.read_key_frames(times, spec, deadline)
                    else:
                        frames = decoder.read_frames(times, spec, keep_every, deadline)
                    for frame in frames:
                        self._place(key, frame, group, keep_every, decoder.raw, to_share)
                decoded += decoder.decoded - before
            if shared is not None and to_share:
                for series in {series for series, _ in to_share}:
                    shared.put(key, series, [frame for other, frame in to_share if other == series])
            left = _missing(pending)
            if len(left) == len(missing):
                return decoded  # no more frames: reported when the clip is assembled
            missing = left
        return decoded

    def _place(
        self,
        key: Hashable,
        frame: DecodedFrame,
        pending: list[_PendingClip],
        keep_every: float | None,
        raw: bool,
        to_share: list[tuple[Hashable, DecodedFrame]] | None,
    ) -> None:
        """Add a decoded frame to the clips that need it and to the cache.

        If processes share frames, intermediate ones are added to `to_share` instead of this process's own cache.
        """

        def keep(series: Hashable, kept: DecodedFrame) -> None:
            if to_share is None:
                self.cache.put(key, series, kept)
            else:
                to_share.append((series, kept))

        drawn: dict[RenderSpec, DecodedFrame] = {}
        for waiting in pending:
            spec = waiting.clip.spec
            if waiting.wants(frame):
                if spec not in drawn:
                    kept = waiting.clip.keep and not waiting.clip.key_frames
                    drawn[spec] = self._draw(key, frame, spec, keep=kept)
                    if kept and to_share is not None:
                        to_share.append((spec, drawn[spec]))
                waiting.put(drawn[spec])
        if keep_every is None:
            return
        specs = {waiting.clip.spec for waiting in pending}
        if keep_every == 0 and raw and all(frame.pixels.nbytes <= _LARGE * _nbytes(spec) for spec in specs):
            # Cached as decoded and rendered on demand: most never are.
            keep(_RAW, frame)
            return
        # Few, or much larger than their rendered size: resized at once, rendered on demand.
        for spec in specs - set(drawn):
            small = DecodedFrame(frame.start, frame.end, frame.pixels.shrunk(spec))
            keep(spec, small)

    def _draw(self, key: Hashable, frame: DecodedFrame, spec: RenderSpec, keep: bool = True) -> DecodedFrame:
        drawn = DecodedFrame(frame.start, frame.end, Rendered(frame.pixels.render(spec)))
        if keep:  # the end of a key frame decoded alone is unknown: it could be taken for a later frame
            self.cache.put(key, spec, drawn)
        return drawn

    def _most_readers(self, key: Hashable, now: VideoLimits) -> int:
        """Maximum number of readers of a file: fewer for large frames, since each reader holds about twenty."""
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
    """A clip and the frames found for it so far."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._distinct = np.unique(clip.times)
        self._missing = np.ones(len(self._distinct), dtype=bool)
        self._frames: dict[float, DecodedFrame] = {}

    def missing(self) -> NDArray[np.float64]:
        """Times without a frame yet, ascending."""
        return self._distinct[self._missing]

    def wants(self, frame: DecodedFrame) -> bool:
        """Whether `frame` is shown at a missing time."""
        return self.clip.key_frames or bool((self._missing & self._served_by(frame)).any())

    def put(self, frame: DecodedFrame) -> None:
        """Use `frame` for all times at which it is shown; a key frame for all later times up to the next one."""
        if not self.clip.key_frames:
            self._missing &= ~self._served_by(frame)
        self._frames[frame.start] = frame

    def _served_by(self, frame: DecodedFrame) -> NDArray[np.bool_]:
        moments = self._distinct + FRAME_SLACK
        return (moments >= frame.start) & (moments < frame.end)

    def frames(self, info: StreamInfo, decoded: int, source: Source) -> Frames:
        """The clip's frames, in the order of the request."""
        times, spec = self.clip.times, self.clip.spec
        if not len(times):
            return Frames(np.empty((0, *_shape(info, spec), 3), dtype=np.uint8), np.empty(0), decoded)
        starts = np.array(sorted(self._frames))
        places = np.searchsorted(starts, times + FRAME_SLACK, side="right") - 1
        lost = self._missing.any() and not self.clip.key_frames
        if lost or places.min() < 0:
            at = float(self.missing()[0])
            raise VideoError("no frame came for this time", path=source.path, time=at, backend=source.backend)
        drawn = [self._frames[start].pixels.render(spec) for start in starts]
        return Frames(np.stack([drawn[place] for place in places]), starts[places], decoded)


class _DecodeLocks:
    """Locks on the intervals of videos that are being decoded."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: list[tuple[Hashable, float, float]] = []

    @contextmanager
    def hold(self, key: Hashable, start: float, end: float, deadline: Deadline) -> Iterator[None]:
        """Lock `[start, end]` of a video; waits while another thread has locked a part of it."""
        claim = (key, start, end)
        with self._changed:
            while any(k == key and s <= end and start <= e for k, s, e in self._held):
                if not self._changed.wait(deadline.left):
                    raise deadline.error(start)
            self._held.append(claim)
        deadline.extend()  # do not count the wait
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(claim)
                self._changed.notify_all()


def _shared_by(now: VideoLimits) -> SharedFrames | None:
    """The frames that processes share, if they do."""
    if not now.shared_bytes:
        return None
    from vzgym.video.shared_frames import shared_frames  # loads a decoder

    return shared_frames(now.shared_bytes)


def _kind(clip: Clip) -> int:
    """Kind of clips that may share a pass: 0 dense (intermediate frames kept), 1 sparse, 2 sparse with key frames."""
    if clip.key_frames:
        return 2
    return 1 if clip.keep_every is None else 0


def _groups(pending: list[_PendingClip], raw: bool) -> list[list[_PendingClip]]:
    """Groups of clips that one pass can serve: all, or those of one `RenderSpec` if frames are decoded rendered."""
    if raw:
        return [pending]
    specs = {waiting.clip.spec: [s for s in pending if s.clip.spec == waiting.clip.spec] for waiting in pending}
    return list(specs.values())


def _missing(pending: list[_PendingClip]) -> NDArray[np.float64]:
    return np.unique(np.concatenate([waiting.missing() for waiting in pending]))


def _nbytes(spec: RenderSpec) -> float:
    """Bytes of a frame rendered under `spec`; infinite if it has no size."""
    return math.inf if spec.size is None else 3 * spec.size[0] * spec.size[1]


def _shape(info: StreamInfo, spec: RenderSpec) -> tuple[int, int]:
    """Rows and columns of a frame under `spec`."""
    if spec.size is not None:
        return spec.size
    if spec.region is None:
        return info.height, info.width
    top, bottom, left, right = crop_box(spec.region, info.height, info.width)
    return bottom - top, right - left


_shared = SharedVideos()


def shared_videos() -> SharedVideos:
    """The `SharedVideos` of this process."""
    return _shared


def stats() -> CacheStats:
    """Size and hit counts of this process's frame cache."""
    return _shared.cache.stats


def clear() -> None:
    """Close all idle files and free all cached frames."""
    _shared.clear()


def _reset_after_fork() -> None:
    """After a fork, start afresh: open files belong to the parent, and its threads may have held locks."""
    global _shared
    old, _shared = _shared, SharedVideos()
    # Keep the old objects alive: closing a decoder would wait for threads that do not exist in this process.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(old))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
