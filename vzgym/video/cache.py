"""Cache of decoded frames of all videos, limited in bytes."""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from vzgym.video.decoder import DecodedFrame

__all__ = ["CacheStats", "FrameCache"]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Size and hit counts of the cache.

    Attributes:
        nbytes: Bytes in the cache.
        frames: Frames in the cache.
        hits: Lookups that found a frame.
        misses: Lookups that found none.
    """

    nbytes: int
    frames: int
    hits: int
    misses: int


@dataclass(slots=True)
class _Series:
    """The frames of one video under one `RenderSpec`, sorted by time."""

    starts: list[float] = field(default_factory=list)
    frames: dict[float, DecodedFrame] = field(default_factory=dict)


class FrameCache:
    """Thread-safe cache of the most recently used frames.

    A frame is found by any time within its display interval: each stores its own time and that of the next frame.

    Args:
        limit: Maximum size in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._series: dict[tuple[Hashable, Hashable], _Series] = {}
        self._order: OrderedDict[tuple[tuple[Hashable, Hashable], float], int] = OrderedDict()
        self._nbytes = self._hits = self._misses = 0

    def get(self, video: Hashable, spec: Hashable, time: float) -> DecodedFrame | None:
        """The cached frame of `video` under `spec` that is shown at `time`; None if there is none."""
        key = (video, spec)
        with self._lock:
            series = self._series.get(key)
            if series is not None:
                place = bisect.bisect_right(series.starts, time) - 1
                if place >= 0:
                    frame = series.frames[series.starts[place]]
                    if time < frame.end:
                        self._order.move_to_end((key, frame.start))
                        self._hits += 1
                        return frame
            self._misses += 1
            return None

    def put(self, video: Hashable, spec: Hashable, frame: DecodedFrame) -> None:
        """Add a frame and evict the least recently used ones. A frame larger than the limit is not cached."""
        key = (video, spec)
        nbytes = frame.pixels.nbytes
        with self._lock:
            if nbytes > self._limit:
                return
            if (key, frame.start) in self._order:
                self._drop(key, frame.start)
            series = self._series.setdefault(key, _Series())
            bisect.insort(series.starts, frame.start)
            series.frames[frame.start] = frame
            self._order[key, frame.start] = nbytes
            self._nbytes += nbytes
            self._shrink()

    def set_limit(self, limit: int) -> None:
        """Change the limit; frames beyond it are evicted at once."""
        with self._lock:
            if limit != self._limit:
                self._limit = limit
                self._shrink()

    def forget(self, video: Hashable) -> None:
        """Remove all frames of a video."""
        with self._lock:
            for key, start in [entry for entry in self._order if entry[0][0] == video]:
                self._drop(key, start)

    def clear(self) -> None:
        """Remove all frames."""
        with self._lock:
            self._series.clear()
            self._order.clear()
            self._nbytes = 0

    @property
    def stats(self) -> CacheStats:
        """Current size and the lookups so far."""
        with self._lock:
            return CacheStats(self._nbytes, len(self._order), self._hits, self._misses)

    def _shrink(self) -> None:
        while self._nbytes > self._limit:
            key, start = next(iter(self._order))
            self._drop(key, start)

    def _drop(self, key: tuple[Hashable, Hashable], start: float) -> None:
        self._nbytes -= self._order.pop((key, start))
        series = self._series[key]
        del series.frames[start]
        del series.starts[bisect.bisect_left(series.starts, start)]
        if not series.starts:
            del self._series[key]
