"""Common base of back-ends that read frames by index: decord and torchcodec."""

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
from vzgym.video.decoder import Deadline, DecodedFrame, ReadOptions, Rendered, RenderSpec, StreamInfo
from vzgym.video.pyav_facts import FileFacts
from vzgym.video.pyav_open import frame_times, open_file
from vzgym.video.scale import has_alpha, render_array

__all__ = ["IndexedDecoder"]

# Frames fetched per call: enough to share work, few enough to limit memory and to check the deadline.
_BATCH = 16


@contextmanager
def _reported_by(backend: str) -> Iterator[None]:
    """Report errors of PyAV, which examines the file first, as errors of `backend`."""
    try:
        yield
    except VideoError as error:
        raise VideoError(error.reason, path=error.path, time=error.time, backend=backend) from error


class IndexedDecoder(abc.ABC):
    """A `Decoder` over a library that provides frames, and their times, by index.

    A subclass sets the attributes below on opening and implements `_frames`.

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
        """Examine the file through PyAV and set `path` and `starts`.

        Raises:
            VideoError: If it cannot be read, or needs a feature that these libraries lack.
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
        reason = "has transparent parts, whose hidden colors it would show" if alpha else reason
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
        """Properties of the stream, with those that the library reports."""
        return replace(facts.info, fps=fps, num_frames=num_frames, key_distance=None)

    @abc.abstractmethod
    def _frames(self, indices: list[int]) -> NDArray[np.uint8]:
        """Frames by index (ascending): uint8, shape `(n, height, width, 3)`, RGB, as shown."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file."""

    def read_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, keep_every: float | None, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """See `Decoder.read_frames`. Returns the requested frames only, no intermediate ones."""
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
                # The libraries do not resample non-square pixels.
                if frame.shape[:2] != (self.info.height, self.info.width):
                    frame = render_array(frame, RenderSpec((self.info.height, self.info.width)))
                yield DecodedFrame(float(self.starts[place]), end, Rendered(render_array(frame, spec)))

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Not split: one reader does all the work."""
        return [times]

    def read_key_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """Not supported: these libraries do not report when key frames are shown."""
        raise VideoError("cannot identify key frames", path=self.path, backend=self.name)

    def reaches_without_seek(self, time: float) -> bool:
        """Unknown; one reader serves all positions of its file."""
        return True

    @property
    def is_idle(self) -> bool:
        """Always true: it can seek to any position."""
        return True
