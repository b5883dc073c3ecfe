"""Videos that are files."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import Registry
from vzgym.video.base import Frames, check_times
from vzgym.video.decoder import Decoder, DecoderFactory, ReadOptions, StreamInfo, View
from vzgym.video.grid import grid_step, snap, spacing
from vzgym.video.paths import local_path
from vzgym.video.sharing import Clip, Source, shared_videos

if TYPE_CHECKING:
    from vzgym.video.store import FrameStore

__all__ = ["BACKENDS", "ClipRequest", "FileVideo"]

BACKENDS: Registry[Decoder] = Registry("video back-end", "vzgym.videos")
BACKENDS.register("pyav", "vzgym.video.pyav_backend:PyAVDecoder")
BACKENDS.register("decord", "vzgym.video.decord_backend:DecordDecoder")
BACKENDS.register("torchcodec", "vzgym.video.torchcodec_backend:TorchCodecDecoder")

# Clips at least this dense (seconds between frames) are worth keeping what lies between their frames.
_DENSE = 2.0


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip among several asked for together.

    Args:
        times: Seconds, any order, each in `[0, duration]`.
        size: `(height, width)` to resize to; None keeps the native size.
        region: Part of the picture to cut out before resizing.
    """

    times: NDArray[np.float64]
    size: tuple[int, int] | None = None
    region: Region | None = None


class _User:
    """Stands for one `FileVideo` among the users of a file."""

    __slots__ = ("__weakref__",)


class FileVideo:
    """A video file, exact by time. Opened on first use; pickles as its path and settings.

    Objects of the same file share open readers and decoded frames (see `VideoLimits`), so roll-outs that look at
    the same places decode them once, in whatever order and from whatever threads they come. Forked and spawned
    processes open the file for themselves.

    Args:
        path: The file, as a path or a `file:///` URI. Never a URL of another kind: colons have no meaning in a path.
        backend: Which decoder reads it: "pyav", "decord", "torchcodec", or one of a plug-in.
        grid_fps: If given, the times of a clip are moved back to a grid of so many points a second (finer where
            the clip is: at most half its spacing), so that clips of a group coincide. Reported times stay the
            frames' own. None: exactly the times asked for.
        glance: "exact", or "key_frames": requests spaced wider than the key frames are answered with the last
            key frame at or before each time, at about a tenth of the cost. Reported times are the key frames' own.
        isolate: Whether decoding runs in a process of its own, which is ended if it hangs and whose crash does no
            harm. None: where the back-end needs it (decord, torchcodec).
        store: Folder of frame stores (`build_store`). If it holds this file's content, clips on a grid that the
            store has, at sizes that it has, come from there: JPEGs instead of decoding. All else is decoded. Needs
            `grid_fps`.
        stream: Index of the video stream in the file, as `ffprobe` counts. None: the one that FFmpeg chooses (the
            default stream, of several the largest, of equals the first); `info.stream` says which.
        deinterlace: Whether interlaced frames are shown as their first field alone, interpolated to full height.
            PyAV only. `info.interlaced` says whether the first frame is.

    Raises:
        UnknownName: If there is no such back-end.
        InvalidSetting: If a setting is out of range, or the back-end cannot do it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        backend: str = "pyav",
        grid_fps: float | None = None,
        glance: Literal["exact", "key_frames"] = "exact",
        isolate: bool | None = None,
        store: str | os.PathLike[str] | None = None,
        stream: int | None = None,
        deinterlace: bool = False,
    ) -> None:
        factory = _factory(backend)
        if grid_fps is not None and not (math.isfinite(grid_fps) and grid_fps > 0):
            raise InvalidSetting(f"grid_fps must be finite and > 0, got {grid_fps!r}")
        if glance not in ("exact", "key_frames"):
            raise InvalidSetting(f"glance must be 'exact' or 'key_frames', got {glance!r}")
        if glance == "key_frames" and not factory.finds_key_frames:
            raise InvalidSetting(f"video back-end {backend!r} cannot find key frames; glance='key_frames' needs 'pyav'")
        if store is not None and grid_fps is None:
            raise InvalidSetting("a store serves clips on a grid: give grid_fps too (the store's own fps, say)")
        if stream is not None and (isinstance(stream, bool) or not isinstance(stream, int) or stream < 0):
            raise InvalidSetting(f"stream must be the index of a stream, an integer >= 0, got {stream!r}")
        if deinterlace and backend in ("decord", "torchcodec"):
            raise InvalidSetting(f"video back-end {backend!r} cannot deinterlace; deinterlace=True needs 'pyav'")
        if store is not None and (stream is not None or deinterlace):
            raise InvalidSetting("a store holds the stream that FFmpeg chooses, as it is: no stream=, no deinterlace=")
        self.path = local_path(path)
        self.backend = backend
        self.grid_fps = grid_fps
        self.glance = glance
        self.isolate = isolate
        self.store = None if store is None else os.fspath(store)
        self.stream = stream
        self.deinterlace = deinterlace
        self._store: FrameStore | None = None
        self._store_of: Hashable = None  # the file's identity when its store was looked for
        self._user = _User()
        isolated = factory.isolated if isolate is None else isolate
        name = f"{backend}, isolated" if isolated and not factory.isolated else backend

        options = ReadOptions(stream, deinterlace)
        file = self.path  # not `self`: a cycle would keep this object among the file's users until it is collected

        def open_one(threads: int, timeout: float) -> Decoder:
            if not isolated:
                return factory(file, threads=threads, timeout=timeout, options=options)
            from vzgym.video.isolated import IsolatedDecoder

            return IsolatedDecoder(file, factory, name=backend, threads=threads, timeout=timeout, options=options)

        self._source = Source(self.path, name, options, open_one)

    def _settings(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "grid_fps": self.grid_fps,
            "glance": self.glance,
            "isolate": self.isolate,
            "store": self.store,
            "stream": self.stream,
            "deinterlace": self.deinterlace,
        }

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.path, self._settings())

    def __repr__(self) -> str:
        return f"FileVideo({self.path!r}, {', '.join(f'{k}={v!r}' for k, v in self._settings().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileVideo) and (self.path, self._settings()) == (other.path, other._settings())

    def __hash__(self) -> int:
        return hash((self.path, self.backend))

    @property
    def uri(self) -> str:
        """The path."""
        return self.path

    @property
    def info(self) -> StreamInfo:
        """What opening the file tells.

        Raises:
            VideoError: If it cannot be opened, holds no video, or is broken in a way that opening shows.
        """
        return shared_videos().info(self._source)

    @property
    def duration(self) -> float:
        """Seconds from the stream's start to the end of its last frame."""
        return self.info.duration

    @property
    def fps(self) -> float:
        """Mean frames a second."""
        return self.info.fps

    @property
    def num_frames(self) -> int | None:
        """Number of frames, or None where only decoding the whole file would show it."""
        return self.info.num_frames

    @property
    def height(self) -> int:
        """Rows of a frame as shown."""
        return self.info.height

    @property
    def width(self) -> int:
        """Columns of a frame as shown."""
        return self.info.width

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        """See `Video.read`."""
        return self.read_many([ClipRequest(times, size, region)])[0]

    def read_many(self, requests: Sequence[ClipRequest]) -> list[Frames]:
        """Several clips, decoded in one pass in order of time: cheaper than one by one where they overlap.

        Args:
            requests: The clips.

        Returns:
            The frames of each, in the order of `requests`. `Frames.decoded` of the first counts for those that
            were decoded together.

        Raises:
            InvalidSetting: If a time is not finite or outside `[0, duration]`, or a size is not positive.
            VideoError: If a frame cannot be had.
        """
        info = self.info
        clips = [self._clip(request, info) for request in requests]
        stored = {n: frames for n, clip in enumerate(clips) if (frames := self._from_store(clip)) is not None}
        rest = [clip for n, clip in enumerate(clips) if n not in stored]
        decoded = iter(shared_videos().read(self._source, rest, self._user)) if rest else iter(())
        return [stored[n] if n in stored else next(decoded) for n in range(len(clips))]

    def close(self) -> None:
        """Give readers and frames back, unless another `FileVideo` of the same file has them in use."""
        shared_videos().leave(self._source, self._user)
        if self._store is not None:
            self._store.close()

    def _from_store(self, clip: Clip) -> Frames | None:
        """The clip from the file's store; None if there is none, or it does not have it."""
        if self.store is None:
            return None
        key = self._source.key()
        if key != self._store_of:
            from vzgym.video.store import FrameStore  # decoders are imported where they are used

            self._store, self._store_of = FrameStore.find(self.path, self.store), key
        if self._store is None or not self._store.serves(clip.view, clip.grid):
            return None
        pictures = [self._store.picture(float(time), clip.view) for time in clip.times]
        pixels = np.stack([picture.pixels.render(clip.view) for picture in pictures])
        return Frames(pixels, np.array([picture.start for picture in pictures]), 0)

    def _clip(self, request: ClipRequest, info: StreamInfo) -> Clip:
        times = np.maximum(check_times(request.times, info.duration), info.first)
        if request.size is not None and not (len(request.size) == 2 and min(request.size) >= 1):
            raise InvalidSetting(f"size must be (height, width), each >= 1, got {request.size!r}")
        size = None if request.size is None else (int(request.size[0]), int(request.size[1]))
        view = View(size, request.region)
        gap = spacing(times)
        if self.glance == "key_frames" and gap and info.key_distance is not None and gap >= info.key_distance:
            return Clip(times, view, key_frames=True)
        step = None if self.grid_fps is None else grid_step(times, self.grid_fps, info.fps)
        if step is not None:
            times = np.maximum(snap(times, step), info.first)
        dense = gap is not None and gap <= _DENSE
        return Clip(times, view, keep_every=(step or 0.0) if dense else None, grid=step)


def _factory(backend: str) -> DecoderFactory:
    factory: Any = BACKENDS.get(backend)
    result: DecoderFactory = factory
    return result


def _rebuild(path: str, settings: dict[str, Any]) -> FileVideo:
    return FileVideo(path, **settings)
