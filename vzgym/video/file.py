"""Video files."""

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
from vzgym.video.decoder import Decoder, DecoderFactory, ReadOptions, RenderSpec, StreamInfo
from vzgym.video.grid import grid_step, snap, spacing
from vzgym.video.paths import local_path
from vzgym.video.playlists import playlist_files
from vzgym.video.sharing import Clip, Source, shared_videos

if TYPE_CHECKING:
    from vzgym.video.store import FrameStore

__all__ = ["BACKENDS", "ClipRequest", "FileVideo"]

BACKENDS: Registry[Decoder] = Registry("video back-end", "vzgym.videos")
BACKENDS.register("pyav", "vzgym.video.pyav_backend:PyAVDecoder")
BACKENDS.register("decord", "vzgym.video.decord_backend:DecordDecoder")
BACKENDS.register("torchcodec", "vzgym.video.torchcodec_backend:TorchCodecDecoder")

# For clips at least this dense (seconds between frames), the intermediate frames are cached, too.
_DENSE = 2.0


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip of a request for several.

    Args:
        times: Seconds, any order, each in `[0, duration]`.
        size: `(height, width)` to resize to; None keeps the native size.
        region: Part of the frame to crop before resizing.
        keep: Whether its frames are cached. False for many frames that are read once, so that they evict no others.
    """

    times: NDArray[np.float64]
    size: tuple[int, int] | None = None
    region: Region | None = None
    keep: bool = True


class _User:
    """Token that represents one `FileVideo` among the users of a file."""

    __slots__ = ("__weakref__",)


class FileVideo:
    """A video file with exact access by time. Opened on first use; pickles as its path and settings.

    Objects of the same file share open readers and decoded frames (see `VideoLimits`), so roll-outs that read the same
    intervals decode them once, in any order and from any thread. Forked and spawned processes open the file themselves.

    Args:
        path: The file, as a path or a `file:///` URI. Other URLs are not supported: a colon is an ordinary character.
        backend: The decoder: "pyav", "decord", "torchcodec", or a plug-in's.
        grid_fps: If given, the times of a clip are moved back to a grid of this many points per second (refined to at
            most half the clip's spacing), so that clips of a group share frames. Reported times remain the frames' own.
            None: exactly the requested times.
        sparse_reads: "exact", or "key_frames": requests spaced wider than the key frames return the last key frame at
            or before each time, at about a tenth of the cost. Reported times are the key frames' own.
        isolate: Whether decoding runs in a separate process, which is killed if it hangs and may crash safely. None: if
            the back-end needs it (decord, torchcodec).
        store: Folder of frame stores (`build_store`). If it contains this file, clips on a stored grid, at sizes up to
            the stored one, are read from there as JPEGs. All others are decoded. Needs `grid_fps`.
        stream: Index of the video stream in the file, as `ffprobe` counts. None: FFmpeg's choice (the default stream,
            among several the largest, among equals the first); see `info.stream`.
        deinterlace: Whether to show only the first field of interlaced frames, interpolated to full height. PyAV only.
            `info.interlaced` says whether the first frame is interlaced.
        allow_playlists: Whether `path` may be a playlist (ffconcat, or HLS with an end), whose files are shown one
            after another, each for its measured duration. It may name files in its own folder or, if given, in `root`.
        root: The only folder whose files a playlist may name, links followed.

    Raises:
        UnknownName: If the back-end is unknown.
        InvalidSetting: If a setting is out of range, or the back-end does not support it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        backend: str = "pyav",
        grid_fps: float | None = None,
        sparse_reads: Literal["exact", "key_frames"] = "exact",
        isolate: bool | None = None,
        store: str | os.PathLike[str] | None = None,
        stream: int | None = None,
        deinterlace: bool = False,
        allow_playlists: bool = False,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        factory = _factory(backend)
        if grid_fps is not None and not (math.isfinite(grid_fps) and grid_fps > 0):
            raise InvalidSetting(f"grid_fps must be finite and > 0, got {grid_fps!r}")
        if sparse_reads not in ("exact", "key_frames"):
            raise InvalidSetting(f"sparse_reads must be 'exact' or 'key_frames', got {sparse_reads!r}")
        if sparse_reads == "key_frames" and not factory.finds_key_frames:
            raise InvalidSetting(
                f"video back-end {backend!r} cannot find key frames; sparse_reads='key_frames' needs 'pyav'"
            )
        if store is not None and grid_fps is None:
            raise InvalidSetting("a store serves clips on a grid: give grid_fps too (the store's own fps, say)")
        if stream is not None and (isinstance(stream, bool) or not isinstance(stream, int) or stream < 0):
            raise InvalidSetting(f"stream must be the index of a stream (an integer >= 0), got {stream!r}")
        if deinterlace and backend in ("decord", "torchcodec"):
            raise InvalidSetting(f"video back-end {backend!r} cannot deinterlace; deinterlace=True needs 'pyav'")
        if store is not None and (stream is not None or deinterlace or allow_playlists):
            raise InvalidSetting(
                "a store holds the stream that FFmpeg chooses, as it is: no stream=, no deinterlace=, no playlists"
            )
        self.path = local_path(path)
        self.backend = backend
        self.grid_fps = grid_fps
        self.sparse_reads = sparse_reads
        self.isolate = isolate
        self.store = None if store is None else os.fspath(store)
        self.stream = stream
        self.deinterlace = deinterlace
        self.allow_playlists = allow_playlists
        self.root = None if root is None else os.fspath(root)
        self._store: FrameStore | None = None
        self._store_of: Hashable = None  # the file's identity when its store was looked for
        self._user = _User()
        isolated = factory.isolated if isolate is None else isolate
        name = f"{backend}, isolated" if isolated and not factory.isolated else backend

        options = ReadOptions(stream, deinterlace, allow_playlists, self.root)
        file = self.path  # not `self`: a reference cycle would keep this object registered until garbage collection

        def open_file(file: str, threads: int, timeout: float) -> Decoder:
            if not isolated:
                return factory(file, threads=threads, timeout=timeout, options=options)
            from vzgym.video.isolated import IsolatedDecoder

            return IsolatedDecoder(file, factory, name=backend, threads=threads, timeout=timeout, options=options)

        def open_one(threads: int, timeout: float) -> Decoder:
            files = playlist_files(file, options.root, backend) if options.playlists else ()
            if not files:
                return open_file(file, threads, timeout)
            from vzgym.video.playlist_decoder import PlaylistDecoder

            return PlaylistDecoder(file, files, lambda part: open_file(part, threads, timeout), backend)

        self._source = Source(self.path, name, options, open_one)

    def _settings(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "grid_fps": self.grid_fps,
            "sparse_reads": self.sparse_reads,
            "isolate": self.isolate,
            "store": self.store,
            "stream": self.stream,
            "deinterlace": self.deinterlace,
            "allow_playlists": self.allow_playlists,
            "root": self.root,
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
        """Properties of the video stream; opens the file.

        Raises:
            VideoError: If it cannot be opened, holds no video, or opening shows that it is damaged.
        """
        return shared_videos().info(self._source)

    @property
    def duration(self) -> float:
        """Seconds from the stream's start to the end of its last frame."""
        return self.info.duration

    @property
    def fps(self) -> float:
        """Mean frames per second."""
        return self.info.fps

    @property
    def num_frames(self) -> int | None:
        """Number of frames, or None if it is unknown without decoding the whole file."""
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
        """Read several clips, decoded in one pass in order of time: cheaper than one by one if they overlap.

        Args:
            requests: The clips.

        Returns:
            The frames of each, in the order of `requests`. For clips decoded together, `Frames.decoded` of the first
            counts all of their frames.

        Raises:
            InvalidSetting: If a time is not finite or outside `[0, duration]`, or a size is not positive.
            VideoError: If a frame cannot be decoded.
        """
        info = self.info
        clips = [self._clip(request, info) for request in requests]
        stored = {n: frames for n, clip in enumerate(clips) if (frames := self._from_store(clip)) is not None}
        rest = [clip for n, clip in enumerate(clips) if n not in stored]
        decoded = iter(shared_videos().read(self._source, rest, self._user)) if rest else iter(())
        return [stored[n] if n in stored else next(decoded) for n in range(len(clips))]

    def close(self) -> None:
        """Release readers and frames, unless another `FileVideo` of the same file uses them."""
        shared_videos().leave(self._source, self._user)
        if self._store is not None:
            self._store.close()

    def _from_store(self, clip: Clip) -> Frames | None:
        """The clip from the file's store; None if there is no store, or the store lacks the clip."""
        if self.store is None:
            return None
        key = self._source.key()
        if key != self._store_of:
            from vzgym.video.store import FrameStore  # decoders are imported where they are used

            self._store, self._store_of = FrameStore.find(self.path, self.store), key
        if self._store is None or not self._store.serves(clip.spec, clip.grid):
            return None
        frames = [self._store.read_frame(float(time), clip.spec) for time in clip.times]
        pixels = np.stack([frame.pixels.render(clip.spec) for frame in frames])
        return Frames(pixels, np.array([frame.start for frame in frames]), 0)

    def _clip(self, request: ClipRequest, info: StreamInfo) -> Clip:
        times = np.maximum(check_times(request.times, info.duration), info.first)
        if request.size is not None and not (len(request.size) == 2 and min(request.size) >= 1):
            raise InvalidSetting(f"size must be (height, width), each >= 1, got {request.size!r}")
        size = None if request.size is None else (int(request.size[0]), int(request.size[1]))
        spec = RenderSpec(size, request.region)
        gap = spacing(times)
        if self.sparse_reads == "key_frames" and gap and info.key_distance is not None and gap >= info.key_distance:
            return Clip(times, spec, key_frames=True, keep=request.keep)
        step = None if self.grid_fps is None else grid_step(times, self.grid_fps, info.fps)
        if step is not None:
            times = np.maximum(snap(times, step), info.first)
        dense = gap is not None and gap <= _DENSE
        keep_every = (step or 0.0) if dense and request.keep else None
        return Clip(times, spec, keep_every=keep_every, grid=step, keep=request.keep)


def _factory(backend: str) -> DecoderFactory:
    factory: Any = BACKENDS.get(backend)
    result: DecoderFactory = factory
    return result


def _rebuild(path: str, settings: dict[str, Any]) -> FileVideo:
    return FileVideo(path, **settings)
