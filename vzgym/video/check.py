"""Checks of video files before use: their properties and faults."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import av
import numpy as np

from vzgym.core.errors import VideoError
from vzgym.video.decoder import AS_STORED, Deadline, ReadOptions, RenderSpec, StreamInfo
from vzgym.video.paths import local_path
from vzgym.video.pyav_backend import PyAVDecoder
from vzgym.video.pyav_open import HIDES_FRAMES, OpenFile, open_file, rewind
from vzgym.video.timestamps import REMUX, remedy

__all__ = ["VideoIssue", "VideoReport", "check"]

_SAMPLES = 16


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
    """

    path: str
    info: StreamInfo | None
    issues: tuple[VideoIssue, ...] = field(default=())
    frames_checked: int = 0

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
        }


def check(
    path: str | os.PathLike[str], *, full: bool = False, timeout: float = 30.0, stream: int | None = None
) -> VideoReport:
    """Check a video file.

    Opening it shows whether it is a video, whether it is complete, and whether its time stamps are reliable. Then
    frames are decoded: at 16 positions spread over the file, or, with `full`, all of them.

    Args:
        path: The file.
        full: Decode every frame. Finds all damage that a decoder can detect; takes as long as decoding the file.
        timeout: Maximum seconds without a decoded frame.
        stream: Index of the video stream; None: the one that FFmpeg chooses.

    Returns:
        The report. A file that is not a video yields a report with an error, not an exception.
    """
    name = os.fspath(path)
    options = AS_STORED if stream is None else ReadOptions(stream)
    try:
        file = open_file(local_path(path), 1, timeout, options)
    except VideoError as error:
        return VideoReport(name, None, (VideoIssue("error", error.reason, error.time),))
    try:
        decoded = _decode_all(file) if full else _decode_samples(local_path(path), file.facts.info, timeout, options)
        return VideoReport(name, file.facts.info, (*decoded.issues, *_warnings(file)), decoded.frames)
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


def _decode_samples(path: str, info: StreamInfo, timeout: float, options: ReadOptions) -> _Decoded:
    """Decode frames at positions spread over the file."""
    found = _Decoded()
    decoder = PyAVDecoder(path, timeout=timeout, options=options)
    try:
        for time in np.linspace(0.0, np.nextafter(info.duration, 0), _SAMPLES):
            moment = max(float(time), info.first)
            try:
                for _ in decoder.read_frames(np.array([moment]), RenderSpec(), None, Deadline(timeout, path, "pyav")):
                    found.frames += 1
            except VideoError as error:
                found.issues.append(VideoIssue("error", error.reason, error.time))
        found.frames = decoder.decoded
    finally:
        decoder.close()
    return found


def _decode_all(file: OpenFile) -> _Decoded:
    """Decode every frame in order, continuing after damage."""
    found = _Decoded()
    facts, codec = file.facts, file.stream.codec_context
    wrong: Counter[str] = Counter()
    first: dict[str, float] = {}

    def note(what: str, pts: int | None) -> None:
        at = float(((pts if pts is not None else facts.start) - facts.start) * facts.base)
        wrong[what] += 1
        first[what] = min(first.get(what, at), at)

    try:
        rewind(file.container, file.stream, facts.first_dts)
        expected: set[int] = set()
        last: int | None = None
        number = 0
        for packet in file.container.demux(file.stream):
            if packet.size:
                pts = facts.stamp(packet, number)
                number += 1
                if pts is not None and not packet.is_discard:
                    expected.add(pts)
                if packet.is_corrupt:
                    note("packet marked as corrupt", pts)
            try:
                frames = codec.decode(packet if packet.size else None)
            except av.FFmpegError as error:
                note(f"frame that does not decode ({error.strerror})", packet.pts)
                continue
            for frame in frames:
                found.frames += 1
                if frame.pts is None:
                    note("frame without a time stamp", last)
                    continue
                expected.discard(frame.pts)
                if frame.is_corrupt:
                    note("damaged frame", frame.pts)
                if last is not None and frame.pts < last:
                    note("frame out of the order of the time stamps, which are wrong", frame.pts)
                last = frame.pts
        if expected and not wrong and codec.name not in HIDES_FRAMES:
            wrong["frame that never came out of the decoder"] = len(expected)
            first["frame that never came out of the decoder"] = float((min(expected) - facts.start) * facts.base)
    except av.FFmpegError as error:
        found.issues.append(VideoIssue("error", f"cannot be read on: {error.strerror}"))
    for what, count in wrong.items():
        found.issues.append(VideoIssue("error", f"{what}: {count} in all, the first here", first[what]))
    return found
