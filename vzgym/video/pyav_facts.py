"""What a video file is: its length, frames, key frames and display times, found by examining it through PyAV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from vzgym.core.errors import VideoError
from vzgym.video.decoder import ReadOptions, StreamInfo
from vzgym.video.pyav_container import (
    BASE,
    BROADCAST,
    HIDES_FRAMES,
    NAME,
    frame_units,
    key_times,
    moving_streams,
    open_container,
    pick_stream,
    rewind,
    stored_stamps,
)
from vzgym.video.scale import UNSPECIFIED, Geometry
from vzgym.video.timestamps import (
    StoredStamps,
    check_clock,
    contradicts_decoder,
    display_stamps,
    remedy,
)

__all__ = ["FileFacts", "examine"]

# A header's duration may include the audio, or be rounded: only a longer gap means that frames are missing.
_MISSING = 1.0
# Number of packets examined to find out whether a stream reorders frames.
_SAMPLE = 64
# The longest stream, in frames, that is decoded on opening to compute its display times.
_MOST_DECODED = 10_000


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


def examine(
    container: InputContainer, stream: VideoStream, path: str, timeout: float, options: ReadOptions
) -> FileFacts:
    """Examine the first frame and the last packets; seeking there makes FFmpeg read a Matroska file's index.

    Raises:
        VideoError: If time stamps are missing or wrong, or the file is truncated or cannot be decoded.
        av.FFmpegError: If it cannot be read.
    """
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
        # Only reading the whole file shows what the container stores. (Matroska stores display times only, unless it
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
        video_streams=len(moving_streams(container)),
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
    base = stream.time_base or BASE
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
    base = stream.time_base or BASE
    if declared is None:
        length = container.duration * BASE if container.duration else Fraction(0)
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


def _check_complete(
    container: InputContainer, stream: VideoStream, path: str, start: int, end: int, declared: int | None
) -> None:
    base = stream.time_base or BASE
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
