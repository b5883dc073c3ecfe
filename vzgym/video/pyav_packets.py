"""Reading the packets of an open file slightly ahead of the decoder."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.packet import Packet
from av.video.stream import VideoStream

from vzgym.core.errors import VideoError
from vzgym.video.decoder import Deadline
from vzgym.video.pyav_container import NAME, rewind
from vzgym.video.pyav_open import OpenFile
from vzgym.video.timestamps import DEEPEST_REORDER

__all__ = ["PacketReader", "TimedPacket"]

# Without a key frame index: the longest gap, in seconds, that is read rather than skipped by a seek.
_BLIND_GAP = 4.0


@dataclass(frozen=True, slots=True)
class TimedPacket:
    """A packet with known time stamps.

    Attributes:
        pts: Display time of its frame, in the stream's units; None if it has none.
        dts: Decoding time; None if the file does not store it (Matroska, the first packets).
        packet: The packet.
    """

    pts: int | None
    dts: int | None
    packet: Packet[VideoStream]


class PacketReader:
    """Reads packets and finds from them when each frame is shown before it is decoded.

    Packets are stored in decoding order. No later packet can be shown before the decoding time of the last one read
    (less `FileFacts.lead`), so reading a few packets ahead shows the display order with certainty.

    Args:
        file: The open file. Only this object may read it afterwards.
        path: For errors.
    """

    def __init__(self, file: OpenFile, path: str) -> None:
        self.file = file
        self.path = path
        self._numerator, self._denominator = file.facts.base.as_integer_ratio()
        self.origin = 0
        """Time stamp of the key frame at which reading began."""
        self.at_start = False
        """Whether that key frame is the file's first."""
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._ahead: deque[TimedPacket] = deque()
        self._shown: list[int] = []  # time stamps of frames to be shown, ascending
        self._reach: int | None = None  # no unread frame is shown before this
        self._number = 0  # packets read since the last seek
        self._ended = True

    def seconds(self, pts: int) -> float:
        """A time stamp as seconds from the start of the video."""
        return (pts - self.file.facts.start) * self._numerator / self._denominator

    def error(self, reason: str, pts: int | None = None) -> VideoError:
        """A `VideoError` for this file at a time stamp."""
        return VideoError(reason, path=self.path, time=None if pts is None else self.seconds(pts), backend=NAME)

    def next(self) -> TimedPacket | None:
        """The next packet in decoding order; None at the end of the file."""
        if not self._ahead and not self._pull():
            return None
        return self._ahead.popleft()

    def end_of(self, pts: int) -> int | None:
        """Time stamp of the frame shown after the one at `pts`; None if it is the last."""
        while True:
            place = bisect.bisect_right(self._shown, pts)
            if place < len(self._shown) and self._reach is not None and self._shown[place] <= self._reach:
                return self._shown[place]
            if not self._pull():
                return self._shown[place] if place < len(self._shown) else None

    def forget_before(self, pts: int) -> None:
        """Discard information about frames before `pts`."""
        del self._shown[: bisect.bisect_left(self._shown, pts)]

    def shown_between(self, start: int, end: int) -> list[int]:
        """Time stamps of the frames known to be shown in `[start, end]`, ascending."""
        return self._shown[bisect.bisect_left(self._shown, start) : bisect.bisect_right(self._shown, end)]

    def next_key(self, pts: int) -> int | None:
        """Time stamp of the first key frame after `pts`, if the file's index contains it."""
        place = bisect.bisect_right(self.file.facts.keys, pts)
        return self.file.facts.keys[place] if place < len(self.file.facts.keys) else None

    def jump_helps(self, pts: int, target: int) -> bool:
        """Whether a key frame lies after `pts` and at or before `target`, as far as is known."""
        if self.file.facts.sequential:
            return False
        if self.file.facts.keys:
            key = self.next_key(pts)
            return key is not None and key <= target
        return (target - pts) * self.file.facts.base > _BLIND_GAP

    def seek(self, target: int, back: int, deadline: Deadline) -> None:
        """Seek to the last key frame at or before `target`, or `back` key frames earlier.

        `at_start` is set if this is the first key frame of the file.

        Raises:
            VideoError: If the file cannot be read there or has no key frame.
        """
        first = self.file.facts.first_dts
        aim, step = target, 1
        while True:
            deadline.check(self.seconds(target))
            self.at_start = aim <= first or self.file.facts.sequential
            key = self._go(max(aim, first), target, deadline)
            if key is None and self.at_start:
                raise self.error("has no key frame to begin with", target)
            if key is not None and (key[0] <= target or self.at_start):
                if back == 0 or self.at_start:
                    self.origin = key[0]
                    self.forget_before(key[0])
                    return
                back -= 1
                aim = key[1] - 1
            else:
                # Landed too late: an index may be coarse or contain decoding times.
                aim = (aim if key is None else min(aim, key[1])) - step
                step = max(2 * step, int(1 / self.file.facts.base))

    def _go(self, aim: int, target: int, deadline: Deadline) -> tuple[int, int] | None:
        """Seek and read up to the first key frame, which `next` then returns.

        Returns:
            Its display and decoding times; None if there is no key frame.
        """
        container, stream = self.file.container, self.file.stream
        try:
            if self.at_start:
                rewind(container, stream, self.file.facts.first_dts)
            else:
                container.seek(aim, stream=stream, backward=True)
        except av.FFmpegError as error:
            raise self.error(f"cannot seek: {error.strerror}", target) from error
        self._packets = container.demux(stream)
        self._ahead.clear()
        self._shown.clear()
        self._reach = None
        self._number = 0
        self._ended = False
        while self._pull():
            last = self._ahead[-1]
            if last.packet.is_keyframe and last.pts is not None:
                return last.pts, last.pts if last.dts is None else last.dts
            self._ahead.clear()
            self._shown.clear()
            deadline.check(self.seconds(target))
        return None

    def _pull(self) -> bool:
        """Read one more packet; False at the end of the file."""
        if self._ended:
            return False
        try:
            packet = next(self._packets, None)
        except av.FFmpegError as error:
            raise self.error(f"cannot be read: {error.strerror}", self._reach) from error
        if packet is None or not packet.size:
            self._ended = True
            return False
        pts = self.file.facts.stamp(packet, self._number)
        self._number += 1
        self._ahead.append(TimedPacket(pts, packet.dts, packet))
        # Packets hidden by an edit list are decoded as references only. A packet without a display time (a leading #
        # picture whose references were cut off) has no frame; if the decoder returns one, that is an error.
        if pts is not None and not packet.is_discard:
            bisect.insort(self._shown, pts)
        if packet.dts is not None:
            reach = packet.dts - self.file.facts.lead
            self._reach = reach if self._reach is None else max(self._reach, reach)
        elif len(self._shown) > DEEPEST_REORDER:
            self._reach = max(self._shown[-DEEPEST_REORDER - 1], self._reach or self._shown[0])
        return True
