"""Checking video files before they are used: what they are, and what is wrong with them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.video.decoder import StreamInfo, View, Watch
from vzgym.video.pyav_backend import PyAVDecoder
from vzgym.video.pyav_open import frame_units, open_container, open_file, pick_stream

__all__ = ["Finding", "Report", "check", "remux"]

_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """Something noticed about a file.

    Attributes:
        level: "error": it cannot be used, or not at this place. "warning": it can, with the drawback named.
        what: What was noticed, in words.
        time: Where, in seconds from the start of the video, if it has a place.
    """

    level: Literal["error", "warning"]
    what: str
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a file.

    Attributes:
        path: The file.
        info: What the file says of itself; None if it cannot be opened.
        findings: What is wrong or worth knowing, errors first.
        frames_checked: Frames that were decoded.
    """

    path: str
    info: StreamInfo | None
    findings: tuple[Finding, ...] = field(default=())
    frames_checked: int = 0

    @property
    def ok(self) -> bool:
        """Whether no error was found."""
        return not any(finding.level == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All of it, as in JSON."""
        return {
            "path": self.path,
            "ok": self.ok,
            "info": None if self.info is None else asdict(self.info),
            "findings": [asdict(finding) for finding in self.findings],
            "frames_checked": self.frames_checked,
        }


def check(path: str | os.PathLike[str], *, full: bool = False, timeout: float = 30.0) -> Report:
    """Examine a video file.

    Opening it shows whether it is a video at all and whether its end is there. Then frames are decoded: at 16 places
    spread over the file, or, with `full`, all of them.

    Args:
        path: The file.
        full: Decode every frame. Finds every damage that a decoder can see; takes as long as decoding does.
        timeout: Seconds that may go by without a frame.

    Returns:
        The report. A file that is no video gives a report with an error, not an exception.
    """
    name = os.fspath(path)
    try:
        decoder = PyAVDecoder(name, threads=1, timeout=timeout)
    except VideoError as error:
        return Report(name, None, (Finding("error", error.reason, error.time),))
    try:
        findings = _warnings(decoder.info)
        damage = _decode_all(name, timeout) if full else _decode_samples(decoder, timeout)
        checked = damage.frames if full else decoder.decoded
        return Report(name, decoder.info, (*damage.findings, *findings), checked)
    finally:
        decoder.close()


@dataclass(slots=True)
class _Damage:
    findings: list[Finding] = field(default_factory=list)
    frames: int = 0


def _warnings(info: StreamInfo) -> list[Finding]:
    """Drawbacks that the container has."""
    found = []
    if "mpegts" in info.container:
        found.append(Finding("warning", "MPEG-TS: seeking is slow, decord and torchcodec refuse it; remux to mp4"))
    elif "matroska" in info.container and info.key_distance is None:
        found.append(Finding("warning", "Matroska without an index: seeking reads the file through; remux to mp4"))
    elif info.key_distance is None:
        found.append(Finding("warning", f"no index of key frames in this format ({info.container}); remux to mp4"))
    elif info.key_distance > 20:
        what = f"key frames lie {info.key_distance:.0f} s apart on average: each look decodes far; encode anew"
        found.append(Finding("warning", what))
    return found


def _decode_samples(decoder: PyAVDecoder, timeout: float) -> _Damage:
    """Decode frames at places spread over the file."""
    damage = _Damage()
    last = np.nextafter(decoder.info.duration, 0)
    for time in np.linspace(0.0, last, _SAMPLES):
        moment = max(float(time), decoder.info.first)
        watch = Watch(timeout, decoder.path, "pyav")
        try:
            for _ in decoder.pictures(np.array([moment]), View(), None, watch):
                damage.frames += 1
        except VideoError as error:
            damage.findings.append(Finding("error", error.reason, error.time))
    return damage


def _decode_all(path: str, timeout: float) -> _Damage:
    """Decode every frame in order, and go on after damage."""
    damage = _Damage()
    file = open_file(path, 1, timeout)
    codec = file.stream.codec_context
    wrong: Counter[str] = Counter()
    first: dict[str, float] = {}

    def note(what: str, pts: int | None) -> None:
        at = float(((pts if pts is not None else file.facts.start) - file.facts.start) * file.facts.base)
        wrong[what] += 1
        first[what] = min(first.get(what, at), at)

    try:
        file.container.seek(file.facts.first_dts, stream=file.stream, backward=True)
        expected: set[int] = set()
        for packet in file.container.demux(file.stream):
            if packet.size:
                if packet.pts is None:
                    note("time stamp missing", None)
                elif not packet.is_discard:
                    expected.add(packet.pts)
                if packet.is_corrupt:
                    note("packet marked as corrupt", packet.pts)
            try:
                frames = codec.decode(packet if packet.size else None)
            except av.FFmpegError as error:
                note(f"frame that does not decode ({error.strerror})", packet.pts)
                continue
            for frame in frames:
                damage.frames += 1
                expected.discard(frame.pts if frame.pts is not None else -1)
                if frame.is_corrupt:
                    note("damaged frame", frame.pts)
        if expected and not wrong and codec.name not in ("vp8", "libvpx"):
            wrong["frame that never came out of the decoder"] = len(expected)
            first["frame that never came out of the decoder"] = float(
                (min(expected) - file.facts.start) * file.facts.base
            )
    except av.FFmpegError as error:
        damage.findings.append(Finding("error", f"cannot be read on: {error.strerror}"))
    finally:
        file.container.close()
    for what, count in wrong.items():
        damage.findings.append(Finding("error", f"{what}: {count} in all, the first here", first[what]))
    return damage


def remux(path: str | os.PathLike[str], target: str | os.PathLike[str], *, timeout: float = 30.0) -> Path:
    """Copy a video's stream into an mp4 with an index, without decoding: MPEG-TS and index-less Matroska become fast.

    Only the video stream is copied. The target is written beside itself first and appears when it is whole. A file
    that is there already is never replaced.

    Args:
        path: The file.
        target: The mp4 to write; its folder must be there.
        timeout: Seconds that one reading of the file may take.

    Returns:
        The path of the target.

    Raises:
        InvalidSetting: If the target is the source itself, is there already, or does not end in ".mp4".
        VideoError: If the file cannot be read, or mp4 cannot hold its codec.
    """
    source, goal = Path(path), Path(target)
    if goal.suffix.lower() != ".mp4":
        raise InvalidSetting(f"the target of a remux must end in '.mp4', got {os.fspath(target)!r}")
    if goal.exists() and goal.resolve() == source.resolve():
        raise InvalidSetting(f"the target of a remux must not be the source itself: {os.fspath(target)!r}")
    if goal.exists():
        raise InvalidSetting(
            f"the target of a remux is there already: {os.fspath(target)!r}; delete it, or choose another folder"
        )
    partial = goal.with_name(f".{goal.stem}.{os.getpid()}.part.mp4")
    container = open_container(os.fspath(path), timeout)
    try:
        stream = pick_stream(container, os.fspath(path))
        with av.open(str(partial), "w", options={"movflags": "faststart"}) as out:
            copy = out.add_stream_from_template(stream)
            zero: int | None = None
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                if packet.pts is None:
                    raise VideoError("time stamps are missing", path=path, backend="pyav")
                zero = packet.pts if zero is None else zero
                packet.pts -= zero
                if packet.dts is not None:
                    packet.dts -= zero
                packet.duration = packet.duration or frame_units(stream)  # or the last frame would have none
                packet.stream = copy
                out.mux(packet)
        partial.replace(goal)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"cannot be remuxed to mp4: {error}", path=path, backend="pyav") from error
    finally:
        container.close()
        partial.unlink(missing_ok=True)
    return goal
