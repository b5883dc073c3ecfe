"""The back-end interface: open a file and read its frames by time."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.errors import VideoError

__all__ = [
    "AS_STORED",
    "Deadline",
    "DecodedFrame",
    "Decoder",
    "DecoderFactory",
    "Pixels",
    "ReadOptions",
    "RenderSpec",
    "Rendered",
    "StreamInfo",
]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Which stream of a file is read, and how.

    Args:
        stream: Index of the video stream in the file, as `ffprobe` counts; None: the one that FFmpeg chooses (the
            default stream, of several the largest, of equals the first).
        deinterlace: Whether interlaced frames are shown as one field, interpolated to full height.
        playlists: Whether the file may be a playlist, which names other files.
        root: The only folder whose files a playlist may name; its own folder if None.
    """

    stream: int | None = None
    deinterlace: bool = False
    playlists: bool = False
    root: str | None = None


AS_STORED = ReadOptions()
"""The stream that FFmpeg selects, as stored."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Properties of a file's video stream, known once it is open.

    Attributes:
        duration: Seconds from the stream's start to the end of its last frame.
        fps: Mean frames per second.
        num_frames: Number of frames shown, or None if it is unknown without decoding.
        height: Rows of a frame as shown: square pixels, display matrix applied.
        width: Columns of a frame as shown.
        codec: Name of the codec ("h264").
        container: Name of the file format ("mov,mp4,m4a,3gp,3g2,mj2").
        first: Time of the first frame; earlier times show that frame, too. Almost always 0.
        key_distance: Mean seconds between key frames; None if the file has no key frame index.
        stream: Index of the stream in the file.
        video_streams: Number of video streams in the file, without cover art and thumbnails.
        pixel_aspect: Width of a stored pixel over its height; 1 if they are square or it is unknown.
        interlaced: Whether the first frame is interlaced.
        assumed_matrix: The YUV matrix assumed if the file specifies none ("bt601", "bt709"); None if it specifies one
            or is not YUV.
    """

    duration: float
    fps: float
    num_frames: int | None
    height: int
    width: int
    codec: str
    container: str
    first: float = 0.0
    key_distance: float | None = None
    stream: int = 0
    video_streams: int = 1
    pixel_aspect: float = 1.0
    interlaced: bool = False
    assumed_matrix: str | None = None


@dataclass(frozen=True, slots=True)
class RenderSpec:
    """Size and crop at which a frame is rendered.

    Args:
        size: `(height, width)`, or None for the native size (of the region, if there is one).
        region: Part of the frame to crop before resizing; None for the whole frame.
    """

    size: tuple[int, int] | None = None
    region: Region | None = None


class Pixels(Protocol):
    """A decoded frame that can be drawn to a `RenderSpec`."""

    @property
    def nbytes(self) -> int:
        """Memory use in bytes."""
        ...

    def render(self, spec: RenderSpec) -> NDArray[np.uint8]:
        """The frame at `spec`: uint8, shape `(height, width, 3)`, RGB."""
        ...

    def shrunk(self, spec: RenderSpec) -> Pixels:
        """The smallest representation from which `spec` can still be rendered later."""
        ...


class Rendered:
    """A frame drawn already, at the one spec that was asked for."""

    __slots__ = ("pixels",)

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    @property
    def nbytes(self) -> int:
        """Memory use in bytes."""
        return self.pixels.nbytes

    def render(self, spec: RenderSpec) -> NDArray[np.uint8]:
        """Return the array; `spec` must be the one it was rendered for."""
        return self.pixels

    def shrunk(self, spec: RenderSpec) -> Pixels:
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame and its display interval.

    Attributes:
        start: The frame's own time, seconds from the stream's start.
        end: Time of the next frame; infinite for the last one.
        pixels: The image.
    """

    start: float
    end: float
    pixels: Pixels


class Deadline:
    """Limit on the time between two frames of a read.

    Args:
        seconds: Maximum time between two requested frames.
        path: For the error.
        backend: For the error.
    """

    def __init__(self, seconds: float, path: str, backend: str) -> None:
        self.seconds = seconds
        self.path = path
        self.backend = backend
        self._last = clock.monotonic()

    def extend(self) -> None:
        """Restart the timer after a requested frame."""
        self._last = clock.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the read is aborted, >= 0."""
        return max(0.0, self._last + self.seconds - clock.monotonic())

    def check(self, time: float | None = None) -> None:
        """Raise `VideoError` if the time is over; `time` is the position in the video, in seconds."""
        if self.left <= 0:
            raise self.error(time)

    def error(self, time: float | None = None) -> VideoError:
        """The timeout error."""
        reason = f"no frame within {self.seconds:g} s; gave up (VideoLimits.timeout sets this limit)"
        return VideoError(reason, path=self.path, time=time, backend=self.backend)


class Decoder(Protocol):
    """One open file; never used by two threads at once.

    Attributes:
        raw: Whether its frames can be rendered under any `RenderSpec`, so that caching them whole pays off; otherwise
            they are `Rendered` under the requested one.
        info: Properties of the video stream.
    """

    raw: bool
    info: StreamInfo

    @property
    def decoded(self) -> int:
        """Frames decoded since it was opened."""

    def read_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, keep_every: float | None, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """Read the frames shown at `times`, each once, in order of time.

        Args:
            times: float64, shape `(n,)`, ascending, within `[0, duration]`.
            spec: How frames are rendered. A `raw` decoder may leave rendering to the caller.
            keep_every: Which intermediate frames to return, too: None for none, 0 for all, else those shown at
                multiples of so many seconds. A back-end may return fewer.
            deadline: Limit on the time.

        Raises:
            VideoError: If a frame cannot be decoded, or the time is over.
        """
        ...

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Split `times` (ascending) where seeking to a later key frame is cheaper than decoding on."""
        ...

    def read_key_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """Read the last key frame at or before each of `times` (ascending), each once, in order of time.

        Their `end` may be infinite (unknown).

        Raises:
            VideoError: As `read_frames`; also if the back-end cannot identify key frames.
        """
        ...

    def reaches_without_seek(self, time: float) -> bool:
        """Whether reaching `time` by decoding on is cheaper than a seek."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether it can seek elsewhere without losing decoded work: it is between two groups of pictures."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class DecoderFactory(Protocol):
    """Opens files; a `Decoder` class is one.

    Attributes:
        isolated: Whether it may hang or abort and should run in a separate process.
        finds_key_frames: Whether `read_key_frames` works.
    """

    isolated: ClassVar[bool]
    finds_key_frames: ClassVar[bool]

    def __call__(
        self, path: str, *, threads: int = 1, timeout: float = 30.0, options: ReadOptions = AS_STORED
    ) -> Decoder:
        """Open `path`.

        Raises:
            VideoError: If it is not a readable video, or the back-end does not support `options`.
            DependencyNotInstalled: If the back-end's package is missing.
        """
        ...
