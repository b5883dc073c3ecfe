"""Stores of a video's frames as JPEGs on disk, for videos that are read often.

A store holds the frame shown at every multiple of `1 / fps` seconds. It is a folder named by the video's content:

- `store.json`: the header (`StoreHeader`);
- `index.bin`: one record per frame: start, end (seconds), offset, length, checksum;
- `frames.bin`: the JPEGs, one after another.

Frames are appended in order of time, so that an interrupted build can be resumed.
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.core.files import folder_lock, write_json
from vzgym.video.base import FRAME_SLACK
from vzgym.video.decoder import Deadline, DecodedFrame, Rendered, RenderSpec
from vzgym.video.paths import local_path
from vzgym.video.pyav_backend import PyAVDecoder
from vzgym.video.scale import render_array

__all__ = ["FrameStore", "StoreHeader", "build_store", "fingerprint"]

_RECORD = np.dtype([("start", "<f8"), ("end", "<f8"), ("place", "<u8"), ("length", "<u4"), ("checksum", "<u4")])
_BLOCK = 1 << 16
_BLOCKS = 16
_VERSION = 1


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """Header of a store.

    Attributes:
        content: Fingerprint of the video file.
        fps: Stored frames per second.
        height: Rows of a stored frame.
        width: Columns of a stored frame.
        quality: JPEG quality.
        complete: Whether the build has finished.
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
    """Hash of a file's content: BLAKE2b over its size and 16 blocks, including the first and the last."""
    source = Path(local_path(path))
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
    """A complete store, open for reading. Thread-safe.

    Args:
        folder: The folder of this store.

    Raises:
        VideoError: If there is no complete store or it is damaged.
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
        self._reading = threading.Lock()
        self._open: tuple[int, BinaryIO] | None = None  # process and file

    @classmethod
    def find(cls, path: str | os.PathLike[str], root: str | os.PathLike[str]) -> FrameStore | None:
        """Find the complete store of a video's current content under `root`; None if there is none."""
        folder = Path(root) / fingerprint(path)
        header = _read_header(folder)
        return cls(folder) if header is not None and header.complete else None

    def __len__(self) -> int:
        return len(self._index)

    def serves(self, spec: RenderSpec, step: float | None) -> bool:
        """Whether the store can serve a clip on a grid of `step` seconds under `spec` without loss of detail."""
        if step is None or spec.region is not None or spec.size is None:
            return False
        # The store's grid, or a coarser one made of its points.
        points = step * self.header.fps
        fits = points > 1 - FRAME_SLACK and abs(points - round(points)) < FRAME_SLACK
        return fits and spec.size[0] <= self.header.height and spec.size[1] <= self.header.width

    def read_frame(self, time: float, spec: RenderSpec) -> DecodedFrame:
        """Read the stored frame shown at `time`, which must be a multiple of the store's step.

        Raises:
            VideoError: If the frame is damaged on disk.
        """
        row = max(0, int(np.searchsorted(self._index["start"], time + FRAME_SLACK, side="right")) - 1)
        start, end, place, length, checksum = self._index[row].tolist()
        data = self._read(place, length)
        if zlib.crc32(data) != checksum:
            raise VideoError("a stored frame is damaged: rebuild the store", path=self.folder, time=start)
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        return DecodedFrame(start, end, Rendered(render_array(pixels, spec)))

    def close(self) -> None:
        """Close the file of frames; the next read reopens it."""
        with self._reading:
            if self._open is not None and self._open[0] == os.getpid():
                self._open[1].close()
            self._open = None

    def _read(self, place: int, length: int) -> bytes:
        with self._reading:
            # A forked process must not share its parent's file position.
            if self._open is None or self._open[0] != os.getpid():
                self._open = (os.getpid(), (self.folder / "frames.bin").open("rb"))
            self._open[1].seek(place)
            return self._open[1].read(length)


def build_store(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    fps: float = 4.0,
    max_pixels: int = 100_352,
    quality: int = 90,
    timeout: float = 30.0,
    progress: Callable[[float, float], None] | None = None,
) -> Path:
    """Build a video's frame store, or resume an interrupted build; a complete store is returned as it is.

    Args:
        path: The video file.
        root: Folder that contains all stores.
        fps: Stored frames per second, > 0.
        max_pixels: Maximum pixels of a stored frame; larger ones are downscaled, keeping their aspect ratio.
        quality: JPEG quality, 1 to 95.
        timeout: Maximum seconds without a decoded frame.
        progress: Called with the seconds of video done and the total.

    Returns:
        The store's folder.

    Raises:
        InvalidSetting: If a setting is out of range or conflicts with an existing store.
        VideoError: If the video cannot be read.
        FolderInUse: If another process is building the same store.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise InvalidSetting(f"a store's fps must be finite and > 0, got {fps!r}")
    if not 1 <= quality <= 95:
        raise InvalidSetting(f"a store's quality must lie in [1, 95], got {quality!r}")
    decoder = PyAVDecoder(local_path(path), timeout=timeout)
    try:
        budget = Budget(max_pixels=max_pixels, min_pixels=1)
        height, width = budget.fit(decoder.info.height, decoder.info.width)
        header = StoreHeader(fingerprint(path), fps, height, width, quality)
        with folder_lock(Path(root) / header.content) as folder:
            found = _read_header(folder)
            if found is not None and replace(found, complete=False) != header:
                raise InvalidSetting(
                    f"{folder} was built with other settings ({asdict(found)}): delete it, or build with the same ones"
                )
            if found is None or not found.complete:
                _write_header(folder, header)
                _append(decoder, folder, header, timeout, progress)
                _write_header(folder, replace(header, complete=True))
            return folder
    finally:
        decoder.close()


def _append(
    decoder: PyAVDecoder,
    folder: Path,
    header: StoreHeader,
    timeout: float,
    progress: Callable[[float, float], None] | None,
) -> None:
    """Append the missing frames, in order of time."""
    duration = decoder.info.duration
    moments = np.arange(math.floor(duration * header.fps - FRAME_SLACK) + 1) / header.fps
    moments = np.unique(np.maximum(moments, decoder.info.first))
    index = _read_index(folder)
    with (folder / "frames.bin").open("ab") as frames, (folder / "index.bin").open("ab") as records:
        # Incomplete data of an interrupted build.
        done = int(index["place"][-1] + index["length"][-1]) if len(index) else 0
        frames.truncate(done)
        records.truncate(len(index) * _RECORD.itemsize)
        if len(index):
            moments = moments[moments + FRAME_SLACK >= index["end"][-1]]
        spec = RenderSpec((header.height, header.width))
        if not len(moments):
            return
        for frame in decoder.read_frames(moments, spec, None, Deadline(timeout, decoder.path, "pyav")):
            buffer = io.BytesIO()
            Image.fromarray(frame.pixels.render(spec)).save(buffer, "jpeg", quality=header.quality, subsampling=0)
            data = buffer.getvalue()
            frames.write(data)
            frames.flush()  # a record must never refer to unwritten bytes
            record = np.array((frame.start, frame.end, done, len(data), zlib.crc32(data)), dtype=_RECORD)
            records.write(record.tobytes())
            records.flush()
            done += len(data)
            if progress is not None:
                progress(min(frame.start, duration), duration)


def _read_header(folder: Path) -> StoreHeader | None:
    """The header of a store; None if there is none."""
    path = folder / "store.json"
    if not path.exists():
        return None
    try:
        header = StoreHeader(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise VideoError(f"not the header of a frame store: {error}", path=path, backend="store") from error
    if header.version != _VERSION:
        raise VideoError(f"a frame store of version {header.version}: rebuild it", path=path, backend="store")
    return header


def _write_header(folder: Path, header: StoreHeader) -> None:
    write_json(folder / "store.json", asdict(header))


def _read_index(folder: Path) -> NDArray[np.void]:
    """The records whose frames are completely on disk."""
    path, frames = folder / "index.bin", folder / "frames.bin"
    if not path.exists() or not frames.exists():
        return np.empty(0, dtype=_RECORD)
    data = path.read_bytes()
    index = np.frombuffer(data[: len(data) // _RECORD.itemsize * _RECORD.itemsize], dtype=_RECORD)
    whole = index["place"] + index["length"] <= frames.stat().st_size
    return index[: len(index) if whole.all() else int(np.argmin(whole))]
