"""Half-open intervals of time, and measures of sets of intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vzgym.core.errors import InvalidSetting

__all__ = ["Interval", "coverage", "intersect", "iou", "length", "merge"]


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A half-open interval `[start, end)` of a video.

    Args:
        start: Seconds from the start of the video.
        end: Seconds from the start of the video; greater than `start`.

    Raises:
        InvalidSetting: If a bound is not finite, or `end <= start`.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise InvalidSetting(f"an interval needs finite bounds, got [{self.start}, {self.end})")
        if self.end <= self.start:
            raise InvalidSetting(f"an interval needs end > start, got [{self.start}, {self.end})")

    @property
    def duration(self) -> float:
        """Length in seconds, > 0."""
        return self.end - self.start

    def __contains__(self, time: object) -> bool:
        # Times may come from arrays; float32 and numpy's integers do not subclass Python's numbers.
        return isinstance(time, (int, float, np.integer, np.floating)) and bool(self.start <= time < self.end)

    def to_list(self) -> list[float]:
        """`[start, end]`, the form in files."""
        return [float(self.start), float(self.end)]


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The union as disjoint intervals in order; touching ones are joined."""
    merged: list[Interval] = []
    for item in sorted(intervals):
        if merged and item.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, item.end))
        else:
            merged.append(item)
    return tuple(merged)


def intersect(first: Iterable[Interval], second: Iterable[Interval]) -> tuple[Interval, ...]:
    """The intersection of two unions, as disjoint intervals in order."""
    a, b = merge(first), merge(second)
    common: list[Interval] = []
    i = j = 0
    while i < len(a) and j < len(b):
        start, end = max(a[i].start, b[j].start), min(a[i].end, b[j].end)
        if start < end:
            common.append(Interval(start, end))
        if a[i].end < b[j].end:
            i += 1
        else:
            j += 1
    return tuple(common)


def length(intervals: Iterable[Interval]) -> float:
    """Length of the union, in seconds; overlaps count once."""
    return math.fsum(item.duration for item in merge(intervals))


def iou(first: Iterable[Interval], second: Iterable[Interval]) -> float:
    """Intersection over union of two sets of intervals, in [0, 1]; 0 if both are empty."""
    a, b = merge(first), merge(second)
    union = length((*a, *b))
    return length(intersect(a, b)) / union if union > 0 else 0.0


def coverage(target: Iterable[Interval], by: Iterable[Interval]) -> float:
    """The fraction of `target`'s length inside `by`, in [0, 1]; 0 if `target` is empty."""
    wanted = merge(target)
    total = length(wanted)
    return length(intersect(wanted, by)) / total if total > 0 else 0.0
