"""Opening a file through PyAV: which stream, where it starts and ends, where its key frames lie, what is wrong."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.decoder import StreamInfo

__all__ = [
    "NAME",
    "FileFacts",
    "OpenFile",
    "check_regular",
    "frame_times",
    "frame_units",
    "key_times",
    "open_container",
    "open_file",
    "pick_stream",
]

NAME = "pyav"
_BASE = Fraction(1, av.time_base)
# A header's duration may count the sound, or be rounded: only a longer gap means that pictures are missing.
_MISSING = 1.0


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is learnt by looking into a file. Time stamps are in units of `base`.

    Attributes:
        base: Seconds of one unit of its time stamps.
        start: Time stamp of t = 0.
        end: Time stamp of the end of the last frame.
        first_dts: Decoding time stamp of the first packet.
        keys: Time stamps of the key frames, ascending; empty where the file has no index.
    """

    base: Fraction
    start: int
    end: int
    first_dts: int
    keys: tuple[int, ...]
    info: StreamInfo


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open container.

    Attributes:
        container: The container.
        stream: Its video stream. Its decoder may not be open yet.
        facts: What is known of the file.
    """

    container: InputContainer
    stream: VideoStream
    facts: FileFacts


# Facts of files opened lately, by path, size and time of change: a file has several readers.
_MOST_KNOWN = 256
_known: dict[tuple[str, int, int], FileFacts] = {}


def check_regular(path: str, backend: str) -> None:
    """Raise `VideoError` unless `path` is a non-empty regular file (a pipe would block for ever)."""
    try:
        status = Path(path).stat()
    except OSError as error:
        hint = "; a video is read from a file: download it first" if "://" in path else ""
        raise VideoError(f"cannot be found: {error.strerror}{hint}", path=path, backend=backend) from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError("is not a regular file", path=path, backend=backend)
    if status.st_size == 0:
        raise VideoError("the file is empty", path=path, backend=backend)


def open_container(path: str, timeout: float) -> InputContainer:
    """Open `path`, or raise a `VideoError` that says why not."""
    check_regular(path, NAME)
    try:
        return av.open(path, timeout=timeout)
    except av.ExitError as error:  # what FFmpeg calls being interrupted
        raise VideoError(f"could not be opened within {timeout:g} s", path=path, backend=NAME) from error
    except av.FFmpegError as error:
        with Path(path).open("rb") as file:
            head = file.read(12)
        if head[4:8] == b"ftyp":
            reason = f"an mp4 without its index: unfinished, truncated or damaged ({error.strerror})"
        else:
            reason = f"is no video file: {error.strerror}"
        raise VideoError(reason, path=path, backend=NAME) from error


def pick_stream(container: InputContainer, path: str) -> VideoStream:
    """The first stream of moving pictures, or a `VideoError` that says what the file holds instead."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if moving:
        stream = moving[0]
    elif container.streams.video:
        raise VideoError("holds cover art only, no video stream", path=path, backend=NAME)
    else:
        held = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(f"holds no video stream, only: {held}", path=path, backend=NAME)
    if stream.codec_context is None:
        raise VideoError("no decoder for its codec", path=path, backend=NAME)
    return stream


def open_file(path: str, threads: int, timeout: float) -> OpenFile:
    """Open a file, look at its first frame and at its last packets.

    Raises:
        VideoError: If it is no video, holds none, has no time stamps, or ends before it should.
    """
    container = open_container(path, timeout)
    status = Path(path).stat()
    identity = (str(Path(path).resolve()), status.st_size, status.st_mtime_ns)
    try:
        stream = pick_stream(container, path)
        codec = stream.codec_context
        codec.thread_count = threads
        codec.thread_type = "AUTO" if threads > 1 else "SLICE"
        # Errors are to be reported, not painted over.
        codec.options = {"err_detect": "explode"}
        known = _known.get(identity)
        if known is None:
            known = _examine(container, stream, path)
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


def frame_times(path: str, timeout: float) -> NDArray[np.float64]:
    """When each frame is shown, in seconds from the stream's start, ascending; reads all packets, decodes none.

    Raises:
        VideoError: If the file cannot be read, or time stamps are missing.
    """
    file = open_file(path, 1, timeout)
    try:
        file.container.seek(file.facts.first_dts, stream=file.stream, backward=True)
        stamps = [p.pts for p in file.container.demux(file.stream) if p.size and not p.is_discard]
    except av.FFmpegError as error:
        raise VideoError(f"cannot be read: {error.strerror}", path=path, backend=NAME) from error
    finally:
        file.container.close()
    known = np.array(sorted(pts for pts in stamps if pts is not None), dtype=np.int64)
    return (known - file.facts.start) * file.facts.base.numerator / file.facts.base.denominator


def _examine(container: InputContainer, stream: VideoStream, path: str) -> FileFacts:
    """Look at the first frame and the last packets; seeking there makes Matroska read its index."""
    base = stream.time_base
    if base is None:
        raise VideoError("time stamps are missing", path=path, backend=NAME)

    first_dts, shift, frame = _first_frame(container, stream, path)
    start = stream.start_time if stream.start_time is not None else frame.pts
    if start is None or frame.pts is None:
        raise VideoError("time stamps are missing", path=path, time=0.0, backend=NAME)
    indexed = any(name in container.format.name for name in ("mp4", "matroska"))
    if "mp4" not in container.format.name:
        shift = 0  # the index of an mp4 holds decoding times, others the times of showing

    declared = _declared_end(container, stream, start)
    end = _measured_end(container, stream, start, declared, first_dts)
    _check_complete(container, stream, path, start, end, declared)
    # Read after the first seek, which makes Matroska read its index. Other formats have no index worth the name.
    keys = [key + shift for key in key_times(stream)] if indexed else []
    duration = float((end - start) * base)
    if duration <= 0:
        raise VideoError("has a length of zero", path=path, backend=NAME)

    count = stream.frames if stream.frames > 0 and not _has_discards(stream) else None
    rate = stream.average_rate or stream.guessed_rate
    fps = float(rate) if rate else (count or 1) / duration
    sideways = round(frame.rotation / 90) % 2 == 1
    height, width = (frame.width, frame.height) if sideways else (frame.height, frame.width)
    info = StreamInfo(
        duration=duration,
        fps=fps,
        num_frames=count,
        height=height,
        width=width,
        codec=stream.codec_context.name,
        container=container.format.name,
        first=max(0.0, float((frame.pts - start) * base)),
        # A stream without a length was written without an index too: what is known now was learnt by reading it all.
        key_distance=duration / len(keys) if keys and container.duration is not None else None,
    )
    return FileFacts(base, start, end, first_dts, tuple(keys), info)


def _first_frame(container: InputContainer, stream: VideoStream, path: str) -> tuple[int, int, av.VideoFrame]:
    """Decoding time of the first packet, what its time of showing exceeds that by, and the first frame."""
    first: tuple[int, int] | None = None
    for packet in container.demux(stream):
        if packet.size:
            if packet.pts is None:
                raw = container.format.name in ("h264", "hevc", "m4v", "mpegvideo", "obu", "ivf")
                kind = "is a raw stream: time stamps are missing" if raw else "time stamps are missing"
                hint = "wrap it into a container first (ffmpeg -i FILE -c copy FILE.mp4, for a raw stream with -r FPS)"
                raise VideoError(f"{kind}; {hint}", path=path, time=0.0, backend=NAME)
            dts = packet.pts if packet.dts is None else packet.dts
            first = first or (dts, packet.pts - dts)
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            at = float(packet.pts * packet.time_base) if packet.pts is not None else 0.0
            reason = f"its first frames cannot be decoded: {error.strerror}"
            raise VideoError(reason, path=path, time=at, backend=NAME) from error
        if frames and first is not None:
            return *first, frames[0]
    raise VideoError("holds no frame that can be decoded", path=path, time=0.0, backend=NAME)


def _declared_end(container: InputContainer, stream: VideoStream, start: int) -> int | None:
    """Where the header says that the video ends; None if it says nothing about the pictures themselves."""
    base = stream.time_base or _BASE
    if stream.duration is not None and stream.duration > 0:
        return start + stream.duration
    clock = stream.metadata.get("DURATION", "").split(":")  # Matroska: "00:59:59.966000000", from the file's zero
    if len(clock) == 3:
        try:
            seconds = 3600 * int(clock[0]) + 60 * int(clock[1]) + float(clock[2])
        except ValueError:
            return None
        return int(Fraction(seconds) / base)
    return None


def _measured_end(
    container: InputContainer, stream: VideoStream, start: int, declared: int | None, first_dts: int
) -> int:
    """Time stamp of the end of the last packet there is, found by reading the file's tail."""
    base = stream.time_base or _BASE
    if declared is None:
        length = container.duration * _BASE if container.duration else Fraction(0)
        declared = start + int(length / base)
    back = 0
    while True:
        aim = declared - int(back / base)
        end = None
        try:
            container.seek(max(aim, first_dts), stream=stream, backward=True)
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None and not packet.is_discard:
                    shown = packet.duration or frame_units(stream)
                    end = max(end or packet.pts, packet.pts + shown)
        except av.FFmpegError:
            end = None  # nothing readable from here on: look further ahead
        if end is not None:
            return end
        if aim <= first_dts:
            return start
        back = 2 * back + 2


def frame_units(stream: VideoStream) -> int:
    """Length of one frame at the mean rate, in the stream's units."""
    rate = stream.average_rate or stream.guessed_rate
    return int(1 / rate / (stream.time_base or _BASE)) if rate else 0


def _check_complete(
    container: InputContainer, stream: VideoStream, path: str, start: int, end: int, declared: int | None
) -> None:
    base = stream.time_base or _BASE
    entries = stream.index_entries
    size = Path(path).stat().st_size
    if "mp4" in container.format.name and len(entries) and entries[-1].pos + entries[-1].size > size:
        held = next((e for e in entries if e.pos + e.size > size), entries[-1])
        at = max(0.0, float((held.timestamp - start) * base))
        total = float((entries[-1].timestamp - start) * base)
        raise VideoError(f"truncated: its index goes on to {total:.1f} s", path=path, time=at, backend=NAME)
    if declared is not None and (declared - end) * base > _MISSING:
        at, total = float((end - start) * base), float((declared - start) * base)
        raise VideoError(f"truncated: its header promises {total:.1f} s", path=path, time=at, backend=NAME)


def _has_discards(stream: VideoStream) -> bool:
    """Whether an edit list hides frames (they lie at the ends)."""
    entries = stream.index_entries
    return len(entries) > 0 and (entries[0].is_discard or entries[-1].is_discard)


def key_times(stream: VideoStream) -> list[int]:
    """Time stamps of the key frames in the index that the container has read so far, ascending."""
    entries = stream.index_entries
    if not len(entries):
        return []
    found = []
    # From key frame to key frame: the index of an hour has a hundred thousand entries.
    place = entries.search_timestamp(entries[0].timestamp, backward=False)
    while place >= 0:
        found.append(entries[place].timestamp)
        place = entries.search_timestamp(found[-1] + 1, backward=False)
    return found
