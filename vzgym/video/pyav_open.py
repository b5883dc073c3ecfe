"""Opening files through PyAV, examined once for all their readers, and the times of all frames."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.decoder import AS_STORED, ReadOptions
from vzgym.video.paths import identify
from vzgym.video.pyav_container import NAME, open_container, pick_stream, rewind
from vzgym.video.pyav_facts import FileFacts, examine

__all__ = ["FrameTimes", "OpenFile", "frame_times", "open_file"]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open container.

    Attributes:
        container: The container.
        stream: Its video stream. Its decoder may not be open yet.
        facts: Facts about the file.
    """

    container: InputContainer
    stream: VideoStream
    facts: FileFacts


# Facts of recently opened files, by file identity and stream: a file may have several readers.
_MOST_KNOWN = 256
_known: dict[tuple[tuple[str, int, int], ReadOptions], FileFacts] = {}


def open_file(path: str, threads: int, timeout: float, options: ReadOptions = AS_STORED) -> OpenFile:
    """Open a file and examine its first frame and its last packets.

    Raises:
        VideoError: If it is not a video, has no video stream, has missing or wrong time stamps, or is truncated.
    """
    container = open_container(path, timeout)
    identity = (identify(path, NAME), options)
    try:
        stream = pick_stream(container, path, options.stream)
        codec = stream.codec_context
        codec.thread_count = threads
        codec.thread_type = "AUTO" if threads > 1 else "SLICE"
        # Errors are to be reported, not concealed.
        codec.options = {"err_detect": "explode"}
        known = _known.get(identity)
        if known is None:
            known = examine(container, stream, path, timeout, options)
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[identity] = known
        return OpenFile(container, stream, known)
    except av.FFmpegError as error:
        container.close()
        raise VideoError(f"cannot be read: {error.strerror}", path=path, backend=NAME) from error
    except VideoError:
        container.close()
        raise


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Frame times found from a stream's packets.

    Attributes:
        times: When each frame is shown, float64, seconds from the stream's start, ascending.
        complete: Whether each packet has a display time: those without one have no displayed frame.
        closed: Whether no frame is shown before the key frame after which it is decoded, so that each group of pictures
            can be decoded alone.
    """

    times: NDArray[np.float64]
    complete: bool
    closed: bool


def frame_times(file: OpenFile, path: str) -> FrameTimes:
    """The display times of all frames. Reads all packets, decodes none.

    Raises:
        VideoError: If the file cannot be read.
    """
    stamps: list[int | None] = []
    key: int | None = None
    closed = True
    try:
        rewind(file.container, file.stream, file.facts.first_dts)
        for number, packet in enumerate(packet for packet in file.container.demux(file.stream) if packet.size):
            stamp = file.facts.stamp(packet, number)
            if packet.is_keyframe:
                key = stamp
            elif stamp is not None and key is not None and stamp < key:
                closed = False
            if not packet.is_discard:
                stamps.append(stamp)
    except av.FFmpegError as error:
        raise VideoError(f"cannot be read: {error.strerror}", path=path, backend=NAME) from error
    known = np.unique(np.array([stamp for stamp in stamps if stamp is not None], dtype=np.int64))
    times = (known - file.facts.start) * file.facts.base.numerator / file.facts.base.denominator
    return FrameTimes(times, len(known) == len(stamps), closed)
