"""Detection and reconstruction of missing or wrong time stamps.

Display times are needed to find a frame by time. Some containers store decoding times only (AVI, ASF), or times of
some frames only (MPEG-PS), and FFmpeg guesses the rest. The guess is wrong if frames are reordered. Copying such a
stream into another container (`ffmpeg -c copy`) stores the guess. In streams joined byte for byte the times restart.
Only the order in which the decoder returns the frames is reliable: `display_stamps` decodes the stream once and puts
the times into that order.
"""

from __future__ import annotations

import bisect
import functools
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vzgym.core.errors import VideoError

__all__ = [
    "DEEPEST_REORDER",
    "LONGEST_GAP",
    "REMUX",
    "StoredStamps",
    "check_clock",
    "contradicts_decoder",
    "display_stamps",
    "doubtful_packets",
    "fits_mp4",
    "read_stored",
    "remedy",
]

REMUX = "remux it to mp4 (vzgym videos check --remux FOLDER)"
"""Advice for a file that `remux` can repair."""

# A longer gap between packets of a stream format (MPEG-TS, MPEG-PS) is a new clock, not a pause: FFmpeg's own rule.
LONGEST_GAP = 10.0
# No codec reorders frames over a longer distance.
DEEPEST_REORDER = 16
# Ascending display times over so many packets mean that no frame is reordered there.
_LONG_RUN = DEEPEST_REORDER + 2
# A group of pictures with fewer packets has no room for reordered frames.
_SHORTEST_GROUP = 3


@dataclass(frozen=True, slots=True)
class StoredStamps:
    """Time stamps as stored in the container, in decoding order; None where missing.

    Attributes:
        pts: Display time of each packet's frame.
        dts: Decoding time of each packet.
        keys: Numbers of the key frames' packets.
    """

    pts: tuple[int | None, ...]
    dts: tuple[int | None, ...]
    keys: tuple[int, ...] = ()

    @property
    def decoding_times_only(self) -> bool:
        """Whether no display time is stored at all."""
        return all(pts is None for pts in self.pts) and all(dts is not None for dts in self.dts)

    @property
    def incomplete(self) -> bool:
        """Whether a display time is missing."""
        return any(pts is None for pts in self.pts)


@functools.cache
def _mp4_codecs() -> frozenset[str]:
    with av.open(io.BytesIO(), "w", format="mp4") as out:
        return frozenset(out.supported_codecs)


def fits_mp4(stream: VideoStream) -> bool:
    """Whether mp4 supports a stream's codec."""
    return stream.codec_context.codec.canonical_name in _mp4_codecs()


def remedy(stream: VideoStream) -> str:
    """Advice for a stream with missing or wrong time stamps, or without an index."""
    return REMUX if fits_mp4(stream) else "encode it as mp4"


def read_stored(container: InputContainer, stream: VideoStream) -> StoredStamps:
    """Read the time stamps of all packets. The container must have been opened with `fflags=nofillin`.

    Raises:
        av.FFmpegError: If the file cannot be read.
    """
    packets = [(packet.pts, packet.dts, packet.is_keyframe) for packet in container.demux(stream) if packet.size]
    keys = tuple(number for number, packet in enumerate(packets) if packet[2])
    return StoredStamps(tuple(packet[0] for packet in packets), tuple(packet[1] for packet in packets), keys)


def check_clock(stored: StoredStamps, stream: VideoStream, step: int, path: str, backend: str, *, gaps: bool) -> None:
    """Refuse a stream whose times run backwards, or (`gaps`) jump ahead: several streams in one file.

    Args:
        stored: The stored time stamps.
        stream: The stream.
        step: Length of one frame, in units.
        path: For errors.
        backend: For errors.
        gaps: Whether a jump ahead by more than 10 s counts as a new clock, too.

    Raises:
        VideoError: If they do; names the position.
    """
    base = stream.time_base or Fraction(1, av.time_base)
    use_dts = any(dts is not None for dts in stored.dts)
    # Display times of reordered frames go back and forth within a few frames.
    slack = 0 if use_dts else DEEPEST_REORDER * step
    source = stored.dts if use_dts else stored.pts
    times = [stamp for stamp in source if stamp is not None]
    reach = times[0] if times else 0
    for time in times:
        if time < reach - slack or (gaps and (time - reach) * base > LONGEST_GAP):
            jump = float((time - reach) * base)
            what = f"run backwards by {-jump:.1f} s" if jump < 0 else f"jump ahead by {jump:.1f} s"
            reason = f"its time stamps {what} (streams joined byte for byte?): {remedy(stream)}"
            raise VideoError(reason, path=path, time=float((reach - times[0]) * base), backend=backend)
        reach = max(reach, time)


def contradicts_decoder(container: InputContainer, stream: VideoStream, packets: int) -> bool:
    """Whether the first packets' display times are in decoding order, but the decoder returns their frames in another.

    Decodes only if the display times show no reordering. The container must be at its beginning; its decoder is
    flushed.

    Raises:
        av.FFmpegError: If the file cannot be read or decoded.
    """
    read = []
    latest: int | None = None
    for packet in itertools.islice(container.demux(stream), packets):
        if packet.pts is None or not packet.size:
            continue
        if latest is not None and packet.pts < latest:
            return False
        latest = packet.pts
        read.append(packet)
    codec = stream.codec_context
    return _has_descent([frame.pts for packet in [*read, None] for frame in codec.decode(packet)])


def doubtful_packets(
    stamps: Sequence[int | None], keys: Sequence[int], step: int, *, reorders: bool = False
) -> list[range]:
    """Packets whose display times may be wrong, judged without decoding.

    In a stream with reordered frames, a long run of packets with ascending display times either has none or stores
    decoding times. A step back by more frames than a codec can reorder is a new clock. Only the decoder's output tells.

    Args:
        stamps: Display time of each packet, in decoding order.
        keys: Numbers of the key frames' packets, ascending.
        step: Length of one frame, in units.
        reorders: Whether the decoder reorders frames, according to the header.

    Returns:
        Ranges of packet numbers, ascending and disjoint. Each begins with the second last key frame before the packets
        in doubt, or with the first packet.
    """
    count = len(stamps)
    known = [stamp if stamp is not None else -math.inf for stamp in stamps]
    back = [place for place in range(1, count) if known[place] < known[place - 1]]
    if not back and not reorders:
        return []
    found: list[tuple[int, int]] = []
    runs = itertools.pairwise([0, *back, count])
    found.extend((start, stop) for start, stop in runs if stop - start >= _LONG_RUN)
    edges = sorted({*keys, count})
    for start, stop in itertools.pairwise(edges):
        place = bisect.bisect_right(back, start)
        if stop - start >= _SHORTEST_GROUP and (place == len(back) or back[place] >= stop):
            found.append((start, stop))
    reach = -math.inf
    for place, stamp in enumerate(known):
        if stamp != -math.inf and stamp < reach - DEEPEST_REORDER * step and step > 0:
            found.append((place - 1, place + 1))
        reach = max(reach, stamp)
    parts: list[range] = []
    for start, stop in sorted(found):
        before = bisect.bisect_right(keys, start)
        start = keys[before - 2] if before > 1 else 0
        if parts and start <= parts[-1].stop:
            parts[-1] = range(parts[-1].start, max(stop, parts[-1].stop))
        else:
            parts.append(range(start, stop))
    return parts


def _has_descent(stamps: Sequence[int | None]) -> bool:
    known = [stamp for stamp in stamps if stamp is not None]
    return any(later < earlier for earlier, later in itertools.pairwise(known))


def display_stamps(
    container: InputContainer,
    stream: VideoStream,
    stored: StoredStamps,
    step: Fraction,
    path: str,
    backend: str,
    longest_gap: Fraction | None = None,
) -> list[int | None]:
    """Compute the display time of each packet's frame by decoding the whole stream once.

    If the container stores no display times, or copies of the decoding times, the n-th decoded frame gets the n-th
    decoding time. If it stores some, the others are placed evenly between them, one frame apart; they must fit. If
    times run backwards from one frame to the next, a new stream begins, which is placed one frame later.

    Args:
        container: The file, at its beginning.
        stream: The stream; its decoder cannot be used afterwards.
        stored: What the container stores.
        step: Length of one frame, in the stream's units.
        path: For errors.
        backend: For errors.
        longest_gap: In units: frames farther apart belong to two clocks.

    Returns:
        For each packet the time stamp of its frame; None for a packet without a displayed frame.

    Raises:
        VideoError: If the stream cannot be decoded, or its times cannot be computed.
    """
    order = _output_order(container, stream, path, backend)
    if len(set(order)) < len(order):
        raise VideoError("one packet gives several frames: re-encode it", path=path, backend=backend)
    known = [stored.pts[packet] for packet in order]
    dts = [stored.dts[packet] for packet in order]
    ascending = [pts for pts in stored.pts if pts is not None]
    copied = not _has_descent(ascending)
    shuffled = order != sorted(order)
    if not ascending or (copied and shuffled and len(ascending) == len(stored.pts)):
        if any(stamp is None for stamp in dts):
            raise VideoError("it stores neither display nor decoding times: re-encode it", path=path, backend=backend)
        stamps = sorted(stamp for stamp in dts if stamp is not None)
    else:
        stamps = _fill(known, step, longest_gap, path, backend)
    found: list[int | None] = [None] * len(stored.pts)
    for packet, stamp in zip(order, stamps, strict=True):
        found[packet] = stamp
    return found


def _output_order(container: InputContainer, stream: VideoStream, path: str, backend: str) -> list[int]:
    """Numbers of the packets (in decoding order) whose frames the decoder returns, in display order."""
    codec = stream.codec_context
    order: list[int] = []
    number = 0
    for packet in container.demux(stream):
        at = packet.pts if packet.pts is not None else packet.dts
        if packet.size:
            # The decoder copies a packet's stamp to its frame, whatever it is.
            packet.pts = packet.dts = number
            number += 1
        try:
            frames = codec.decode(packet if packet.size else None)
        except av.FFmpegError as error:
            time = None if at is None else float(at * packet.time_base)
            reason = f"its time stamps cannot be worked out, since a frame cannot be decoded: {error.strerror}"
            raise VideoError(reason, path=path, time=time, backend=backend) from error
        order.extend(frame.pts for frame in frames if frame.pts is not None)
    return order


def _fill(
    known: Sequence[int | None], step: Fraction, longest_gap: Fraction | None, path: str, backend: str
) -> list[int]:
    """Time stamps in display order: the known ones, with later clocks shifted, and even steps between them."""
    anchors = [(place, stamp) for place, stamp in enumerate(known) if stamp is not None]
    if not anchors or step <= 0:
        raise VideoError("its time stamps cannot be worked out: re-encode it", path=path, backend=backend)
    place, stamp = anchors[0]
    stamps = [stamp - round((place - n) * step) for n in range(place)]
    offset = 0
    for (place, stamp), following in itertools.zip_longest(anchors, anchors[1:]):
        start = stamp + offset
        count = (following[0] if following else len(known)) - place
        stamps.extend(start + round(n * step) for n in range(count))
        if following is None:
            break
        expected = start + round(count * step)
        found = following[1] + offset
        if start - DEEPEST_REORDER * step < found <= start:
            reason = "its time stamps are out of order by a few frames, some of them guessed: re-encode it"
            raise VideoError(reason, path=path, backend=backend)
        if found <= start or (longest_gap is not None and found - expected > longest_gap):
            offset = expected - following[1]
        elif count > 1 and abs(found - expected) > max(2, step / 10):
            reason = "its frames are not evenly spaced and some carry no time stamp: re-encode it"
            raise VideoError(reason, path=path, backend=backend)
    return stamps
