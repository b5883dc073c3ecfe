"""Sets of intervals, checked against sets of whole cells, in which everything can be counted."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Interval
from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import coverage, intersect, iou, length, merge

# Bounds in eighths of a second are exact in binary, so that lengths can be compared with ==.
CELL = 0.125
EXACT = st.builds(
    lambda start, count: Interval(start * CELL, (start + count) * CELL), st.integers(0, 60), st.integers(1, 12)
)
SETS = st.lists(EXACT, max_size=6)
LOOSE = st.builds(lambda start, seconds: Interval(start, start + seconds), st.floats(0, 1e5), st.floats(1e-3, 1e3))


def cells(intervals: list[Interval] | tuple[Interval, ...]) -> set[int]:
    return {cell for item in intervals for cell in range(round(item.start / CELL), round(item.end / CELL))}


def test_an_interval_is_half_open() -> None:
    item = Interval(1.0, 2.0)
    assert 1.0 in item
    assert 2.0 not in item
    assert item.duration == 1.0
    assert item.to_list() == [1.0, 2.0]


@pytest.mark.parametrize("time", [1, 1.5, np.float64(1.5), np.float32(1.5), np.int64(1), np.int32(1)])
def test_times_of_numpy_are_times(time: object) -> None:
    assert time in Interval(1.0, 2.0)


def test_what_is_no_time_is_not_inside() -> None:
    assert "1.5" not in Interval(1.0, 2.0)
    assert None not in Interval(1.0, 2.0)
    assert math.nan not in Interval(1.0, 2.0)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (2.0, 1.0, "end > start, got [2.0, 1.0)"),
        (1.0, 1.0, "end > start, got [1.0, 1.0)"),
        (math.nan, 1.0, "finite bounds, got [nan, 1.0)"),
        (0.0, math.inf, "finite bounds, got [0.0, inf)"),
    ],
)
def test_a_senseless_interval_is_refused(start: float, end: float, reason: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        Interval(start, end)
    assert reason in str(raised.value)


def test_by_hand() -> None:
    a, b = [Interval(0, 4), Interval(6, 8)], [Interval(3, 7)]
    assert merge([Interval(2, 3), Interval(0, 1), Interval(1, 2)]) == (Interval(0, 3),)
    assert intersect(a, b) == (Interval(3, 4), Interval(6, 7))
    assert length(a) == 6
    assert iou(a, b) == 2 / 8
    assert coverage(b, a) == 2 / 4
    assert coverage(a, b) == 2 / 6
    assert iou([], []) == 0.0
    assert iou(a, []) == 0.0
    assert coverage([], a) == 0.0
    assert coverage(a, []) == 0.0


@given(SETS)
def test_merging_keeps_the_cells_and_leaves_gaps(items: list[Interval]) -> None:
    merged = merge(items)
    assert cells(merged) == cells(items)
    assert all(first.end < second.start for first, second in pairwise(merged))
    assert merge(merged) == merged
    assert merge(reversed(items)) == merged


@given(SETS, SETS)
def test_measures_are_those_of_sets_of_cells(first: list[Interval], second: list[Interval]) -> None:
    a, b = cells(first), cells(second)
    assert length(first) == len(a) * CELL
    assert cells(intersect(first, second)) == a & b
    assert intersect(first, second) == merge(intersect(second, first))
    assert iou(first, second) == (len(a & b) / len(a | b) if a | b else 0.0)
    assert coverage(first, second) == (len(a & b) / len(a) if a else 0.0)


@given(st.lists(LOOSE, min_size=1, max_size=5), st.lists(LOOSE, max_size=5))
def test_shares_stay_shares_in_floating_point(first: list[Interval], second: list[Interval]) -> None:
    assert 0.0 <= iou(first, second) <= 1.0
    assert iou(first, second) == iou(second, first)
    assert 0.0 <= coverage(first, second) <= 1.0
    assert iou(first, first) == 1.0
    assert coverage(first, [*first, *second]) == pytest.approx(1.0)
    assert length([*first, *second]) <= length(first) + length(second) + 1e-6
