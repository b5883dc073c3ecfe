"""Videos that are files."""

from __future__ import annotations

import os
import threading

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.registry import Registry
from vzgym.video.base import Frames, check_times
from vzgym.video.decoder import StreamInfo
from vzgym.video.pyav_backend import PyAVDecoder

__all__ = ["BACKENDS", "FileVideo"]

BACKENDS: Registry[PyAVDecoder] = Registry("video back-end", "vzgym.videos")
BACKENDS.register("pyav", "vzgym.video.pyav_backend:PyAVDecoder")


class FileVideo:
    """A video file. Opened on first use; pickles as its path and settings.

    Args:
        path: The file.
        backend: Which decoder reads it.

    Raises:
        UnknownName: If there is no such back-end.
    """

    def __init__(self, path: str | os.PathLike[str], *, backend: str = "pyav") -> None:
        BACKENDS.get(backend)
        self.path = os.fspath(path)
        self.backend = backend
        self._lock = threading.Lock()
        self._decoder: PyAVDecoder | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.path, self.backend)

    def __repr__(self) -> str:
        return f"FileVideo({self.path!r}, backend={self.backend!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileVideo) and (self.path, self.backend) == (other.path, other.backend)

    def __hash__(self) -> int:
        return hash((self.path, self.backend))

    @property
    def uri(self) -> str:
        """The path."""
        return self.path

    @property
    def info(self) -> StreamInfo:
        """What opening the file tells."""
        with self._lock:
            return self._open().info

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.info.duration

    @property
    def fps(self) -> float:
        """Mean frames a second."""
        return self.info.fps

    @property
    def num_frames(self) -> int | None:
        """Number of frames, where the file tells."""
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
        with self._lock:
            decoder = self._open()
            return decoder.read(check_times(times, decoder.info.duration), size, region)

    def close(self) -> None:
        """See `Video.close`."""
        with self._lock:
            if self._decoder is not None:
                self._decoder.close()
                self._decoder = None

    def _open(self) -> PyAVDecoder:
        if self._decoder is None:
            self._decoder = BACKENDS.get(self.backend)(self.path)
        return self._decoder


def _rebuild(path: str, backend: str) -> FileVideo:
    return FileVideo(path, backend=backend)
