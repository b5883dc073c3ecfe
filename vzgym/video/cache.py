"""Decoded frames of all videos, under one limit of bytes."""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from vzgym.video.decoder import Picture

__all__ = ["CacheStats", "FrameCache"]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the cache holds and has done.

    Attributes:
        nbytes: Bytes held.
        pictures: Pictures held.
        hits: Look-ups that found a picture.
        misses: Look-ups that did not.
    """

    nbytes: int
    pictures: int
    hits: int
    misses: int


@dataclass(slots=True)
class _Series:
    """The pictures of one video at one view, found by time."""

    starts: list[float] = field(default_factory=list)
    pictures: dict[float, Picture] = field(default_factory=dict)


class FrameCache:
    """Keeps the pictures used last. May be used by several threads.

    A picture is found by any time it is shown at: each carries its own time and that of the next frame.

    Args:
        limit: Most bytes held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._series: dict[tuple[Hashable, Hashable], _Series] = {}
        self._order: OrderedDict[tuple[tuple[Hashable, Hashable], float], int] = OrderedDict()
        self._nbytes = self._hits = self._misses = 0

    def get(self, video: Hashable, view: Hashable, time: float) -> Picture | None:
        """The picture of `video` at `view` that is shown at `time`, if it is held."""
        key = (video, view)
        with self._lock:
            series = self._series.get(key)
            if series is not None:
                place = bisect.bisect_right(series.starts, time) - 1
                if place >= 0:
                    picture = series.pictures[series.starts[place]]
                    if time < picture.end:
                        self._order.move_to_end((key, picture.start))
                        self._hits += 1
                        return picture
            self._misses += 1
            return None

    def put(self, video: Hashable, view: Hashable, picture: Picture) -> None:
        """Hold `picture`; pictures used longest ago make room. One larger than the limit is not held."""
        key = (video, view)
        nbytes = picture.pixels.nbytes
        with self._lock:
            if nbytes > self._limit:
                return
            if (key, picture.start) in self._order:
                self._drop(key, picture.start)
            series = self._series.setdefault(key, _Series())
            bisect.insort(series.starts, picture.start)
            series.pictures[picture.start] = picture
            self._order[key, picture.start] = nbytes
            self._nbytes += nbytes
            self._shrink()

    def set_limit(self, limit: int) -> None:
        """Change the limit; what is too much goes at once."""
        with self._lock:
            if limit != self._limit:
                self._limit = limit
                self._shrink()

    def forget(self, video: Hashable) -> None:
        """Let go of all pictures of a video."""
        with self._lock:
            for key, start in [entry for entry in self._order if entry[0][0] == video]:
                self._drop(key, start)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._series.clear()
            self._order.clear()
            self._nbytes = 0

    @property
    def stats(self) -> CacheStats:
        """What is held now, and the look-ups so far."""
        with self._lock:
            return CacheStats(self._nbytes, len(self._order), self._hits, self._misses)

    def _shrink(self) -> None:
        while self._nbytes > self._limit:
            key, start = next(iter(self._order))
            self._drop(key, start)

    def _drop(self, key: tuple[Hashable, Hashable], start: float) -> None:
        self._nbytes -= self._order.pop((key, start))
        series = self._series[key]
        del series.pictures[start]
        del series.starts[bisect.bisect_left(series.starts, start)]
        if not series.starts:
            del self._series[key]
