"""Opening a file through PyAV: stream selection, start and end, key frames, and faults."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.decoder import AS_STORED, ReadOptions, StreamInfo
from vzgym.video.paths import check_regular, identify
from vzgym.video.playlists import is_playlist
from vzgym.video.scale import UNSPECIFIED, Geometry
from vzgym.video.timestamps import (
    StoredStamps,
    check_clock,
    contradicts_decoder,
    display_stamps,
    read_stored,
    remedy,
)

__all__ = [
    "BROADCAST",
    "HIDES_FRAMES",
    "NAME",
    "FileFacts",
    "FrameTimes",
    "OpenFile",
    "frame_times",
    "frame_units",
    "key_times",
    "open_container",
    "open_file",
    "pick_stream",
    "rewind",
    "stored_stamps",
]

NAME = "pyav"
_BASE = Fraction(1, av.time_base)
# A header's duration may include the audio, or be rounded: only a longer gap means that frames are missing.
_MISSING = 1.0
# Number of packets examined to find out whether a stream reorders frames.
_SAMPLE = 64
# The longest stream, in frames, that is decoded on opening to compute its display times.
_MOST_DECODED = 10_000
# Codecs in which a packet may have no displayed frame (VP8's hidden frames): a missing frame is no fault there.
HIDES_FRAMES = frozenset("vp8 libvpx mpeg4 msmpeg4v1 msmpeg4 msmpeg4v2 h263 h263p flv wmv1 wmv2 wmv3 vc1".split())

# Formats that refer to other files, sources or scripts: such a file could make FFmpeg read something else.
_INDIRECT = frozenset(
    "concat dash hls imf sdp rtsp sap webm_dash_manifest image2 lavfi avisynth vapoursynth tty rawvideo".split()
)
# Formats whose clock may restart or jump within a file.
BROADCAST = ("mpegts", "mpeg")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts found by examining a file. Time stamps are in units of `base`.

    Attributes:
        base: Seconds per unit of the time stamps.
        start: Time stamp of t = 0.
        end: Time stamp of the end of the last frame.
        first_dts: Decoding time stamp of the first packet.
        keys: Time stamps of the key frames, ascending; empty if the file has no index.
        info: Stream properties as reported to users.
        geometry: How its frames are shown.
        display_times: Computed display times, if the file does not store all of them; None for a packet without a
            displayed frame. Keyed by decoding time, or by the packet's number if `sequential`.
        lead: By how much a display time may precede its decoding time: 0 unless display times were computed.
        sequential: Whether the file can only be read from its beginning, because its decoding times are guesses, too.
    """

    base: Fraction
    start: int
    end: int
    first_dts: int
    keys: tuple[int, ...]
    info: StreamInfo
    geometry: Geometry
    display_times: Mapping[int, int | None] | None
    lead: int
    sequential: bool

    def stamp(self, packet: av.Packet[VideoStream], number: int) -> int | None:
        """Set a packet's display time, in units of `base`, and its decoding time.

        Args:
            packet: The packet.
            number: Number of packets before it since reading began; since the start of the file if `sequential`.

        Returns:
            The display time; None if it has no displayed frame.
        """
        if self.display_times is not None:
            key = number if self.sequential else packet.dts
            packet.pts = None if key is None else self.display_times.get(key)
            if self.sequential:
                packet.dts = None
        return packet.pts


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
    moving = _moving_streams(container)
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


def _moving_streams(container: InputContainer) -> list[VideoStream]:
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def _preference(stream: VideoStream) -> tuple[bool, int]:
    codec = stream.codec_context
    size = 0 if codec is None else codec.width * codec.height
    return bool(stream.disposition & Disposition.default), size


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
            known = _examine(container, stream, path, timeout, options)
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


def _examine(
    container: InputContainer, stream: VideoStream, path: str, timeout: float, options: ReadOptions
) -> FileFacts:
    """Examine the first frame and the last packets; seeking there makes FFmpeg read a Matroska file's index."""
    base = stream.time_base
    if base is None:
        raise VideoError("time stamps are missing", path=path, backend=NAME)
    format = container.format.name
    codec = stream.codec_context
    if "mp4" in format and _movies(path) > 1:
        # FFmpeg would read the first movie's index, or mix their fragments.
        reason = "holds several movies joined byte for byte: join them with ffmpeg's concat demuxer instead"
        raise VideoError(reason, path=path, backend=NAME)
    first_dts, shift, frame = _first_frame(container, stream, path)
    wrapped = "matroska" in format and shift is not None
    may_reorder = codec.has_b_frames
    stored: StoredStamps | None = None
    times: Mapping[int, int | None] | None = None
    if not _indexed(container, path) or (wrapped and may_reorder):
        # Only reading the whole file shows what the container stores. (Matroska stores display times only, unless it #
        # wraps a stream as AVI does.)
        stored = stored_stamps(path, stream.index, timeout)
        check_clock(stored, stream, frame_units(stream), path, NAME, gaps=format in BROADCAST)
        if stored.decoding_times_only or (stored.incomplete and may_reorder):
            times = _display_times(stored, stream, path, timeout, may_reorder)
    if times is None and may_reorder:
        _check_order(container, stream, path, first_dts)
    if times is not None:
        start = first = min(stamp for stamp in times.values() if stamp is not None)
    elif frame.pts is None:
        raise VideoError("time stamps are missing", path=path, time=0.0, backend=NAME)
    else:
        first = frame.pts
        start = first if stream.start_time is None else stream.start_time
    if "mp4" not in format or shift is None:
        shift = 0  # the index of an mp4 holds decoding times, other indices display times

    count: int | None = None
    declared = _declared_end(container, stream, start)
    if times is not None:
        known = sorted(stamp for stamp in times.values() if stamp is not None)
        step = int(np.median(np.diff(known))) if len(known) > 1 else frame_units(stream)
        end, count = known[-1] + step, len(known)
    else:
        end = _measured_end(container, stream, start, declared, first_dts)
        if stored is not None:
            count = None if codec.name in HIDES_FRAMES else len(stored.pts)
            if not stored.incomplete:
                # The tail may have been reached by a seek that fell short.
                end = max(end, max(pts for pts in stored.pts if pts is not None) + frame_units(stream))
        elif "mp4" in format:
            count = _count_shown(stream)
    _check_complete(container, stream, path, start, end, declared)
    # Read after the first seek, which makes Matroska read its index. Other formats have no usable index.
    indexed = any(name in format for name in ("mp4", "matroska"))
    keys = tuple(key + shift for key in key_times(stream)) if indexed and times is None else ()
    duration = float((end - start) * base)
    if duration <= 0:
        raise VideoError("has a length of zero", path=path, backend=NAME)

    rate = stream.average_rate or stream.guessed_rate
    if rate and stored is None:
        fps = float(rate)
    else:
        fps = count / duration if count is not None else float(rate) if rate else 1 / duration
    geometry, aspect, assumed = _geometry(stream, frame, path, options)
    info = StreamInfo(
        duration=duration,
        fps=fps,
        num_frames=count,
        height=geometry.height,
        width=geometry.width,
        codec=codec.name,
        container=format,
        first=max(0.0, float((first - start) * base)),
        # A stream without a length has no index either: everything known was found by reading it completely.
        key_distance=duration / len(keys) if keys and container.duration is not None else None,
        stream=stream.index,
        video_streams=len(_moving_streams(container)),
        pixel_aspect=aspect,
        interlaced=bool(frame.interlaced_frame),
        assumed_matrix=assumed,
    )
    sequential = times is not None and stored is not None and not stored.decoding_times_only
    lead = 0
    if times is not None and not sequential:
        lead = max(0, *(dts - pts for dts, pts in times.items() if pts is not None))
    return FileFacts(base, start, end, first_dts, keys, info, geometry, times, lead, sequential)


def _indexed(container: InputContainer, path: str) -> bool:
    """Whether the index or structure shows that the container stores every display time, on one clock."""
    format = container.format.name
    if "mp4" in format:
        return True
    return "matroska" in format and container.duration is not None and _is_one_segment(path)


def _movies(path: str) -> int:
    """Number of movie headers (`moov`) among the top-level boxes of an mp4 (ISO/IEC 14496-12)."""
    count, place = 0, 0
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            count += kind == b"moov"
            if length < 8:
                break  # 0: up to the end of the file; else no box
            place += length
    return count


def _is_one_segment(path: str) -> bool:
    """Whether a Matroska file is one segment of known size, up to the end of the file (RFC 8794, RFC 9559)."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        for element in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # EBML header, Segment
            if file.read(4) != element:
                return False
            head = file.read(1)
            if not head or not head[0]:
                return False
            length = 9 - head[0].bit_length()
            value = int.from_bytes(bytes([head[0] & ((1 << (8 - length)) - 1)]) + file.read(length - 1), "big")
            if value == (1 << (7 * length)) - 1:
                return False  # unknown: written as a live stream
            file.seek(value, 1)
        # Truncated (reported elsewhere), complete, or followed by another file.
        return file.tell() >= size or file.read(4) != b"\x1a\x45\xdf\xa3"


def _display_times(
    stored: StoredStamps, stream: VideoStream, path: str, timeout: float, may_reorder: bool
) -> Mapping[int, int | None]:
    """Display time by decoding time, or by packet number if decoding times are missing, too."""
    if not may_reorder:
        return {dts: dts for dts in stored.dts if dts is not None}
    if len(stored.dts) > _MOST_DECODED:
        reason = (
            f"it does not store all display times, and reorders its {len(stored.dts)} frames; only up to "
            f"{_MOST_DECODED} frames are decoded on opening to work the times out: {remedy(stream)}"
        )
        raise VideoError(reason, path=path, backend=NAME)
    container = open_container(path, timeout)
    try:
        fresh = pick_stream(container, path, stream.index)
        stamps = display_stamps(container, fresh, stored, Fraction(frame_units(stream)), path, NAME)
    finally:
        container.close()
    if not stored.decoding_times_only:
        return dict(enumerate(stamps))
    return {dts: stamp for dts, stamp in zip(stored.dts, stamps, strict=True) if dts is not None}


def _check_order(container: InputContainer, stream: VideoStream, path: str, first_dts: int) -> None:
    """Refuse a file whose first display times are actually decoding times."""
    rewind(container, stream, first_dts)
    stream.codec_context.flush_buffers()
    wrong = contradicts_decoder(container, stream, _SAMPLE)
    stream.codec_context.flush_buffers()
    if wrong:
        reason = (
            "its display times are wrong: frames come out of the decoder in another order (copied from a container "
            f"without display times?): {remedy(stream)}"
        )
        raise VideoError(reason, path=path, backend=NAME)


def _geometry(
    stream: VideoStream, frame: av.VideoFrame, path: str, options: ReadOptions
) -> tuple[Geometry, float, str | None]:
    """The geometry of frames, the sample aspect ratio, and the assumed YUV matrix, if any."""
    transposed, flip_rows, flip_columns = _orientation(frame, path)
    aspect = float(stream.sample_aspect_ratio or 1)
    if not 1 / 16 <= aspect <= 16:
        reason = f"a sample aspect ratio of {stream.sample_aspect_ratio} cannot be right"
        raise VideoError(reason, path=path, backend=NAME)
    stored = (frame.height, max(1, round(frame.width * aspect)))
    height, width = stored[::-1] if transposed else stored
    matrix: int | None = None
    assumed: str | None = None
    if frame.colorspace == UNSPECIFIED and not frame.format.is_rgb and len(frame.format.components) > 1:
        # The usual rule of players: high definition is BT.709, the rest BT.601 (FFmpeg's own assumption).
        high = frame.height > 576 or frame.width >= 1280
        assumed, matrix = ("bt709", 1) if high else ("bt601", None)
    field = None
    if options.deinterlace:
        # Bottom field first if the header says so: FFmpeg's AV_FIELD_BB, AV_FIELD_TB.
        field = "bottom" if stream.codec_context.field_order in (3, 4) else "top"
    return Geometry(height, width, transposed, flip_rows, flip_columns, matrix, field), aspect, assumed


def _orientation(frame: av.VideoFrame, path: str) -> tuple[bool, bool, bool]:
    """Whether the display matrix exchanges rows and columns, then flips rows, then flips columns."""
    side_data: Any = frame.side_data  # typed wrongly in PyAV
    if "DISPLAYMATRIX" not in side_data:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), dtype=np.int32)[:5].tolist()
    # A stored position (x, y) is shown at (a x + c y, b x + d y).
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    main, rest = ((b, c), (a, d)) if transposed else ((a, d), (b, c))
    if not all(main) or max(map(abs, rest)) > math.tan(math.radians(1)) * min(map(abs, main)):
        degrees = math.degrees(math.atan2(b, a))
        reason = f"is to be shown turned by {degrees:.0f} degrees: only quarter turns and mirroring are supported"
        raise VideoError(reason, path=path, backend=NAME)
    return (True, b < 0, c < 0) if transposed else (False, d < 0, a < 0)


def _first_frame(container: InputContainer, stream: VideoStream, path: str) -> tuple[int, int | None, av.VideoFrame]:
    """Decoding time of the first packet, its offset to the display time (if both are known), and the first frame."""
    first: tuple[int, int | None] | None = None
    for packet in container.demux(stream):
        if packet.size:
            if packet.pts is None and packet.dts is None and first is None:
                raw = container.format.name in ("h264", "hevc", "m4v", "mpegvideo", "obu", "ivf")
                kind = "is a raw stream: time stamps are missing" if raw else "time stamps are missing"
                hint = "wrap it into a container first (ffmpeg -i FILE -c copy FILE.mp4, for a raw stream with -r FPS)"
                raise VideoError(f"{kind}; {hint}", path=path, time=0.0, backend=NAME)
            if first is None and packet.dts is not None:
                first = (packet.dts, None if packet.pts is None else packet.pts - packet.dts)
            elif first is None and packet.pts is not None:
                first = (packet.pts, None)
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
    """End of the video according to the header; None if it does not describe the video stream itself."""
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
    """Time stamp of the end of the last packet, found by reading the end of the file."""
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
            end = None  # nothing readable from here on: try an earlier position
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


def _count_shown(stream: VideoStream) -> int | None:
    """Number of frames in an mp4's index, without those hidden by an edit list; None if unknown."""
    entries = stream.index_entries
    if not stream.frames or not len(entries):
        return None
    if len(entries) != stream.frames or entries[0].is_discard or entries[-1].is_discard:
        return sum(not entry.is_discard for entry in entries)
    return stream.frames


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
