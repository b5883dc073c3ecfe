"""Decoding through PyAV (FFmpeg): exact by time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.errors import VideoError
from vzgym.video.base import FRAME_SLACK, Frames, crop_box
from vzgym.video.decoder import StreamInfo
from vzgym.video.synthetic import resize

NAME = "pyav"


class PyAVDecoder:
    """One open file. Not to be used by two threads at once."""

    def __init__(self, path: str) -> None:
        self.path = path
        if not os.path.exists(path):
            raise VideoError("no such file", path=path, backend=NAME)
        if os.path.getsize(path) == 0:
            raise VideoError("the file is empty", path=path, backend=NAME)
        try:
            self._container = av.open(path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"cannot be opened: {error}", path=path, backend=NAME) from error
        streams = [
            s for s in self._container.streams.video if not s.disposition & av.stream.Disposition.attached_pic
        ]
        if not streams:
            raise VideoError("holds no video stream", path=path, backend=NAME)
        self._stream = stream = streams[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
        self._base = stream.time_base
        first = next(self._decode(0.0), None)
        if first is None or first.pts is None:
            raise VideoError("no frame can be decoded", path=path, time=0.0, backend=NAME)
        self._start = stream.start_time if stream.start_time is not None else first.pts
        if stream.duration:
            duration = float(stream.duration * self._base)
        elif self._container.duration:
            duration = self._container.duration / av.time_base
            if self._container.start_time is not None:
                duration -= max(0.0, float(self._start * self._base) - self._container.start_time / av.time_base)
        else:
            raise VideoError("does not say how long it is", path=path, backend=NAME)
        frames = stream.frames or None
        rate = stream.average_rate or stream.guessed_rate
        fps = float(rate) if rate else (frames or 1) / duration
        turned = first.rotation % 180 != 0
        height, width = (first.width, first.height) if turned else (first.height, first.width)
        self.info = StreamInfo(
            duration, fps, frames, height, width, stream.codec_context.name, self._container.format.name
        )

    def read(
        self, times: NDArray[np.float64], size: tuple[int, int] | None, region: Region | None
    ) -> Frames:
        """Frames at `times` (checked already)."""
        found: dict[int, tuple[NDArray[np.uint8], float]] = {}
        decoded = 0
        for place in np.argsort(times, kind="stable"):
            pixels, time, count = self._one(float(times[place]), size, region)
            found[int(place)] = (pixels, time)
            decoded += count
        order = range(len(times))
        pixels = np.stack([found[i][0] for i in order]) if found else np.empty((0, *(size or self._size()), 3), np.uint8)
        return Frames(pixels, np.array([found[i][1] for i in order], dtype=np.float64), decoded)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _size(self) -> tuple[int, int]:
        return self.info.height, self.info.width

    def _decode(self, at: float) -> Iterator[av.VideoFrame]:
        try:
            yield from self._container.decode(self._stream)
        except av.FFmpegError as error:
            raise VideoError(f"cannot be decoded: {error}", path=self.path, time=at, backend=NAME) from error

    def _one(
        self, time: float, size: tuple[int, int] | None, region: Region | None
    ) -> tuple[NDArray[np.uint8], float, int]:
        target = self._start + math.floor((time + FRAME_SLACK) / self._base)
        back, count = 0.0, 0
        while True:
            aim = max(self._start - 1, target - int(back / self._base))
            self._container.seek(aim, stream=self._stream, backward=True)
            best: av.VideoFrame | None = None
            for frame in self._decode(time):
                count += 1
                if frame.pts is None:
                    raise VideoError("time stamps are missing", path=self.path, time=time, backend=NAME)
                if frame.pts > target and best is not None:
                    break
                if frame.pts > target:
                    break
                best = frame
            if best is not None:
                break
            if aim < self._start:
                raise VideoError("no frame is shown here", path=self.path, time=time, backend=NAME)
            back = 2 * back + 1.0
        pixels = best.to_ndarray(format="rgb24")
        if best.rotation % 360:
            pixels = np.rot90(pixels, k=best.rotation // 90)
        if region is not None:
            top, bottom, left, right = crop_box(region, *pixels.shape[:2])
            pixels = pixels[top:bottom, left:right]
        pixels = np.ascontiguousarray(pixels)
        if size is not None:
            pixels = resize(pixels[None], size)[0]
        return pixels, float((best.pts - self._start) * self._base), count
