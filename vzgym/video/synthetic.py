"""Videos without files: arrays in memory, and frames drawn on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.core.actions import Region
from vzgym.core.errors import InvalidSetting
from vzgym.video.base import FRAME_SLACK, Frames, check_times, crop_box

__all__ = ["ArrayVideo", "Painter", "ProceduralVideo", "letterbox", "resize"]

# Frames are shrunk in groups that stay in the processor's cache.
_PIXELS_AT_ONCE = 1 << 18


def resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize frames: box averaging when shrinking, bilinear when enlarging.

    Args:
        pixels: uint8, shape `(n, height, width, 3)`.
        size: `(height, width)` wanted.

    Returns:
        uint8, shape `(n, *size, 3)`; the input itself if it has that size already.
    """
    height, width = size
    if pixels.shape[1:3] == (height, width):
        return pixels
    shrinks = height <= pixels.shape[1] and width <= pixels.shape[2]
    if shrinks and _is_power(pixels.shape[1], height) and _is_power(pixels.shape[2], width):
        return _box_means(pixels, size)
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    out = np.empty((len(pixels), height, width, 3), dtype=np.uint8)
    for target, frame in zip(out, pixels, strict=True):
        target[:] = np.asarray(Image.fromarray(frame).resize((width, height), method))
    return out


def _is_power(large: int, small: int) -> bool:
    """Whether the ratio is a power of two."""
    ratio, rest = divmod(large, small)
    return not rest and ratio & (ratio - 1) == 0


def _box_means(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink by powers of two, several frames at once.

    The same bits as Pillow's box filter, which also averages the columns first and rounds half up in between: with
    powers of two, none of its weights is rounded.
    """
    count, tall, wide = pixels.shape[:3]
    out = np.empty((count, *size, 3), dtype=np.uint8)
    batch = max(1, _PIXELS_AT_ONCE // (tall * wide))
    for start in range(0, count, batch):
        group = np.ascontiguousarray(pixels[start : start + batch])
        tower = Image.fromarray(group.reshape(-1, wide, 3))
        small = tower.reduce((wide // size[1], 1)).reduce((1, tall // size[0]))
        out[start : start + batch] = np.asarray(small).reshape(-1, *size, 3)
    return out


def letterbox(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fit frames into a fixed size: aspect kept, centered, black borders.

    Args:
        pixels: uint8, shape `(n, height, width, 3)`.
        size: `(height, width)` wanted.

    Returns:
        uint8, shape `(n, *size, 3)`; the input itself if it has that size already.
    """
    height, width = pixels.shape[1:3]
    if (height, width) == size:
        return pixels
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    out = np.zeros((len(pixels), *size, 3), dtype=np.uint8)
    out[:, top : top + inner[0], left : left + inner[1]] = resize(pixels, inner)
    return out


class Painter(Protocol):
    """Draws a procedural video's frames: a pure function of the index, the size and its own fields.

    Must be picklable and draw identical frames in every process.
    """

    def __call__(self, indices: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint8]:
        """Draw frames `indices` (shape `(n,)`) at `height` x `width`.

        Returns:
            uint8, shape `(n, height, width, 3)`, RGB.
        """
        ...


class _GridVideo:
    """A video of constant frame rate; frame i is shown from `i / fps` on."""

    def __init__(self, uri: str, num_frames: int, fps: float, height: int, width: int) -> None:
        if num_frames < 1 or fps <= 0 or height < 1 or width < 1:
            raise InvalidSetting(
                f"video {uri!r} needs at least one frame, fps > 0 and a size, got {num_frames} frames, "
                f"{fps} fps, {height}x{width}"
            )
        self.uri = uri
        self.num_frames = num_frames
        self.fps = float(fps)
        self.height = height
        self.width = width

    @property
    def duration(self) -> float:
        """Seconds: `num_frames / fps`."""
        return self.num_frames / self.fps

    def indices(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index of the last frame shown at or before each time."""
        flat = check_times(times, self.duration)
        index = np.floor(flat * self.fps + FRAME_SLACK * self.fps).astype(np.int64)
        return np.minimum(index, self.num_frames - 1)

    def close(self) -> None:
        """Do nothing: no resources are open."""


class ArrayVideo(_GridVideo):
    """A video of frames in memory.

    Args:
        pixels: uint8, shape `(n, height, width, 3)`, RGB. Not copied.
        fps: Frames per second.
        uri: A name for records.
    """

    def __init__(self, pixels: NDArray[np.uint8], fps: float, uri: str = "array:unnamed") -> None:
        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
            raise InvalidSetting(
                f"ArrayVideo needs uint8 frames of shape (n, height, width, 3), got {pixels.dtype} {pixels.shape}"
            )
        super().__init__(uri, pixels.shape[0], fps, pixels.shape[1], pixels.shape[2])
        self._pixels = pixels

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        """See `Video.read`."""
        index = self.indices(times)
        pixels = self._pixels[index]
        if region is not None:
            top, bottom, left, right = crop_box(region, self.height, self.width)
            pixels = np.ascontiguousarray(pixels[:, top:bottom, left:right])
        return Frames(resize(pixels, size) if size else pixels, index / self.fps, len(index))


class ProceduralVideo(_GridVideo):
    """A video whose frames are drawn on demand, at the requested size.

    Args:
        uri: A name for records, `procedural:<task id>`.
        painter: Draws frames by index.
        num_frames: Number of frames.
        fps: Frames per second.
        height: Native rows of pixels, used for written files and crops.
        width: Native columns of pixels.
    """

    def __init__(
        self,
        uri: str,
        painter: Painter | Callable[..., NDArray[np.uint8]],
        num_frames: int,
        fps: float,
        height: int,
        width: int,
    ) -> None:
        super().__init__(uri, num_frames, fps, height, width)
        self.painter = painter

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        """See `Video.read`. Without a region, a smaller size is drawn directly rather than shrunk."""
        index = self.indices(times)
        # Groups of roll-outs and low frame rates request the same frame several times: draw it once.
        distinct, back = np.unique(index, return_inverse=True)
        if region is None:
            height, width = size or (self.height, self.width)
            drawn = self.painter(distinct, height, width)
        else:
            top, bottom, left, right = crop_box(region, self.height, self.width)
            native = self.painter(distinct, self.height, self.width)[:, top:bottom, left:right]
            drawn = resize(np.ascontiguousarray(native), size) if size else native
        # Most requests are ascending and without repeats: the drawing is the answer then, and need not be copied.
        shown = drawn if np.array_equal(distinct, index) else drawn[back]
        return Frames(shown, index / self.fps, len(distinct))
