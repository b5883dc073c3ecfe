"""Containers as PyAV opens them: the video stream, its first packet, its index."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vzgym.core.errors import VideoError
from vzgym.video.paths import check_regular
from vzgym.video.playlists import is_playlist
from vzgym.video.timestamps import StoredStamps, read_stored

__all__ = [
    "BASE",
    "BROADCAST",
    "HIDES_FRAMES",
    "NAME",
    "frame_units",
    "key_times",
    "moving_streams",
    "open_container",
    "pick_stream",
    "rewind",
    "stored_stamps",
]

NAME = "pyav"
BASE = Fraction(1, av.time_base)
# Codecs in which a packet may have no displayed frame (VP8's hidden frames): a missing frame is no fault there.
HIDES_FRAMES = frozenset("vp8 libvpx mpeg4 msmpeg4v1 msmpeg4 msmpeg4v2 h263 h263p flv wmv1 wmv2 wmv3 vc1".split())

# Formats that refer to other files, sources or scripts: such a file could make FFmpeg read something else.
_INDIRECT = frozenset(
    "concat dash hls imf sdp rtsp sap webm_dash_manifest image2 lavfi avisynth vapoursynth tty rawvideo".split()
)
# Formats whose clock may restart or jump within a file.
BROADCAST = ("mpegts", "mpeg")


@functools.cache
def _allowed_formats() -> str:
    return ",".join(sorted(av.formats_available - _INDIRECT))


def open_container(path: str, timeout: float, *, fill_in: bool = True) -> InputContainer:
    """Open `path`, or raise a `VideoError` with the reason.

    Args:
        path: The file: always a path, never a URL.
        timeout: Seconds that one reading of the file may take.
        fill_in: Whether FFmpeg guesses time stamps that the container does not store.
    """
    check_regular(path, NAME)
    options = {"format_whitelist": _allowed_formats(), "protocol_whitelist": "file"}
    if not fill_in:
        options["fflags"] = "nofillin"
    try:
        return av.open(f"file:{path}", timeout=timeout, container_options=options)
    except av.ExitError as error:  # FFmpeg's error for an interruption
        raise VideoError(f"could not be opened within {timeout:g} s", path=path, backend=NAME) from error
    except (av.FFmpegError, ValueError) as error:
        with Path(path).open("rb") as file:
            head = file.read(512)
        said = error.strerror if isinstance(error, av.FFmpegError) else str(error)
        if is_playlist(head):
            reason = (
                "is a playlist, which names other files: give the files themselves, join them into one file, or allow "
                "playlists (FileVideo(..., allow_playlists=True))"
            )
        elif head[4:8] == b"ftyp":
            reason = f"an mp4 without its index: unfinished, truncated or damaged ({said})"
        else:
            reason = f"is no video file: {said}"
        raise VideoError(reason, path=path, backend=NAME) from error


def pick_stream(container: InputContainer, path: str, index: int | None = None) -> VideoStream:
    """The video stream that the ffmpeg program would select, or the one at `index` of the file.

    Raises:
        VideoError: If there is none; names the streams of the file.
    """
    moving = moving_streams(container)
    if index is not None:
        chosen = next((stream for stream in moving if stream.index == index), None)
        if chosen is None:
            held = ", ".join(str(stream.index) for stream in moving) or "none"
            raise VideoError(f"stream {index} is no video stream of this file; its video streams: {held}", path=path)
        stream = chosen
    elif moving:
        # `max` returns the first among equals, as FFmpeg does.
        stream = max(moving, key=_preference)
    elif container.streams.video:
        raise VideoError("holds cover art only, no video stream", path=path, backend=NAME)
    else:
        held = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(f"holds no video stream, only: {held}", path=path, backend=NAME)
    if stream.codec_context is None:
        raise VideoError("no decoder for its codec", path=path, backend=NAME)
    return stream


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams without cover art and thumbnails."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def _preference(stream: VideoStream) -> tuple[bool, int]:
    codec = stream.codec_context
    size = 0 if codec is None else codec.width * codec.height
    return bool(stream.disposition & Disposition.default), size


def rewind(container: InputContainer, stream: VideoStream, first_dts: int) -> None:
    """Go to the first packet.

    Raises:
        av.FFmpegError: If the file cannot be read.
    """
    if container.format.name in BROADCAST:
        # By bytes: these formats find times by searching and may land after the first packet.
        container.seek(0, stream=stream, unsupported_byte_offset=True)
    else:
        container.seek(first_dts, stream=stream, backward=True)


def stored_stamps(path: str, index: int, timeout: float) -> StoredStamps:
    """The time stamps that the container itself stores for a stream, of all packets.

    Raises:
        VideoError: If the file cannot be opened.
        av.FFmpegError: If it cannot be read.
    """
    container = open_container(path, timeout, fill_in=False)
    try:
        return read_stored(container, pick_stream(container, path, index))
    finally:
        container.close()


def frame_units(stream: VideoStream) -> int:
    """Length of one frame at the mean rate, in the stream's units."""
    rate = stream.average_rate or stream.guessed_rate
    return int(1 / rate / (stream.time_base or BASE)) if rate else 0


def key_times(stream: VideoStream) -> list[int]:
    """Time stamps of the key frames in the index read so far, ascending; empty if the index is unsorted."""
    entries = stream.index_entries
    if not len(entries):
        return []
    found: list[int] = []
    # From key frame to key frame: the index of an hour has a hundred thousand entries.
    place = entries.search_timestamp(entries[0].timestamp, backward=False)
    while place >= 0:
        stamp = entries[place].timestamp
        if found and stamp <= found[-1]:
            return []
        found.append(stamp)
        place = entries.search_timestamp(stamp + 1, backward=False)
    return found
