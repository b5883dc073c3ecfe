"""Decoding through PyAV (FFmpeg): exact by time, with minimal decoding.

How a frame is found: packets are read slightly ahead of the decoder (`PacketReader`), so the time stamps of the next
frames are known before they are decoded. This shows (a) when a frame ends, hence which frame is shown at a time; (b)
which frames were not requested: those that no other frame refers to are not decoded at all; (c) which ones the decoder
lost: a frame that was sent to it and not returned is an error, never silently replaced by the previous one; (d) whether
frames are returned in the order of their time stamps: if not, the stamps are wrong, and no frame up to the next key
frame is returned.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import av
import numpy as np
from numpy.typing import NDArray

from vzgym.video.base import FRAME_SLACK
from vzgym.video.decoder import AS_STORED, Deadline, DecodedFrame, ReadOptions, RenderSpec
from vzgym.video.pyav_container import HIDES_FRAMES
from vzgym.video.pyav_open import open_file
from vzgym.video.pyav_packets import PacketReader, TimedPacket
from vzgym.video.scale import RawPixels

__all__ = ["PyAVDecoder"]

# Codecs that reliably mark frames to which no other frame refers.
_MARKS_UNREFERENCED = frozenset({"h264"})

_DISORDER = "frames do not come out in the order of their time stamps: the stamps are wrong"

# The rest of a group of pictures that is decoded along with a clip, in seconds.
_SHORT_REST = 2.0


class _DamagedError(Exception):
    """A required frame cannot be decoded from the position where decoding began."""

    def __init__(self, reason: str, pts: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pts = pts


@dataclass(frozen=True, slots=True)
class _Shown:
    """A decoded frame, shown from stamp `pts` up to stamp `end` (None: the last frame)."""

    pts: int
    end: int | None
    frame: av.VideoFrame

    def covers(self, stamp: int) -> bool:
        return self.pts <= stamp and (self.end is None or stamp < self.end)


class _PendingStamps:
    """The part of a request not yet served: time stamps, ascending, and which intermediate frames to return."""

    def __init__(self, stamps: list[int], keep_every: float | None) -> None:
        self._stamps = stamps
        self._place = 0
        self.keep_every = keep_every

    @property
    def done(self) -> bool:
        return self._place == len(self._stamps)

    @property
    def first(self) -> int:
        return self._stamps[self._place]

    def serve_until(self, end: int | None) -> None:
        """Mark everything before stamp `end` as served."""
        self._place = len(self._stamps) if end is None else self.next_from(end)

    def next_from(self, stamp: int) -> int:
        return bisect.bisect_left(self._stamps, stamp, lo=self._place)

    def after(self, end: int | None) -> int | None:
        """The first pending stamp at or after `end`; None if there is none."""
        place = len(self._stamps) if end is None else self.next_from(end)
        return self._stamps[place] if place < len(self._stamps) else None

    def within(self, pts: int, end: int | None) -> bool:
        """Whether a stamp in `[pts, end)` is pending."""
        place = self.next_from(pts)
        return place < len(self._stamps) and (end is None or self._stamps[place] < end)


class PyAVDecoder:
    """One open file (see `Decoder`).

    Args:
        path: The file.
        threads: Threads of the decoder.
        timeout: Maximum seconds for one read of the file.
        options: Which stream, and how it is shown.

    Raises:
        VideoError: If it cannot be opened, holds no video, its time stamps are missing or wrong, or it is truncated.
    """

    raw = True
    isolated: ClassVar[bool] = False
    finds_key_frames: ClassVar[bool] = True

    def __init__(self, path: str, *, threads: int = 1, timeout: float = 30.0, options: ReadOptions = AS_STORED) -> None:
        self.path = path
        self.decoded = 0
        file = open_file(path, threads, timeout, options)
        self.info = file.facts.info
        self._geometry = file.facts.geometry
        self._packets = PacketReader(file, path)
        self._codec = file.stream.codec_context
        self._hides = self._codec.name in HIDES_FRAMES
        self._skips = self._codec.name in _MARKS_UNREFERENCED
        self._depth = 0  # largest frame reordering seen so far
        self._last: _Shown | None = None  # the last decoded frame
        self._inside: set[int] = set()  # frames sent to the decoder and not yet returned
        self._covering: int | None = None  # the last requested frame sent to it
        self._highest: int | None = None  # the latest time stamp sent to it since decoding began
        self._goal: int | None = None  # the stamp for which decoding began: no seek before it is reached
        self._drained = True  # flushed: must restart at a key frame
        self._bad_after: int | None = None  # after an error, frames after this stamp are unreliable ...
        self._good_from: int | None = None  # ... up to this one, a later key frame
        self._fault = ""  # description of the error

    # -- the `Decoder` interface ---------------------------------------------------------------------------------

    def read_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, keep_every: float | None, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """See `Decoder.read_frames`. Frames come raw: `spec` is not used."""
        wanted = _PendingStamps([self._stamp(time) for time in times], keep_every)
        while not wanted.done:
            if not self._continues(wanted.first):
                self._begin(wanted.first, 0, deadline)
            try:
                yield from self._run(wanted, deadline)
            except _DamagedError:
                # Decoding cannot start cleanly at some key frames (open groups of pictures): retry from an earlier one.
                self._begin(wanted.first, 1, deadline)
                try:
                    yield from self._run(wanted, deadline)
                except _DamagedError as damage:
                    self._drained, self._last = True, None
                    raise self._packets.error(damage.reason, damage.pts) from None
        if keep_every is not None:
            yield from self._finish(keep_every, deadline)

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """See `Decoder.split_at_seeks`."""
        stamps = [self._stamp(time) for time in times]
        cuts = [n for n in range(1, len(stamps)) if self._packets.jump_helps(stamps[n - 1], stamps[n])]
        return np.split(times, cuts)

    def read_key_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """See `Decoder.read_key_frames`. Frames come raw: `spec` is not used."""
        given: int | None = None
        for time in times:
            self._begin(self._stamp(time), 0, deadline)
            origin = self._packets.origin
            if given == origin:
                continue
            given = origin
            frame = self._key_frame()
            if frame is None:
                raise self._packets.error("a key frame cannot be decoded", origin)
            deadline.extend()
            # The following packets are not read, so the frame's end is unknown; it is not needed.
            yield DecodedFrame(self._packets.seconds(origin), math.inf, RawPixels(frame, self._geometry))

    def reaches_without_seek(self, time: float) -> bool:
        """See `Decoder.reaches_without_seek`."""
        return self._continues(self._stamp(time))

    @property
    def is_idle(self) -> bool:
        """See `Decoder.is_idle`: nothing has been decoded yet, or a whole group of pictures."""
        if self._drained or self._last is None or self._last.end is None:
            return True
        return self._packets.next_key(self._last.pts) == self._last.end

    def close(self) -> None:
        """Close the file."""
        self._last = None
        self._packets.file.container.close()

    # -- decoding ------------------------------------------------------------------------------------------------

    def _stamp(self, time: float) -> int:
        """Time stamp of `time`; a time within the rounding error before a frame's time refers to that frame."""
        return self._packets.file.facts.start + math.floor((time + FRAME_SLACK) / self._packets.file.facts.base)

    def _continues(self, stamp: int) -> bool:
        if self._last is None or stamp < self._last.pts:
            return False
        if self._last.covers(stamp):
            return True
        return not self._drained and (stamp == self._goal or not self._packets.jump_helps(self._last.pts, stamp))

    def _begin(self, stamp: int, back: int, deadline: Deadline) -> None:
        """Restart at the last key frame at or before `stamp`, or at the one before that (`back` = 1)."""
        self._last = self._covering = self._bad_after = self._good_from = None
        self._inside.clear()
        self._highest = None
        self._goal = stamp
        self._packets.seek(stamp, back, deadline)
        self._codec.flush_buffers()
        # After a flush, FFmpeg estimates the frame reordering again; too low an estimate would drop frames.
        if self._depth:
            self._codec.reorder_depth = self._depth
        self._drained = False

    def _run(self, wanted: _PendingStamps, deadline: Deadline) -> Iterator[DecodedFrame]:
        """Decode from here and yield the requested frames, until a seek is the cheaper way to the rest."""
        sought = wanted.first
        if self._last is not None and self._last.covers(wanted.first):
            # It may have been decoded at the end of the last request.
            yield from self._serve(self._last, wanted, deadline)
        while not wanted.done and (self._fresh or self._continues(wanted.first)):
            deadline.check(self._packets.seconds(wanted.first))
            before = self._last
            for shown in self._step(wanted):
                if not wanted.done and wanted.first < shown.pts:
                    # A requested frame before this one was not decoded.
                    if before is None or not self._may_hide(shown.frame):
                        raise _DamagedError("a frame cannot be decoded", wanted.first)
                    before = _Shown(before.pts, shown.pts, before.frame)
                    yield from self._serve(before, wanted, deadline)
                yield from self._serve(shown, wanted, deadline)
                before = shown
        if not wanted.done and wanted.first == sought:
            raise _DamagedError("no frame can be decoded", sought)

    def _finish(self, keep_every: float, deadline: Deadline) -> Iterator[DecodedFrame]:
        """Decode the rest of a group of pictures: cheaper now than from its beginning later."""
        if self._last is None or self._last.end is None:
            return
        key = self._packets.next_key(self._last.pts)
        if key is None or self._packets.seconds(key) - self._packets.seconds(self._last.pts) > _SHORT_REST:
            return
        if not self._continues(key - 1):
            return
        try:
            yield from self._run(_PendingStamps([key - 1], keep_every), deadline)
        except _DamagedError:
            self._drained, self._last = True, None  # not requested: reported when it is

    @property
    def _fresh(self) -> bool:
        """Whether decoding has begun without returning a frame yet."""
        return self._last is None and not self._drained

    def _serve(self, shown: _Shown, wanted: _PendingStamps, deadline: Deadline) -> Iterator[DecodedFrame]:
        """Yield `shown` if it is requested or to be kept."""
        if wanted.within(shown.pts, shown.end):
            if self._is_bad(shown):
                raise _DamagedError(self._fault, shown.pts)
            deadline.extend()
            wanted.serve_until(shown.end)
            yield self._decoded_frame(shown)
        elif self._on_grid(shown.pts, shown.end, wanted.keep_every) and not self._is_bad(shown):
            yield self._decoded_frame(shown)

    def _step(self, wanted: _PendingStamps) -> list[_Shown]:
        """Send the decoder one packet, or flush it; returns the decoded frames."""
        if self._jump_follows(wanted):
            # All requested frames are inside the decoder: flush it rather than send frames that were not requested.
            return self._decode(None)
        packet = self._packets.next()
        if packet is None:
            return [] if self._drained else self._decode(None)
        if packet.pts is None:
            return self._decode(packet)
        end = self._packets.end_of(packet.pts)
        asked = wanted.within(packet.pts, end)
        if asked:
            self._covering = max(packet.pts, self._covering or packet.pts)
        self._inside.add(packet.pts)
        if self._skips:
            needed = asked or packet.packet.is_keyframe or self._on_grid(packet.pts, end, wanted.keep_every)
            # A frame without references is displayed before a frame decoded earlier. If the stamps disagree, they may
            # be wrong, which only decoding shows.
            needed = needed or self._highest is None or packet.pts > self._highest
            self._codec.skip_frame = "DEFAULT" if needed else "NONREF"
            if not needed:
                self._inside.discard(packet.pts)
        self._highest = packet.pts if self._highest is None else max(self._highest, packet.pts)
        return self._decode(packet)

    def _jump_follows(self, wanted: _PendingStamps) -> bool:
        """Whether all packets needed before the next seek have been sent to the decoder, and a seek follows."""
        if self._covering is None:
            return False
        follows = wanted.after(self._packets.end_of(self._covering))
        if follows is None or not self._packets.jump_helps(self._covering, follows):
            return False
        here = self._packets.shown_between(self._packets.origin, self._covering)
        return all(pts in self._inside or not wanted.within(pts, self._packets.end_of(pts)) for pts in here)

    def _decode(self, packet: TimedPacket | None) -> list[_Shown]:
        """Decode a packet and return the resulting frames; None flushes the decoder."""
        if packet is None:
            self._drained = True
            self._covering = None
        elif (
            packet.pts is not None
            and packet.packet.is_keyframe
            and self._bad_after is not None
            and (self._good_from is None)
        ):
            self._good_from = packet.pts
        try:
            frames = self._codec.decode(None if packet is None else packet.packet)
        except av.FFmpegError:
            self._distrust()
            return []
        if packet is not None and packet.packet.is_corrupt:
            self._distrust()
        self._depth = max(self._depth, self._codec.reorder_depth)
        shown = []
        for frame in frames:
            self.decoded += 1
            if frame.pts is None:
                raise self._packets.error("a frame has no time stamp", self._packets.origin)
            if frame.pts < self._packets.origin:
                continue  # shown before the first key frame: its references are missing
            if self._last is not None and frame.pts <= self._last.pts:
                if frame.pts < self._last.pts:
                    self._distrust(_DISORDER)
                continue
            if frame.is_corrupt:
                self._distrust()
            elif self._misses_one(frame):
                self._distrust("a frame is missing, or " + _DISORDER)
            self._inside.discard(frame.pts)
            self._last = _Shown(frame.pts, self._packets.end_of(frame.pts), frame)
            self._packets.forget_before(frame.pts)
            shown.append(self._last)
        return shown

    def _misses_one(self, frame: av.VideoFrame) -> bool:
        """Whether a frame that was sent to the decoder and is shown before `frame` was not returned."""
        last = self._last
        if last is None or last.end is None or frame.pts is None or frame.pts <= last.end or frame.key_frame:
            return False
        if self._may_hide(frame):
            return False
        return any(pts in self._inside for pts in self._packets.shown_between(last.end, frame.pts - 1))

    def _may_hide(self, frame: av.VideoFrame) -> bool:
        """Whether a packet before `frame` may have no displayed frame: a hidden frame, or a second field."""
        return self._hides or bool(frame.interlaced_frame)

    def _key_frame(self) -> av.VideoFrame | None:
        """Decode only the key frame at which decoding begins; None if it is damaged."""
        packet = self._packets.next()
        self._drained = True
        if packet is None:
            return None
        try:
            frames = [*self._codec.decode(packet.packet), *self._codec.decode(None)]
        except av.FFmpegError:
            return None
        self.decoded += len(frames)
        self._depth = max(self._depth, self._codec.reorder_depth)
        whole = [f for f in frames if f.pts == packet.pts and not f.is_corrupt and not packet.packet.is_corrupt]
        return whole[0] if whole else None

    def _distrust(self, fault: str = "a damaged frame") -> None:
        """Mark all frames up to the next key frame as unreliable, after an error."""
        self._fault = fault
        self._bad_after = self._packets.origin - 1 if self._last is None else self._last.pts
        self._good_from = None

    def _is_bad(self, shown: _Shown) -> bool:
        if self._bad_after is None or shown.pts <= self._bad_after:
            return False
        return self._good_from is None or shown.pts < self._good_from

    def _on_grid(self, pts: int, end: int | None, every: float | None) -> bool:
        """Whether the frame shown from `pts` to `end` is shown at a multiple of `every`."""
        if every is None:
            return False
        if every == 0 or end is None:
            return True
        line = math.ceil((self._packets.seconds(pts) - FRAME_SLACK) / every) * every
        return line < self._packets.seconds(end) - FRAME_SLACK

    def _decoded_frame(self, shown: _Shown) -> DecodedFrame:
        end = math.inf if shown.end is None else self._packets.seconds(shown.end)
        return DecodedFrame(self._packets.seconds(shown.pts), end, RawPixels(shown.frame, self._geometry))
