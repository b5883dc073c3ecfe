"""Lossless copies of video streams into mp4 files with an index and correct time stamps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.video.paths import local_path
from vzgym.video.pyav_container import BROADCAST, NAME, frame_units, open_container, pick_stream, stored_stamps
from vzgym.video.timestamps import LONGEST_GAP, StoredStamps, display_stamps, doubtful_packets, fits_mp4

__all__ = ["remux"]

# Codecs whose packets without a displayed frame can be left out: leading pictures without references, placeholders. In
# # others they may be fields, or references.
_DROPPABLE = frozenset({"hevc", "mpeg4"})


def remux(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    timeout: float = 30.0,
    stream: int | None = None,
) -> Path:
    """Copy a video's stream into an mp4 with an index and correct time stamps.

    Makes MPEG-TS and Matroska without an index fast to read. Streams whose display times are missing, wrong, or restart
    within the file are decoded once to compute them; streams joined byte for byte follow each other without a gap. Only
    the video stream is copied. The target is written atomically; an existing file is never replaced.

    Args:
        path: The file.
        target: The mp4 to write; its folder must exist.
        timeout: Maximum seconds for one read of the file.
        stream: Index of the video stream; None: the one that FFmpeg selects.

    Returns:
        The path of the target.

    Raises:
        InvalidSetting: If the target is the source, exists already, or does not end in ".mp4".
        VideoError: If the file cannot be read, its time stamps cannot be computed, or mp4 does not support its codec.
    """
    source, goal = local_path(path), Path(target)
    if goal.suffix.lower() != ".mp4":
        raise InvalidSetting(f"the target of a remux must end in '.mp4', got {os.fspath(target)!r}")
    if goal.exists() and goal.resolve() == Path(source).resolve():
        raise InvalidSetting(f"the target of a remux must not be the source itself: {os.fspath(target)!r}")
    if goal.exists():
        raise InvalidSetting(
            f"the target of a remux is there already: {os.fspath(target)!r}; delete it, or choose another folder"
        )
    partial = goal.with_name(f".{goal.stem}.{os.getpid()}.part.mp4")
    container = open_container(source, timeout)
    try:
        chosen = pick_stream(container, source, stream)
        if not fits_mp4(chosen):
            name = chosen.codec_context.codec.canonical_name
            raise VideoError(f"mp4 cannot hold its codec ({name}): re-encode it", path=source, backend=NAME)
        stamps = _display_times(source, chosen, timeout)
        with av.open(f"file:{partial}", "w", options={"movflags": "faststart"}) as out:
            copy = out.add_stream_from_template(chosen)
            for packet in _stamped(container, chosen, stamps, source):
                packet.stream = copy
                out.mux(packet)
        partial.replace(goal)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"cannot be remuxed to mp4: {error}", path=source, backend=NAME) from error
    finally:
        container.close()
        partial.unlink(missing_ok=True)
    return goal


def _display_times(path: str, stream: VideoStream, timeout: float) -> list[int | None]:
    """Display time of each packet's frame, in decoding order; None for a packet to be left out."""
    stored = stored_stamps(path, stream.index, timeout)
    gap = Fraction(round(LONGEST_GAP / (stream.time_base or 1))) if stream.container.format.name in BROADCAST else None
    if _plausible(stored, stream, gap):
        return list(stored.pts)
    container = open_container(path, timeout)
    try:
        fresh = pick_stream(container, path, stream.index)
        step = Fraction(frame_units(stream))
        return display_stamps(container, fresh, stored, step, path, NAME, longest_gap=gap)
    finally:
        container.close()


def _plausible(stored: StoredStamps, stream: VideoStream, gap: Fraction | None) -> bool:
    """Whether a stream's stored display times can be used: complete, unique, reordered, on one clock.

    In doubtful cases the stream is decoded, which takes time but never yields a wrong time stamp.
    """
    pts = [stamp for stamp in stored.pts if stamp is not None]
    if len(pts) < len(stored.pts) or len(set(pts)) < len(pts):
        return False
    steps = [later - earlier for earlier, later in itertools.pairwise(sorted(pts))]
    back = [earlier - later for earlier, later in itertools.pairwise(pts) if later < earlier]
    reorders = bool(stream.codec_context.has_b_frames)
    if (reorders and not back) or doubtful_packets(pts, stored.keys, frame_units(stream), reorders=reorders):
        return False
    # Reordering moves a frame by a few frames at most; a second clock sets back all that follow.
    one_clock = max(back, default=0) <= 16 * max(steps, default=0) and not _restarts(stored)
    return one_clock and (gap is None or max(steps, default=0) <= gap)


def _restarts(stored: StoredStamps) -> bool:
    dts = [stamp for stamp in stored.dts if stamp is not None]
    return any(later < earlier for earlier, later in itertools.pairwise(dts))


def _stamped(
    container: InputContainer, stream: VideoStream, stamps: list[int | None], path: str
) -> Iterator[Packet[VideoStream]]:
    """The packets to write: displayed at `stamps`, from 0 on, with matching decoding times."""
    shown = sorted(stamp for stamp in stamps if stamp is not None)
    if not shown:
        raise VideoError("shows no frame", path=path, backend=NAME)
    in_order = [stamp for stamp in stamps if stamp is not None]
    lead = max(dts - pts for dts, pts in zip(shown, in_order, strict=True))
    packets = (packet for packet in container.demux(stream) if packet.size)
    lengths = sorted(later - earlier for earlier, later in itertools.pairwise(shown))
    usual = lengths[len(lengths) // 2] if lengths else frame_units(stream)
    codec = stream.codec_context.codec.canonical_name
    decoded = 0
    for packet, stamp in zip(packets, stamps, strict=True):
        if stamp is None:
            if codec not in _DROPPABLE:
                raise VideoError("some packets show no frame: re-encode it", path=path, backend=NAME)
            continue
        after = shown[decoded + 1] - shown[decoded] if decoded + 1 < len(shown) else usual
        packet.pts, packet.dts, packet.duration = stamp - shown[0], shown[decoded] - lead - shown[0], after
        decoded += 1
        yield packet
