"""Decoding through torchcodec (optional): its exact mode, in a separate process.

Tested with torchcodec 0.12.0 and PyTorch 2.13 (CPU). Limitations: it needs PyTorch and FFmpeg's shared libraries (4 to
8) on the system. Its approximate mode is wrong for variable frame rates and is not offered. If an edit list begins in
the middle of a group of pictures, it returns wrong frames: each frame's time is compared with the packets', and such a
read raises an error. It does not seek in MPEG-TS. Its errors can terminate the process, hence the isolation.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import DependencyNotInstalled, VideoError
from vzgym.video.decoder import AS_STORED, ReadOptions
from vzgym.video.indexed import IndexedDecoder
from vzgym.video.timestamps import REMUX

__all__ = ["TorchCodecDecoder"]


class TorchCodecDecoder(IndexedDecoder):
    """One file open in torchcodec (see `Decoder`).

    Args:
        path: The file.
        threads: Threads of the decoder.
        timeout: Maximum seconds for reading the file's packets once.
        options: Which stream, and how it is shown.

    Raises:
        DependencyNotInstalled: If torchcodec or FFmpeg's libraries are missing.
        VideoError: If the file cannot be opened or contains no video.
    """

    name: ClassVar[str] = "torchcodec"

    def __init__(self, path: str, *, threads: int = 1, timeout: float = 30.0, options: ReadOptions = AS_STORED) -> None:
        super().__init__()
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: FFmpeg's libraries were not found
            raise DependencyNotInstalled(
                "torchcodec cannot be used: run `pip install torchcodec`, and install FFmpeg's shared libraries"
            ) from error
        facts = self._examine(path, timeout, options)
        if "mpegts" in facts.info.container:
            raise VideoError(f"torchcodec cannot seek in MPEG-TS: {REMUX}", path=path, backend=self.name)
        if facts.geometry.mirrored:
            raise VideoError("is shown mirrored: use back-end 'pyav'", path=path, backend=self.name)
        self._zero = float(facts.start * facts.base)
        try:
            self._decoder: Any = VideoDecoder(
                f"file:{path}",
                stream_index=facts.info.stream,
                seek_mode="exact",
                dimension_order="NHWC",
                num_ffmpeg_threads=threads,
            )
            count = len(self._decoder)
        except (RuntimeError, ValueError, IndexError) as error:
            raise VideoError(f"cannot be opened: {_summary(error)}", path=path, backend=self.name) from error
        if count != len(self.starts):
            raise VideoError(
                f"finds {count} frames where the file holds {len(self.starts)} that are shown",
                path=path,
                backend=self.name,
            )
        self.info = self._described(facts, fps=facts.info.fps, num_frames=count)

    def _frames(self, indices: list[int]) -> NDArray[np.uint8]:
        try:
            batch = self._decoder.get_frames_at(indices)
        except (RuntimeError, ValueError, IndexError) as error:
            at = float(self.starts[indices[0]])
            raise VideoError(
                f"cannot be decoded: {_summary(error)}", path=self.path, time=at, backend=self.name
            ) from error
        came = batch.pts_seconds.numpy() - self._zero
        wrong = np.abs(came - self.starts[indices]) > 1e-3
        if wrong.any():
            asked = float(self.starts[indices][wrong][0])
            raise VideoError(
                f"torchcodec gave the frame of {came[wrong][0]:.3f} s instead (an edit list?): use back-end 'pyav'",
                path=self.path,
                time=asked,
                backend=self.name,
            )
        frames: NDArray[np.uint8] = batch.data.numpy()
        return frames

    def close(self) -> None:
        """Close the file."""
        self._decoder = None


def _summary(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
