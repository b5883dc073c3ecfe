"""A video's frames on disk as JPEGs, for videos that are looked at again and again.

A store holds the frame shown at every multiple of `1 / fps` seconds. It is a folder named by the video's content, with

- `store.json`: what it holds, and of which content;
- `index.bin`: one record a frame: start, end (seconds), place, length, checksum;
- `frames.bin`: the JPEGs, one after another.

Frames are appended in order of time, so that a build which was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.video.base import FRAME_SLACK
from vzgym.video.decoder import Picture, Rendered, View, Watch
from vzgym.video.pyav_backend import PyAVDecoder
from vzgym.video.scale import draw_array

__all__ = ["FrameStore", "StoreHeader", "build_store", "fingerprint"]

_RECORD = np.dtype([("start", "<f8"), ("end", "<f8"), ("place", "<u8"), ("length", "<u4"), ("checksum", "<u4")])
_BLOCK = 1 << 16
_BLOCKS = 16
_VERSION = 1


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """What a store holds.

    Attributes:
        content: Fingerprint of the video file.
        fps: Moments stored a second.
        height: Rows of a stored frame.
        width: Columns of a stored frame.
        quality: JPEG quality.
        complete: Whether the build came to its end.
        version: Version of the format.
    """

    content: str
    fps: float
    height: int
    width: int
    quality: int
    complete: bool = False
    version: int = _VERSION


def fingerprint(path: str | os.PathLike[str]) -> str:
    """A file's identity by content: BLAKE2b over its size and 16 blocks spread over it, first and last among them."""
    source = Path(path)
    try:
        size = source.stat().st_size
        digest = hashlib.blake2b(str(size).encode(), digest_size=16)
        with source.open("rb") as file:
            for place in np.linspace(0, max(0, size - _BLOCK), _BLOCKS).astype(int):
                file.seek(int(place))
                digest.update(file.read(_BLOCK))
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror}", path=path) from error
    return digest.hexdigest()


class FrameStore:
    """A complete store, open for reading. May be used by several threads.

    Args:
        folder: The store's own folder.

    Raises:
        VideoError: If there is no complete store, or it is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        header = _read_header(self.folder)
        if header is None or not header.complete:
            raise VideoError("is no complete frame store: build it (vzgym videos store)", path=folder, backend="store")
        self.header = header
        self._index = _read_index(self.folder)
        if not len(self._index):
            raise VideoError("the frame store is empty", path=folder, backend="store")
        self._local = threading.local()

    @classmethod
    def find(cls, path: str | os.PathLike[str], root: str | os.PathLike[str]) -> FrameStore | None:
        """The complete store of a video's present content under `root`; None if there is none."""
        folder = Path(root) / fingerprint(path)
        header = _read_header(folder)
        return cls(folder) if header is not None and header.complete else None

    def __len__(self) -> int:
        return len(self._index)

    def serves(self, view: View, step: float | None) -> bool:
        """Whether a clip on a grid of `step` seconds, shown at `view`, can be had from here without loss of detail."""
        if step is None or view.region is not None or view.size is None:
            return False
        # A grid of the store's own, or a coarser one made of its points.
        points = step * self.header.fps
        fits = points > 1 - FRAME_SLACK and abs(points - round(points)) < FRAME_SLACK
        return fits and view.size[0] <= self.header.height and view.size[1] <= self.header.width

    def picture(self, time: float, view: View) -> Picture:
        """The stored frame shown at `time`, which must be a multiple of the store's step.

        Raises:
            VideoError: If the frame is damaged on disk.
        """
        row = max(0, int(np.searchsorted(self._index["start"], time + FRAME_SLACK, side="right")) - 1)
        start, end, place, length, checksum = self._index[row].tolist()
        data = os.pread(self._file(), length, place)
        if zlib.crc32(data) != checksum:
            raise VideoError("a stored frame is damaged: build the store anew", path=self.folder, time=start)
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        return Picture(start, end, Rendered(draw_array(pixels, view)))

    def _file(self) -> int:
        # One descriptor a thread would do no harm, but `pread` moves no file position: one a process does.
        if not hasattr(self, "_descriptor") or self._pid != os.getpid():
            self._descriptor = os.open(self.folder / "frames.bin", os.O_RDONLY)
            self._pid = os.getpid()
        return self._descriptor
