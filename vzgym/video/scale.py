"""Drawing decoded pictures: colour conversion, resizing, cutting, turning. All by FFmpeg's swscale."""

from __future__ import annotations

import threading

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from vzgym.video.base import crop_box
from vzgym.video.decoder import View

__all__ = ["RawPixels", "draw_array"]

_local = threading.local()


def _reformatter() -> VideoReformatter:
    # A reformatter keeps the tables of its last conversion and must not be shared between threads; the one that
    # each frame carries would be, since frames are cached.
    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    reformatter: VideoReformatter = _local.reformatter
    return reformatter


def _to_rgb(frame: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    """RGB at `height` x `width`: area averaging when shrinking, bicubic when enlarging."""
    shrinks = height <= frame.height and width <= frame.width
    out = _reformatter().reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
        threads=1,
    )
    return np.ascontiguousarray(out.to_ndarray(), dtype=np.uint8)


def draw_array(pixels: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """An RGB picture (uint8, `(height, width, 3)`) cut and resized to `view`."""
    if view.region is not None:
        top, bottom, left, right = crop_box(view.region, pixels.shape[0], pixels.shape[1])
        pixels = pixels[top:bottom, left:right]
    pixels = np.ascontiguousarray(pixels)
    if view.size is None or pixels.shape[:2] == view.size:
        return pixels
    return _to_rgb(av.VideoFrame.from_ndarray(pixels, format="rgb24"), *view.size)


class RawPixels:
    """A picture as the decoder left it (YUV, not yet turned): small to keep, drawn when somebody asks.

    Args:
        frame: The decoded frame. Nobody writes to it.
    """

    __slots__ = ("_frame", "_turns", "nbytes")

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame
        # The display matrix' angle is counter-clockwise, as numpy turns.
        self._turns = round(frame.rotation / 90) % 4
        self.nbytes = sum(plane.buffer_size for plane in frame.planes)

    def render(self, view: View) -> NDArray[np.uint8]:
        """See `Pixels.render`."""
        frame, sideways = self._frame, self._turns % 2 == 1
        if view.region is None and view.size is not None:
            # Shrink first, then turn the small picture.
            height, width = view.size[::-1] if sideways else view.size
            return np.ascontiguousarray(np.rot90(_to_rgb(frame, height, width), self._turns))
        whole = np.rot90(_to_rgb(frame, frame.height, frame.width), self._turns)
        return draw_array(whole, view)
