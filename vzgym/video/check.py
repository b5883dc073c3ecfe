"""Checks of video files before use: their properties and faults."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import av
import numpy as np
from av.video.stream import VideoStream

from vzgym.core.errors import VideoError
from vzgym.video.decoder import Deadline, ReadOptions, RenderSpec, StreamInfo
from vzgym.video.paths import local_path
from vzgym.video.pyav_backend import PyAVDecoder
from vzgym.video.pyav_container import HIDES_FRAMES, frame_units, rewind
from vzgym.video.pyav_open import OpenFile, open_file
from vzgym.video.timestamps import REMUX, doubtful_packets, remedy

__all__ = ["VideoIssue", "VideoReport", "check"]

_SAMPLES = 16
# Most frames that are decoded, beside the samples, because their time stamps may be wrong.
_MOST_DECODED = 20_000


@dataclass(frozen=True, slots=True)
class VideoIssue:
    """A fault or drawback of a file.

    Attributes:
        level: "error": the file, or this part of it, cannot be used. "warning": it can be used, with a drawback.
        what: Description of the issue.
        time: Its position in seconds from the start of the video, if it has one.
    """

    level: Literal["error", "warning"]
    what: str
    time: float | None = None

    @property
    def remux_helps(self) -> bool:
        """Whether `remux` fixes it."""
        return REMUX in self.what


@dataclass(frozen=True, slots=True)
class VideoReport:
    """Result of checking a file.

    Attributes:
        path: The file.
        info: Properties of the video stream; None if the file cannot be opened.
        issues: Errors, then warnings.
        frames_checked: Frames that were decoded.
        full: Whether all frames were to be decoded.
    """

    path: str
    info: StreamInfo | None
    issues: tuple[VideoIssue, ...] = field(default=())
    frames_checked: int = 0
    full: bool = False

    @property
    def ok(self) -> bool:
        """Whether no error was found."""
        return not any(issue.level == "error" for issue in self.issues)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "path": self.path,
            "ok": self.ok,
            "info": None if self.info is None else asdict(self.info),
            "issues": [asdict(issue) for issue in self.issues],
            "frames_checked": self.frames_checked,
            "full": self.full,
        }


def check(
    path: str | os.PathLike[str],
    *,
    full: bool = False,
    timeout: float = 30.0,
    stream: int | None = None,
) -> VideoReport:
    """Check a video file.

    Opening it shows whether it is a video and whether it is complete. Then the time stamps of all packets are read, and
    frames are decoded: at 16 positions spread over the file, and wherever the time stamps may not agree with the
    order in which the decoder returns the frames; or, with `full`, all of them. Wrong time stamps are found in either
    case, damage between the positions only with `full`.

    Args:
        path: The file.
        full: Decode every frame. Finds all damage that a decoder can detect; takes as long as decoding the file.
        timeout: Maximum seconds without a decoded frame.
        stream: Index of the video stream; None: the one that FFmpeg chooses.

    Returns:
        The report. A file that is not a video yields a report with an error, not an exception.
    """
    name = os.fspath(path)
    options = ReadOptions(stream)
    try:
        file = open_file(local_path(path), 1, timeout, options)
    except VideoError as error:
        return VideoReport(name, None, (VideoIssue("error", error.reason, error.time),), full=full)
    try:
        decoded = _decode(file) if full else _decode_parts(file, local_path(path), timeout, options)
        return VideoReport(name, file.facts.info, (*decoded.issues, *_warnings(file)), decoded.frames, full)
    finally:
        file.container.close()


@dataclass(slots=True)
class _Decoded:
    """Result of decoding."""

    issues: list[VideoIssue] = field(default_factory=list)
    frames: int = 0


def _warnings(file: OpenFile) -> list[VideoIssue]:
    """Drawbacks of the file."""
    info = file.facts.info
    advice = remedy(file.stream)
    found = []
    if "mpegts" in info.container:
        found.append(f"MPEG-TS: seeking is slow, decord and torchcodec refuse it; {advice}")
    elif "matroska" in info.container and info.key_distance is None:
        found.append(f"Matroska without an index: seeking reads the whole file; {advice}")
    elif file.facts.sequential:
        found.append(f"display times of some frames are missing ({info.container}): read from the start only; {advice}")
    elif info.key_distance is None:
        found.append(f"no index of key frames in this format ({info.container}); {advice}")
    elif info.key_distance > 20:
        found.append(
            f"key frames are {info.key_distance:.0f} s apart on average, which makes each read slow: re-encode it"
        )
    if info.video_streams > 1:
        found.append(f"holds {info.video_streams} video streams: stream {info.stream} is read (stream=N reads another)")
    if info.interlaced:
        found.append("interlaced: frames mix two moments; deinterlace=True shows one field")
    return [VideoIssue("warning", what) for what in found]


def _decode_parts(file: OpenFile, path: str, timeout: float, options: ReadOptions) -> _Decoded:
    """Read all packets, and decode what may have wrong time stamps and frames at positions spread over the file."""
    found = _Decoded()
    try:
        doubtful = _doubtful_packets(file)
    except av.FFmpegError as error:
        doubtful = []
        found.issues.append(VideoIssue("error", f"cannot be read on: {error.strerror}"))
    if sum(len(part) for part in doubtful) > _MOST_DECODED:
        what = (
            f"the time stamps of {sum(map(len, doubtful))} frames show no reordering, though others do: whether they "
            "are right is known only once they are decoded; check --full does so"
        )
        found.issues.append(VideoIssue("warning", what))
    elif doubtful:
        found = _decode(file, doubtful)
    decoder = PyAVDecoder(path, timeout=timeout, options=options)
    info = file.facts.info
    try:
        for time in np.linspace(0.0, np.nextafter(info.duration, 0), _SAMPLES):
            moment = max(float(time), info.first)
            try:
                for _ in decoder.read_frames(np.array([moment]), RenderSpec(), None, Deadline(timeout, path, "pyav")):
                    pass
            except VideoError as error:
                found.issues.append(VideoIssue("error", error.reason, error.time))
        found.frames += decoder.decoded
    finally:
        decoder.close()
    return found


def _doubtful_packets(file: OpenFile) -> list[range]:
    """Packets to decode because their time stamps may be wrong; none if the times were computed by decoding."""
    if file.facts.display_times is not None:
        return []
    rewind(file.container, file.stream, file.facts.first_dts)
    packets = [(packet.pts, packet.is_keyframe) for packet in file.container.demux(file.stream) if packet.size]
    return doubtful_packets(
        [pts for pts, _ in packets],
        [number for number, (_, is_key) in enumerate(packets) if is_key],
        frame_units(file.stream),
        reorders=bool(file.stream.codec_context.has_b_frames),
    )


def _decode(file: OpenFile, parts: Sequence[range] | None = None) -> _Decoded:
    """Decode frames in order, continuing after damage: those of some ranges of packets, or all."""
    found = _Decoded()
    facts, codec = file.facts, file.stream.codec_context
    wrong: Counter[str] = Counter()
    first: dict[str, float] = {}
    expected: set[int] = set()
    last: int | None = None
    # Not judged: frames shown before this one. Decoding cannot start cleanly at some key frames (open groups of
    # pictures), so that it starts at the one before.
    origin = -math.inf

    def note(what: str, pts: int | None) -> None:
        at = float(((pts if pts is not None else facts.start) - facts.start) * facts.base)
        wrong[what] += 1
        first[what] = min(first.get(what, at), at)

    def decode(packet: av.Packet[VideoStream] | None) -> None:
        nonlocal last
        try:
            frames = codec.decode(packet)
        except av.FFmpegError as error:
            pts = None if packet is None else packet.pts
            if origin < (math.inf if pts is None else pts + 1):
                note(f"frame that does not decode ({error.strerror})", pts)
            return
        for frame in frames:
            found.frames += 1
            if frame.pts is not None and frame.pts < origin:
                continue
            if frame.pts is None:
                note("frame without a time stamp", last)
                continue
            expected.discard(frame.pts)
            if frame.is_corrupt:
                note("damaged frame", frame.pts)
            if last is not None and frame.pts < last:
                note("frame out of the order of the time stamps, which are wrong", frame.pts)
            last = frame.pts

    try:
        rewind(file.container, file.stream, facts.first_dts)
        wanted = None if parts is None else set(itertools.chain.from_iterable(parts))
        depth = 0
        inside = False
        for number, packet in enumerate(packet for packet in file.container.demux(file.stream) if packet.size):
            pts = facts.stamp(packet, number)
            if packet.is_corrupt:
                note("packet marked as corrupt", pts)
            was_inside, inside = inside, wanted is None or number in wanted
            if was_inside and not inside:
                decode(None)
                codec.flush_buffers()
                last = None
            if inside:
                if not was_inside and number:
                    origin = math.inf
                    if depth:
                        # After a flush, FFmpeg estimates the frame reordering again; too low an estimate drops frames.
                        codec.reorder_depth = depth
                elif origin == math.inf and packet.is_keyframe and pts is not None:
                    origin = pts
                if pts is not None and not packet.is_discard and pts >= origin:
                    expected.add(pts)
                decode(packet)
                depth = max(depth, codec.reorder_depth)
        if inside:
            decode(None)
        if expected and not wrong and codec.name not in HIDES_FRAMES:
            wrong["frame that never came out of the decoder"] = len(expected)
            first["frame that never came out of the decoder"] = float((min(expected) - facts.start) * facts.base)
    except av.FFmpegError as error:
        found.issues.append(VideoIssue("error", f"cannot be read on: {error.strerror}"))
    for what, count in wrong.items():
        found.issues.append(VideoIssue("error", f"{what}: {count} in all, the first here", first[what]))
    return found
