"""What a back-end must do: open one file, and give its pictures by time. Nothing here decodes."""

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
    "Decoder",
    "DecoderFactory",
    "Picture",
    "Pixels",
    "ReadOptions",
    "Rendered",
    "StreamInfo",
    "View",
]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Which part of a file is read, and how.

    Args:
        stream: Index of the video stream in the file, as `ffprobe` counts; None: the one that FFmpeg chooses (the
            default stream, of several the largest, of equals the first).
        deinterlace: Whether interlaced frames are shown as one field, interpolated to full height.
    """

    stream: int | None = None
    deinterlace: bool = False


AS_STORED = ReadOptions()
"""The stream that FFmpeg chooses, as it is stored."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What opening a file tells about its video stream.

    Attributes:
        duration: Seconds from the stream's start to the end of its last frame.
        fps: Mean frames a second.
        num_frames: Number of frames shown, or None where only decoding would tell.
        height: Rows of a frame as shown: square pixels, display matrix applied.
        width: Columns of a frame as shown.
        codec: Name of the codec ("h264").
        container: Name of the file format ("mov,mp4,m4a,3gp,3g2,mj2").
        first: Time of the first frame: a moment before it shows that frame. Almost always 0.
        key_distance: Mean seconds between key frames; None where the file has no index of them.
        stream: Index of the stream in the file.
        video_streams: Number of video streams in the file, cover art and thumbnails not counted.
        pixel_aspect: Width of a stored pixel over its height; 1 if they are square or the file does not say.
        interlaced: Whether the first frame is interlaced.
        assumed_matrix: The YUV matrix that is assumed because the file names none ("bt601", "bt709"); None if it
            names one or is not YUV.
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
class View:
    """How a picture is to be shown.

    Args:
        size: `(height, width)`, or None for the native size (of the region, if there is one).
        region: Part of the picture to cut out before resizing; None for all of it.
    """

    size: tuple[int, int] | None = None
    region: Region | None = None


class Pixels(Protocol):
    """A decoded picture that can be drawn at a view."""

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        ...

    def render(self, view: View) -> NDArray[np.uint8]:
        """The picture at `view`: uint8, shape `(height, width, 3)`, RGB."""
        ...

    def shrunk(self, view: View) -> Pixels:
        """What it takes to draw the same at `view` later, as small as it gets without drawing it now."""
        ...


class Rendered:
    """A picture drawn already, at the one view that was asked for."""

    __slots__ = ("pixels",)

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return self.pixels.nbytes

    def render(self, view: View) -> NDArray[np.uint8]:
        """The array: `view` is the one it was drawn at."""
        return self.pixels

    def shrunk(self, view: View) -> Pixels:
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame and how long it is shown.

    Attributes:
        start: The frame's own time, seconds from the stream's start.
        end: Time of the next frame; infinite for the last one.
        pixels: What it looks like.
    """

    start: float
    end: float
    pixels: Pixels


class Deadline:
    """Bounds the time between two frames of a read.

    Args:
        seconds: Longest time between two frames that were asked for.
        path: For the error.
        backend: For the error.
    """

    def __init__(self, seconds: float, path: str, backend: str) -> None:
        self.seconds = seconds
        self.path = path
        self.backend = backend
        self._last = clock.monotonic()

    def extend(self) -> None:
        """Start the time again: a frame that was asked for has come."""
        self._last = clock.monotonic()

    @property
    def left(self) -> float:
        """Seconds left until the read is given up, >= 0."""
        return max(0.0, self._last + self.seconds - clock.monotonic())

    def check(self, time: float | None = None) -> None:
        """Raise `VideoError` if time is up; `time` is the place in the video, in seconds."""
        if self.left <= 0:
            raise self.error(time)

    def error(self, time: float | None = None) -> VideoError:
        """The error that says time is up."""
        reason = f"no frame within {self.seconds:g} s; gave up (VideoLimits.timeout sets this limit)"
        return VideoError(reason, path=self.path, time=time, backend=self.backend)


class Decoder(Protocol):
    """One open file, with one owner at a time: never used by two threads at once.

    Attributes:
        raw: Whether its pictures can be drawn at any view, and so are worth keeping whole; else they come as
            `Rendered`, at the view asked for.
        decoded: Frames decoded since it was opened.
        info: What the file says of itself.
    """

    raw: bool
    decoded: int
    info: StreamInfo

    def pictures(
        self, times: NDArray[np.float64], view: View, keep_every: float | None, deadline: Deadline
    ) -> Iterator[Picture]:
        """The pictures shown at `times`, each once, in order of time.

        Args:
            times: float64, shape `(n,)`, ascending, within `[0, duration]`.
            view: How pictures will be shown. A `raw` decoder may leave drawing to the caller.
            keep_every: Which pictures decoded on the way are wanted too: None none, 0 all, else those shown at
                multiples of so many seconds. A back-end may give fewer.
            deadline: Bounds the time.

        Raises:
            VideoError: If a frame cannot be had, or time is up.
        """
        ...

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """`times` (ascending) cut where a jump to a later key frame is shorter than decoding on."""
        ...

    def key_pictures(self, times: NDArray[np.float64], view: View, deadline: Deadline) -> Iterator[Picture]:
        """The last key frame at or before each of `times` (ascending), each once, in order of time.

        Their `end` may be infinite: it need not be known.

        Raises:
            VideoError: As `pictures`; also if the back-end cannot tell key frames.
        """
        ...

    def reaches_without_seek(self, time: float) -> bool:
        """Whether `time` can be reached by decoding on, with no seek, in less work than a seek would cost."""
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
        isolated: Whether it may hang or abort, so that it should run in a process of its own.
        finds_key_frames: Whether `key_pictures` works.
    """

    isolated: ClassVar[bool]
    finds_key_frames: ClassVar[bool]

    def __call__(
        self, path: str, *, threads: int = 1, timeout: float = 30.0, options: ReadOptions = AS_STORED
    ) -> Decoder:
        """Open `path`.

        Raises:
            VideoError: If it is no video that can be read, or the back-end cannot do what `options` ask for.
            DependencyNotInstalled: If the back-end's package is missing.
        """
        ...
