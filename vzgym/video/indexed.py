"""What back-ends share that read frames by index: decord and torchcodec."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.base import FRAME_SLACK
from vzgym.video.decoder import Deadline, Picture, ReadOptions, Rendered, StreamInfo, View
from vzgym.video.pyav_open import FileFacts, frame_times, open_file
from vzgym.video.scale import has_alpha, render_array

__all__ = ["IndexedDecoder"]

# Frames fetched by one call: enough to share work, few enough to bound memory and see to the time.
_BATCH = 16


@contextmanager
def _reported_by(backend: str) -> Iterator[None]:
    """Reports errors of PyAV, by which the file is examined first, as errors of `backend`."""
    try:
        yield
    except VideoError as error:
        raise VideoError(error.reason, path=error.path, time=error.time, backend=backend) from error


class IndexedDecoder(abc.ABC):
    """A `Decoder` over a library that knows each frame's time and gives frames by index.

    A subclass sets the attributes below on opening, and gives `_frames`.

    Attributes:
        starts: When each frame is shown, seconds from the stream's start, ascending.
    """

    name: ClassVar[str]
    raw = False
    isolated: ClassVar[bool] = True
    finds_key_frames: ClassVar[bool] = False
    reads_open_groups: ClassVar[bool] = True

    path: str
    starts: NDArray[np.float64]
    info: StreamInfo

    def __init__(self) -> None:
        self.decoded = 0

    def _examine(self, path: str, timeout: float, options: ReadOptions) -> FileFacts:
        """Look at the file through PyAV, and set `path` and `starts`.

        Raises:
            VideoError: If it cannot be read, or needs what these libraries do not do.
        """
        self.path = path
        with _reported_by(self.name):
            file = open_file(path, 1, timeout, options)
            try:
                found = frame_times(file, path)
                alpha = has_alpha(file.stream.codec_context.format) if file.stream.codec_context.format else False
            finally:
                file.container.close()
        reason = "the back-end cannot deinterlace" if options.deinterlace else ""
        reason = "has transparent parts, whose hidden colours it would show" if alpha else reason
        if file.facts.display_times is not None and (file.facts.lead or file.facts.sequential):
            reason = "stores no display times, and reorders frames"
        elif not found.complete:
            reason = "holds packets that show no frame, which the back-end would count"
        elif not found.closed and not self.reads_open_groups:
            reason = "has open groups of pictures, at which the back-end loses count of frames"
        if reason:
            raise VideoError(f"{reason}: use back-end 'pyav'", path=path, backend=self.name)
        self.starts = found.times
        return file.facts

    def _described(self, facts: FileFacts, *, fps: float, num_frames: int) -> StreamInfo:
        """What is known of the file, with what the library itself says of it."""
        return replace(facts.info, fps=fps, num_frames=num_frames, key_distance=None)

    @abc.abstractmethod
    def _frames(self, indices: list[int]) -> NDArray[np.uint8]:
        """Frames by index (ascending): uint8, shape `(n, height, width, 3)`, RGB, as shown."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file."""

    def pictures(
        self, times: NDArray[np.float64], view: View, keep_every: float | None, deadline: Deadline
    ) -> Iterator[Picture]:
        """See `Decoder.pictures`. Gives what was asked for, nothing that was decoded on the way."""
        places = np.maximum(np.searchsorted(self.starts, times + FRAME_SLACK, side="right") - 1, 0)
        wanted = np.unique(places)
        for first in range(0, len(wanted), _BATCH):
            batch = [int(place) for place in wanted[first : first + _BATCH]]
            deadline.check(float(self.starts[batch[0]]))
            frames = self._frames(batch)
            self.decoded += len(batch)
            deadline.extend()
            if len(frames) != len(batch):
                raise VideoError(
                    f"gave {len(frames)} frames for {len(batch)} asked for",
                    path=self.path,
                    time=float(self.starts[batch[0]]),
                    backend=self.name,
                )
            for place, frame in zip(batch, frames, strict=True):
                end = float(self.starts[place + 1]) if place + 1 < len(self.starts) else math.inf
                # They do not stretch pixels that are not square.
                if frame.shape[:2] != (self.info.height, self.info.width):
                    frame = render_array(frame, View((self.info.height, self.info.width)))
                yield Picture(float(self.starts[place]), end, Rendered(render_array(frame, view)))

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """One: all is done by one reader."""
        return [times]

    def key_pictures(self, times: NDArray[np.float64], view: View, deadline: Deadline) -> Iterator[Picture]:
        """Not offered: these libraries do not say when key frames are shown."""
        raise VideoError("cannot tell key frames", path=self.path, backend=self.name)

    def reaches_without_seek(self, time: float) -> bool:
        """Unknown; one reader serves all places of its file."""
        return True

    @property
    def is_idle(self) -> bool:
        """Always: it may be moved to any place."""
        return True
