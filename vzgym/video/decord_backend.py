"""Decoding through decord, the decoder of the paper and a cross-check of PyAV.

Limitations: it reads no AV1, no MPEG-TS and no Matroska without an index, and refuses truncated files. Files that it
reads incorrectly are refused: open groups of pictures (x265's default), frames hidden by an edit list, reordered frames
without display times, several video streams, mirroring, transparency. It assumes BT.601 for YUV without a specified
matrix, also in high definition. It can hang, so it runs in a separate process. It stores time stamps as 32-bit floats
(0.2 ms at one hour), so exact ones are read from the file's packets. Wheels exist for Linux x86-64 and Windows only.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import DependencyNotInstalled, VideoError
from vzgym.video.decoder import AS_STORED, ReadOptions
from vzgym.video.indexed import IndexedDecoder
from vzgym.video.timestamps import REMUX

__all__ = ["DecordDecoder"]

_PYAV = "use back-end 'pyav'"


class DecordDecoder(IndexedDecoder):
    """One file open in decord (see `Decoder`).

    Args:
        path: The file.
        threads: Threads of the decoder.
        timeout: Maximum seconds for reading the file's packets once.
        options: Which stream, and how it is shown.

    Raises:
        DependencyNotInstalled: If decord is missing.
        VideoError: If the file cannot be opened, holds no video, or is of a kind that decord reads incorrectly.
    """

    name: ClassVar[str] = "decord"
    # After a seek to an open group, decord counts the frames before its key frame, but does not return them.
    reads_open_groups: ClassVar[bool] = False

    def __init__(self, path: str, *, threads: int = 1, timeout: float = 30.0, options: ReadOptions = AS_STORED) -> None:
        super().__init__()
        try:
            import decord
        except ImportError as error:
            raise DependencyNotInstalled("decord is not installed, run `pip install decord`") from error
        facts = self._examine(path, timeout, options)
        opened = facts.info
        if "mpegts" in opened.container:
            # decord hangs on these.
            raise VideoError(f"decord cannot read MPEG-TS: {REMUX}", path=path, backend=self.name)
        if opened.video_streams > 1:
            # decord selects a stream by its own rule and accepts no other.
            reason = f"holds {opened.video_streams} video streams, of which decord cannot be made to read"
            raise VideoError(f"{reason} stream {opened.stream}: {_PYAV}", path=path, backend=self.name)
        if facts.geometry.mirrored:
            raise VideoError(f"is shown mirrored, which decord ignores: {_PYAV}", path=path, backend=self.name)
        try:
            reader = decord.VideoReader(f"file:{path}", num_threads=threads)
            stamps = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0].astype(np.float64)
            reader.seek(0)
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise VideoError(f"cannot be opened: {_summary(error)}", path=path, backend=self.name) from error
        self._reader: Any = reader
        self._error: type[Exception] = decord.DECORDError
        if not _agree(stamps, self.starts):
            raise VideoError(
                f"decord counts {len(stamps)} frames and the file shows {len(self.starts)}, or their times differ, so "
                f"its indices cannot be trusted (an edit list?): {_PYAV}",
                path=path,
                backend=self.name,
            )
        fps = float(reader.get_avg_fps()) or opened.fps
        self.info = self._described(facts, fps=fps, num_frames=len(reader))

    def _frames(self, indices: list[int]) -> NDArray[np.uint8]:
        try:
            frames: NDArray[np.uint8] = self._reader.get_batch(indices).asnumpy()
            # An idle reader continues decoding and keeps all frames, without limit, unless it is rewound.
            self._reader.seek(0)
        except (self._error, RuntimeError, IndexError) as error:
            raise VideoError(
                f"cannot be decoded: {_summary(error)}",
                path=self.path,
                time=float(self.starts[indices[0]]),
                backend=self.name,
            ) from error
        return frames

    def close(self) -> None:
        """Close the file."""
        self._reader = None


def _agree(stamps: NDArray[np.float64], packets: NDArray[np.float64]) -> bool:
    """Whether decord's rounded times agree with those of the file's packets."""
    if len(stamps) != len(packets) or not len(packets):
        return False
    return bool(np.allclose(stamps - stamps[0], packets - packets[0], rtol=1e-6, atol=1e-3))


def _summary(error: Exception) -> str:
    """The first line of a message: decord appends a C++ stack trace."""
    lines = str(error).strip().splitlines()
    return lines[0].split("] ", 1)[-1] if lines else type(error).__name__
