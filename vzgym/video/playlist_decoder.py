"""A decoder of several files, shown one after another."""

from __future__ import annotations

import bisect
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.base import FRAME_SLACK
from vzgym.video.decoder import Deadline, DecodedFrame, Decoder, RenderSpec, StreamInfo

__all__ = ["PlaylistDecoder"]


class PlaylistDecoder:
    """A `Decoder` of the files of a playlist. Each file is shown from its first frame to the end of its last.

    Args:
        path: The playlist, for errors.
        files: Its files, at least one.
        open_part: Opens one of them.
        backend: Name of the back-end, for errors.

    Raises:
        VideoError: If a file cannot be opened, or has frames of another size than the first.
    """

    def __init__(self, path: str, files: Sequence[str], open_part: Callable[[str], Decoder], backend: str) -> None:
        self._path, self._backend = path, backend
        self._files = list(files)
        self._open_part = open_part
        self._place = -1
        self._part: Decoder | None = None
        self.decoded = 0
        infos = [self._open(place).info for place in range(len(files))]
        self._infos = infos
        for file, info in zip(files, infos, strict=True):
            if (info.height, info.width) != (infos[0].height, infos[0].width):
                sizes = f"{infos[0].width}x{infos[0].height} and {info.width}x{info.height}"
                name = os.path.relpath(file, os.path.dirname(path))  # noqa: PTH120
                raise VideoError(f"names files of several sizes: {sizes} ({name})", path=path, backend=backend)
        lengths = [info.duration - info.first for info in infos]
        self._starts = [0.0, *np.cumsum(lengths).tolist()]
        self.raw = self._open(0).raw
        self.info = self._joined(infos, self._starts[-1])

    @staticmethod
    def _joined(infos: Sequence[StreamInfo], duration: float) -> StreamInfo:
        counts = [info.num_frames for info in infos]
        known = [count for count in counts if count is not None]
        distances = [info.key_distance for info in infos if info.key_distance is not None]
        return replace(
            infos[0],
            duration=duration,
            first=0.0,
            num_frames=sum(known) if len(known) == len(infos) else None,
            fps=sum(info.fps * info.duration for info in infos) / sum(info.duration for info in infos),
            key_distance=max(distances) if len(distances) == len(infos) else None,
        )

    def read_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, keep_every: float | None, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """See `Decoder.read_frames`. Of intermediate frames, all are returned or none."""
        keep = keep_every if keep_every == 0 else None
        for place, inside in self._split(times):
            part = self._open(place)
            yield from self._placed(place, part, part.read_frames(inside, spec, keep, deadline))

    def read_key_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """See `Decoder.read_key_frames`."""
        for place, inside in self._split(times):
            part = self._open(place)
            yield from self._placed(place, part, part.read_key_frames(inside, spec, deadline))

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """See `Decoder.split_at_seeks`. Split where another file begins."""
        cuts = np.searchsorted(times, np.array(self._starts[1:-1]) - FRAME_SLACK)
        return [part for part in np.split(times, cuts) if len(part)]

    def reaches_without_seek(self, time: float) -> bool:
        """See `Decoder.reaches_without_seek`."""
        place = self._place_of(time)
        return place == self._place and self._open(place).reaches_without_seek(self._local(place, time))

    @property
    def is_idle(self) -> bool:
        """See `Decoder.is_idle`."""
        return self._part is None or self._part.is_idle

    def close(self) -> None:
        """Close the file that is open."""
        if self._part is not None:
            self._part.close()
            self._part, self._place = None, -1

    def _open(self, place: int) -> Decoder:
        """The decoder of a file; that of another one is closed."""
        if self._part is None or place != self._place:
            self.close()
            self._part, self._place = self._open_part(self._files[place]), place
        return self._part

    def _place_of(self, time: float) -> int:
        return min(bisect.bisect_right(self._starts, time + FRAME_SLACK), len(self._files)) - 1

    def _local(self, place: int, time: float) -> float:
        info = self._infos[place]
        inside = max(time - self._starts[place] + info.first, info.first)
        return float(min(inside, np.nextafter(info.duration, 0)))

    def _split(self, times: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
        places = [self._place_of(float(time)) for time in times]
        for place in sorted(set(places)):
            yield (
                place,
                np.array([self._local(place, float(t)) for t, p in zip(times, places, strict=True) if p == place]),
            )

    def _placed(self, place: int, part: Decoder, frames: Iterator[DecodedFrame]) -> Iterator[DecodedFrame]:
        """Frames of one file, with their times in the whole video; counts what is decoded."""
        before = part.decoded
        start = self._starts[place] - self._infos[place].first
        last = place + 1 == len(self._files)
        for frame in frames:
            self.decoded += part.decoded - before
            before = part.decoded
            end = frame.end + start
            if math.isinf(end) and not last:
                end = self._starts[place + 1]
            yield DecodedFrame(max(frame.start + start, self._starts[place]), end, frame.pixels)
        self.decoded += part.decoded - before
