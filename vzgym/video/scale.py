"""Rendering decoded frames: color conversion, resizing, cropping, orientation, fields. All by FFmpeg."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, replace

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from vzgym.video.base import crop_box
from vzgym.video.decoder import Pixels, Rendered, RenderSpec

__all__ = ["Geometry", "RawPixels", "has_alpha", "render_array"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the stored frames of a stream become the frames shown.

    Attributes:
        height: Rows of a frame as shown.
        width: Columns of a frame as shown.
        transposed: Whether rows and columns are exchanged, before the flips.
        flip_rows: Whether it is turned upside down.
        flip_columns: Whether it is mirrored left to right.
        colorspace: FFmpeg's number of the YUV matrix of frames that specify none; None leaves it to FFmpeg.
        field: The field shown for an interlaced frame ("top" or "bottom"); None shows both.
    """

    height: int
    width: int
    transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    colorspace: int | None = None
    field: str | None = None

    @property
    def mirrored(self) -> bool:
        """Whether it is more than a rotation."""
        return (self.transposed + self.flip_rows + self.flip_columns) % 2 == 1

    def stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of a frame shown at `size`, before the orientation is applied."""
        return size[::-1] if self.transposed else size

    def orient(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Apply the orientation to a stored frame of shape `(rows, columns, 3)`."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.flip_rows:
            pixels = pixels[::-1]
        if self.flip_columns:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)


_local = threading.local()


def _reformatter(source: str, target: str) -> VideoReformatter:
    # A reformatter keeps the tables of its last conversion and must not be shared between threads; a cached frame's #
    # own reformatter would be. Each pair of formats has one, to keep its tables.
    if not hasattr(_local, "reformatters"):
        _local.reformatters = {}
    made: dict[tuple[str, str], VideoReformatter] = _local.reformatters
    return made.setdefault((source, target), VideoReformatter())


# Formats of most videos, which are resized before the conversion to RGB: cheaper than both at once, and equal to #
# within one or two levels (FFmpeg gives two neighbors in a row one color in either case).
_BETWEEN = {"yuv420p": "yuv422p", "yuv422p": "yuv422p", "yuvj420p": "yuvj422p", "yuvj422p": "yuvj422p"}


def _resized(frame: av.VideoFrame, height: int, width: int) -> av.VideoFrame:
    """The frame at `height` x `width`, not yet RGB; the unchanged frame if its format is converted in one step."""
    between = _BETWEEN.get(frame.format.name)
    if between is None or (height, width) == (frame.height, frame.width):
        return frame
    return _reformat(frame, height, width, between)


def _to_rgb(frame: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    """Convert to RGB at a size: area averaging when shrinking, bicubic when enlarging; black if transparent."""
    if has_alpha(frame.format):
        return _opaque(frame, height, width)
    out = _reformat(_resized(frame, height, width), height, width, "rgb24")
    return np.ascontiguousarray(out.to_ndarray(), dtype=np.uint8)


def _opaque(frame: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    """Compose a frame with transparency onto black, before resizing, so that hidden colors do not bleed."""
    rgba = _reformat(frame, frame.height, frame.width, "rgba").to_ndarray().astype(np.uint16)
    rgb = ((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8)
    if (height, width) == rgb.shape[:2]:
        return rgb
    return _to_rgb(av.VideoFrame.from_ndarray(rgb, format="rgb24"), height, width)


def has_alpha(format: av.VideoFormat) -> bool:
    """Whether frames of a pixel format may be transparent."""
    return format.name == "pal8" or any(component.is_alpha for component in format.components)


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


def _one_field(frame: av.VideoFrame, field: str) -> av.VideoFrame:
    """Every second row of a frame, as FFmpeg's filter `field` returns it (rows are shared, not copied)."""
    if not hasattr(_local, "fields"):
        _local.fields = {}
    made: dict[tuple[int, int, str, str], Graph] = _local.fields
    key = (frame.height, frame.width, frame.format.name, field)
    if key not in made:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        chosen = graph.add("field", field)
        source.link_to(chosen)
        chosen.link_to(graph.add("buffersink"))
        graph.configure()
        made[key] = graph
    made[key].push(frame)
    out = made[key].pull()
    assert isinstance(out, av.VideoFrame)
    return out


def render_array(pixels: NDArray[np.uint8], spec: RenderSpec) -> NDArray[np.uint8]:
    """Crop and resize an RGB frame (uint8, `(height, width, 3)`) to `spec`."""
    if spec.region is not None:
        top, bottom, left, right = crop_box(spec.region, pixels.shape[0], pixels.shape[1])
        pixels = pixels[top:bottom, left:right]
    pixels = np.ascontiguousarray(pixels)
    if spec.size is None or pixels.shape[:2] == spec.size:
        return pixels
    return _to_rgb(av.VideoFrame.from_ndarray(pixels, format="rgb24"), *spec.size)


class RawPixels:
    """A frame as decoded (YUV, not yet oriented): small in memory, rendered on demand.

    Args:
        frame: The decoded frame. It must not be modified afterwards.
        geometry: How it is shown.
    """

    __slots__ = ("_frame", "_geometry", "nbytes")

    def __init__(self, frame: av.VideoFrame, geometry: Geometry) -> None:
        if geometry.colorspace is not None and frame.colorspace == UNSPECIFIED:
            frame.colorspace = geometry.colorspace
        self._frame = frame
        self._geometry = geometry
        self.nbytes = sum(plane.buffer_size for plane in frame.planes)

    def render(self, spec: RenderSpec) -> NDArray[np.uint8]:
        """See `Pixels.render`. A frame of another size than the stream's first is resized to that size."""
        geometry = self._geometry
        native = (geometry.height, geometry.width)
        size = native if spec.region is not None else spec.size or native
        # Resize first, then orient the small frame.
        whole = geometry.orient(_to_rgb(self._progressive(), *geometry.stored_size(size)))
        return whole if spec.region is None else render_array(whole, spec)

    def shrunk(self, spec: RenderSpec) -> Pixels:
        """See `Pixels.shrunk`: resized, if that is the first step of rendering; else rendered."""
        if spec.region is None and spec.size is not None:
            small = _resized(self._progressive(), *self._geometry.stored_size(spec.size))
            if small is not self._frame:
                return RawPixels(small, replace(self._geometry, field=None))
        return Rendered(self.render(spec))

    def to_bytes(self) -> tuple[bytes, str] | None:
        """The frame for another process, as its bytes and their form; None if they would not tell everything."""
        frame, geometry = self._frame, self._geometry
        sizes = [plane.line_size for plane in frame.planes]
        if geometry.field is not None or has_alpha(frame.format) or min(sizes) <= 0:
            return None
        about = [frame.format.name, frame.width, frame.height, int(frame.colorspace), int(frame.color_range)]
        return b"".join(bytes(plane) for plane in frame.planes), json.dumps([*about, sizes, asdict(geometry)])

    @classmethod
    def from_bytes(cls, data: bytes, form: str) -> RawPixels:
        """The frame that `to_bytes` gave."""
        name, width, height, colorspace, color_range, sizes, geometry = json.loads(form)
        frame = av.VideoFrame(width, height, name)
        frame.colorspace, frame.color_range = colorspace, color_range
        place = 0
        for plane, size in zip(frame.planes, sizes, strict=True):
            rows = plane.buffer_size // plane.line_size
            source = np.frombuffer(data, np.uint8, rows * size, place).reshape(rows, size)
            target = np.frombuffer(memoryview(plane), np.uint8).reshape(rows, plane.line_size)
            both = min(size, plane.line_size)  # the rest is padding
            target[:, :both] = source[:, :both]
            place += rows * size
        return cls(frame, Geometry(**geometry))

    def _progressive(self) -> av.VideoFrame:
        if self._geometry.field is None or not self._frame.interlaced_frame:
            return self._frame
        return _one_field(self._frame, self._geometry.field)


UNSPECIFIED = 2
"""FFmpeg's number of an unspecified YUV matrix."""
