"""The packets of an open file, read a little ahead of the decoder."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.packet import Packet
from av.video.stream import VideoStream

from vzgym.core.errors import VideoError
from vzgym.video.decoder import Watch
from vzgym.video.pyav_open import NAME, OpenFile

__all__ = ["Stamped", "Tape"]

# Without an index of key frames: a gap that is read through rather than jumped over, in seconds.
_BLIND_GAP = 4.0
# No codec reorders frames over more than so many.
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Stamped:
    """A packet whose time stamps are known.

    Attributes:
        pts: When its frame is shown, in the stream's units.
        dts: When it is to be decoded; where the file does not say (Matroska, the first packets), when it is shown.
        packet: The packet.
    """

    pts: int
    dts: int
    packet: Packet[VideoStream]


class Tape:
    """Reads packets, and knows from them when each frame is shown before any of it is decoded.

    Packets come in order of decoding. None that is still to come can be shown before the decoding time of the
    last one read, so reading a few packets ahead tells for certain which frame follows which.

    Args:
        file: The open file. From here on only this tape reads it.
        path: For errors.
    """

    def __init__(self, file: OpenFile, path: str) -> None:
        self.file = file
        self.path = path
        self._numerator, self._denominator = file.facts.base.as_integer_ratio()
        self.origin = 0
        """Time stamp of the key frame that reading began with."""
        self.at_start = False
        """Whether that key frame is the file's first."""
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._ahead: deque[Stamped] = deque()
        self._shown: list[int] = []  # time stamps of frames to be shown, ascending
        self._reach: int | None = None  # no frame still to be read is shown before this
        self._ended = True

    def seconds(self, pts: int) -> float:
        """A time stamp as seconds from the start of the video."""
        return (pts - self.file.facts.start) * self._numerator / self._denominator

    def error(self, reason: str, pts: int | None = None) -> VideoError:
        """An error of this file, at a time stamp."""
        return VideoError(reason, path=self.path, time=None if pts is None else self.seconds(pts), backend=NAME)

    def next(self) -> Stamped | None:
        """The next packet in order of decoding; None at the end of the file."""
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
        """Frames before `pts` will not be asked about any more."""
        del self._shown[: bisect.bisect_left(self._shown, pts)]

    def shown_between(self, start: int, end: int) -> list[int]:
        """Time stamps of the frames known to be shown in `[start, end]`, ascending."""
        return self._shown[bisect.bisect_left(self._shown, start) : bisect.bisect_right(self._shown, end)]

    def next_key(self, pts: int) -> int | None:
        """Time stamp of the first key frame after `pts`, if the file's index tells."""
        place = bisect.bisect_right(self.file.facts.keys, pts)
        return self.file.facts.keys[place] if place < len(self.file.facts.keys) else None

    def jump_helps(self, pts: int, target: int) -> bool:
        """Whether a key frame lies after `pts` and at or before `target`, as far as is known."""
        if self.file.facts.keys:
            key = self.next_key(pts)
            return key is not None and key <= target
        return (target - pts) * self.file.facts.base > _BLIND_GAP

    def seek(self, target: int, back: int, watch: Watch) -> None:
        """Go to the last key frame at or before `target`, or `back` key frames earlier still.

        Before the first key frame of the file one cannot go: then `at_start` is set.

        Raises:
            VideoError: If the file cannot be read there, or has no key frame.
        """
        first = self.file.facts.first_dts
        aim, step = target, 1
        while True:
            watch.check(self.seconds(target))
            self.at_start = aim <= first
            key = self._go(max(aim, first), target, watch)
            if key is None and self.at_start:
                raise self.error("has no key frame to begin with", target)
            if key is not None and (key.pts <= target or self.at_start):
                if back == 0 or self.at_start:
                    self.origin = key.pts
                    self.forget_before(key.pts)
                    return
                back -= 1
                aim = key.dts - 1
            else:
                # Landed too late: an index may be coarse, or hold decoding times.
                aim = (aim if key is None else min(aim, key.dts)) - step
                step = max(2 * step, int(1 / self.file.facts.base))

    def _go(self, aim: int, target: int, watch: Watch) -> Stamped | None:
        """Seek, and read up to the first key frame, which `next` will then give; None if there is none."""
        container, stream = self.file.container, self.file.stream
        try:
            container.seek(aim, stream=stream, backward=True)
        except av.FFmpegError as error:
            raise self.error(f"cannot seek: {error.strerror}", target) from error
        self._packets = container.demux(stream)
        self._ahead.clear()
        self._shown.clear()
        self._reach = None
        self._ended = False
        while self._pull():
            if self._ahead[-1].packet.is_keyframe:
                return self._ahead[-1]
            self._ahead.clear()
            self._shown.clear()
            watch.check(self.seconds(target))
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
        if packet.pts is None:
            raise self.error("a time stamp is missing", self._reach)
        self._ahead.append(Stamped(packet.pts, packet.pts if packet.dts is None else packet.dts, packet))
        if not packet.is_discard:  # an edit list hides it: decoded for others' sake, never shown
            bisect.insort(self._shown, packet.pts)
        if packet.dts is not None:
            self._reach = packet.dts if self._reach is None else max(self._reach, packet.dts)
        elif len(self._shown) > _DEEPEST:
            self._reach = max(self._shown[-_DEEPEST - 1], self._reach or self._shown[0])
        return True
