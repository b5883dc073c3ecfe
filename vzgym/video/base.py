"""The video interface: frames by time.

Contract of every `Video`: t = 0 is the start of the video stream. The frame at time t is the last one shown at or
before t. Its reported time is its own time stamp, in seconds from that start, never the requested time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.errors import InvalidSetting

__all__ = ["FRAME_SLACK", "Frames", "Video", "check_times", "frame_hash"]

# A time stamp of 29/30 s may be stored as 0.9666666666666667 and requested as 0.9666666666666666: a request this
# close below a frame's time refers to that frame. Far below the frame distance of any camera.
FRAME_SLACK = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames read from a video.

    Attributes:
        pixels: uint8, shape `(n, height, width, 3)`, RGB. The caller may keep the array; the video must not modify it
            afterwards.
        times: float64, shape `(n,)`: the frames' own times in seconds, in the order of the request.
        decoded: Number of frames decoded for this request, including skipped ones; 0 if all came from a cache. A drawn
            (procedural) frame counts as decoded.
    """

    pixels: NDArray[np.uint8]
    times: NDArray[np.float64]
    decoded: int = 0

    def __len__(self) -> int:
        return len(self.times)


@runtime_checkable
class Video(Protocol):
    """A source of frames by time. Cheap to create and to pickle; opens files on first use.

    Reading any attribute except `uri` may open the file and raise `VideoError`.
    """

    @property
    def uri(self) -> str:
        """The video's name in records and errors: a file's path, or `procedural:<task id>`."""
        ...

    @property
    def duration(self) -> float:
        """Seconds, > 0."""
        ...

    @property
    def fps(self) -> float:
        """Mean frames per second, > 0."""
        ...

    @property
    def num_frames(self) -> int | None:
        """Number of frames; None if it is unknown without decoding the whole file."""
        ...

    @property
    def height(self) -> int:
        """Rows of pixels of a frame as shown (after rotation)."""
        ...

    @property
    def width(self) -> int:
        """Columns of pixels of a frame as shown."""
        ...

    def read(
        self,
        times: NDArray[np.float64],
        *,
        size: tuple[int, int] | None = None,
        region: Region | None = None,
    ) -> Frames:
        """Read the frames shown at `times`.

        Args:
            times: float64, shape `(n,)`, seconds, any order, repeats allowed, each in `[0, duration]`.
            size: `(height, width)` to resize to (area averaging or better when shrinking); None keeps the
                native size (of the region, if there is one).
            region: Part of the frame to crop, at full resolution, before resizing.

        Raises:
            InvalidSetting: If a time is not finite or outside `[0, duration]`.
            VideoError: If the video cannot be opened or decoded; names path, time and back-end.
        """
        ...

    def close(self) -> None:
        """Release decoders and memory. The next read reopens the file."""
        ...


def check_times(times: NDArray[np.float64], duration: float) -> NDArray[np.float64]:
    """Validate `times` and return them as a flat float64 array.

    Raises:
        InvalidSetting: If a time is not finite or outside `[0, duration]`.
    """
    flat = np.asarray(times, dtype=np.float64).reshape(-1)
    bad = ~((flat >= 0) & (flat <= duration + FRAME_SLACK))  # NaN compares false, so it is bad too
    if bad.any():
        raise InvalidSetting(f"times must lie in [0, {duration}] s, got {flat[bad][:5].tolist()}")
    return flat


def crop_box(region: Region, height: int, width: int) -> tuple[int, int, int, int]:
    """`region` in whole pixels: `(top, bottom, left, right)`, at least one pixel each way."""
    left, top = int(region.left * width), int(region.top * height)
    right = max(left + 1, round(region.right * width))
    bottom = max(top + 1, round(region.bottom * height))
    return top, bottom, left, right


def frame_hash(pixels: NDArray[np.uint8]) -> str:
    """Hash of a frame: BLAKE2b-128 over its shape and bytes, in hex.

    Args:
        pixels: uint8, shape `(height, width, 3)`.
    """
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
