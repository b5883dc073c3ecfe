"""Drawing decoded pictures: colour conversion, resizing, cutting, turning. All by FFmpeg's swscale."""

from __future__ import annotations

import threading

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from vzgym.video.base import crop_box
from vzgym.video.decoder import Pixels, Rendered, View

__all__ = ["RawPixels", "draw_array"]

_local = threading.local()


def _reformatter(source: str, target: str) -> VideoReformatter:
    # A reformatter keeps the tables of its last conversion and must not be shared between threads; the one that
    # each frame carries would be, since frames are cached. Each pair of formats has its own, to keep its tables.
    if not hasattr(_local, "reformatters"):
        _local.reformatters = {}
    made: dict[tuple[str, str], VideoReformatter] = _local.reformatters
    return made.setdefault((source, target), VideoReformatter())


# What most videos are in, and what they are resized in before they become RGB: cheaper than both at once, and the
# same to a level or two (there, too, FFmpeg gives two neighbours in a row one colour).
_BETWEEN = {"yuv420p": "yuv422p", "yuv422p": "yuv422p", "yuvj420p": "yuvj422p", "yuvj422p": "yuvj422p"}


def _resized(frame: av.VideoFrame, height: int, width: int) -> av.VideoFrame:
    """The frame at `height` x `width`, not yet RGB; the frame itself where that is no step on the way."""
    between = _BETWEEN.get(frame.format.name)
    if between is None or (height, width) == (frame.height, frame.width):
        return frame
    return _reformat(frame, height, width, between)


def _to_rgb(frame: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    """RGB at `height` x `width`: area averaging when shrinking, bicubic when enlarging."""
    out = _reformat(_resized(frame, height, width), height, width, "rgb24")
    return np.ascontiguousarray(out.to_ndarray(), dtype=np.uint8)


def _reformat(frame: av.VideoFrame, height: int, width: int, format: str) -> av.VideoFrame:
    shrinks = height <= frame.height and width <= frame.width
    return _reformatter(frame.format.name, format).reformat(
        frame,
        width=width,
        height=height,
        format=format,
        interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
        threads=1,
    )


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
        turns: Quarter turns, counter-clockwise, by which it is shown; as the frame says if not given.
    """

    __slots__ = ("_frame", "_turns", "nbytes")

    def __init__(self, frame: av.VideoFrame, turns: int | None = None) -> None:
        self._frame = frame
        # The display matrix' angle is counter-clockwise, as numpy turns.
        self._turns = round(frame.rotation / 90) % 4 if turns is None else turns
        self.nbytes = sum(plane.buffer_size for plane in frame.planes)

    def render(self, view: View) -> NDArray[np.uint8]:
        """See `Pixels.render`."""
        frame = self._frame
        if view.region is None and view.size is not None:
            # Shrink first, then turn the small picture.
            return np.ascontiguousarray(np.rot90(_to_rgb(frame, *self._lying(view.size)), self._turns))
        whole = np.rot90(_to_rgb(frame, frame.height, frame.width), self._turns)
        return draw_array(whole, view)

    def shrunk(self, view: View) -> Pixels:
        """See `Pixels.shrunk`: resized, where that is the first step of drawing; else drawn."""
        if view.region is None and view.size is not None:
            small = _resized(self._frame, *self._lying(view.size))
            if small is not self._frame:
                return RawPixels(small, self._turns)
        return Rendered(self.render(view))

    def _lying(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns before the picture is turned."""
        return size[::-1] if self._turns % 2 == 1 else size
