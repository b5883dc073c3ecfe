"""Which zooms are refused, by which code, and in which order the rules are looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Budget, Region, Zoom
from vzgym.episode import Refusal, validate_zoom

WHOLE = Region(0.0, 0.0, 1.0, 1.0)
BAD = Region(0.5, 0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("zoom", "code", "says"),
    [
        (Zoom(math.nan, 2.0, 1.0), Refusal.NOT_FINITE, "start, end and fps must be finite numbers, got nan, 2.0, 1.0."),
        (Zoom(0.0, math.inf, 1.0), Refusal.NOT_FINITE, "got 0.0, inf, 1.0."),
        (Zoom(0.0, 2.0, math.nan), Refusal.NOT_FINITE, "got 0.0, 2.0, nan."),
        (Zoom(4.0, 2.5, 1.0), Refusal.REVERSED, "the end (2.5 s) must be greater than the start (4 s)."),
        (Zoom(4.0, 4.0, 1.0), Refusal.REVERSED, "the end (4 s) must be greater than the start (4 s)."),
        (Zoom(-0.5, 2.0, 1.0), Refusal.OUTSIDE, "[-0.5, 2] s is not inside the video"),
        (
            Zoom(90.0, 100.02, 1.0),
            Refusal.OUTSIDE,
            "[90, 100.02] s is not inside the video, which lasts from 0 to 100.00",
        ),
        (Zoom(200.0, 201.0, 1.0), Refusal.OUTSIDE, "from 0 to 100.00 s."),
        (Zoom(0.0, 1.0, 0.0), Refusal.FPS_OUT_OF_RANGE, "fps must be between 0.01 and 30, got 0."),
        (Zoom(0.0, 1.0, -2.0), Refusal.FPS_OUT_OF_RANGE, "got -2."),
        (Zoom(0.0, 0.1, 30.5), Refusal.FPS_OUT_OF_RANGE, "between 0.01 and 30, got 30.5."),
        (Zoom(0.0, 2.0, 8.4), Refusal.TOO_MANY_FRAMES, "2 s at 8.4 fps are 17 frames; at most 16 are allowed"),
        (Zoom(0.0, 100.0, 1.0), Refusal.TOO_MANY_FRAMES, "100 s at 1 fps are 100 frames"),
        (Zoom(0.0, 2.0, 8.0, WHOLE), Refusal.REGION_NOT_ALLOWED, "regions are not available here"),
    ],
)
def test_each_fault_has_its_code_and_says_what_would_be_right(zoom: Zoom, code: Refusal, says: str) -> None:
    fault = validate_zoom(zoom, 100.0, Budget())
    assert fault is not None
    assert fault[0] is code
    assert says in fault[1]


@pytest.mark.parametrize(
    "zoom",
    [
        Zoom(0.0, 2.0, 8.0),
        Zoom(0.0, 3.2, 5.0),
        Zoom(10.1, 13.3, 5.0),  # 16.000000000000007 frames
        Zoom(0.0, 0.001, 1.0),  # less than a frame
        Zoom(0.0, 100.0, 0.16),
        Zoom(99.0, 100.0, 16.0),
        Zoom(99.0, 100.0000005, 16.0),  # the end as six decimals would have it: no 17th frame
        Zoom(0, 2, 8),
    ],
)
def test_these_are_carried_out(zoom: Zoom) -> None:
    assert validate_zoom(zoom, 100.0, Budget()) is None


def test_regions_where_they_are_allowed() -> None:
    budget = Budget(spatial=True)
    assert validate_zoom(Zoom(0.0, 2.0, 8.0, WHOLE), 100.0, budget) is None
    assert validate_zoom(Zoom(0.0, 2.0, 8.0, Region(0.1, 0.2, 0.3, 0.4)), 100.0, budget) is None
    fault = validate_zoom(Zoom(0.0, 2.0, 8.0, BAD), 100.0, budget)
    says = "a region is [left, top, right, bottom] with 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
    assert fault == (Refusal.REGION_INVALID, f"{says}, got [0.5, 0.0, 0.5, 1.0].")


def test_the_first_broken_rule_is_the_one_that_is_told() -> None:
    # Each zoom breaks the rule that it stands for and every later one.
    order = [
        (Zoom(300.0, 200.0, math.nan, BAD), Refusal.NOT_FINITE),
        (Zoom(300.0, 200.0, 1000.0, BAD), Refusal.REVERSED),
        (Zoom(200.0, 300.0, 1000.0, BAD), Refusal.OUTSIDE),
        (Zoom(0.0, 50.0, 1000.0, BAD), Refusal.FPS_OUT_OF_RANGE),
        (Zoom(0.0, 50.0, 10.0, BAD), Refusal.TOO_MANY_FRAMES),
        (Zoom(0.0, 1.0, 10.0, BAD), Refusal.REGION_NOT_ALLOWED),
    ]
    for zoom, code in order:
        fault = validate_zoom(zoom, 100.0, Budget())
        assert fault is not None
        assert fault[0] is code


NUMBERS = st.one_of(st.floats(), st.floats(-2, 130), st.sampled_from([0.0, 1e-9, 128.0, 1e308, -1e308]))


@given(NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_whatever_is_asked_for_is_refused_or_can_be_shown(start: float, end: float, fps: float, spatial: bool) -> None:
    budget = Budget(spatial=spatial)
    zoom = Zoom(start, end, fps, Region(0.0, 0.0, 0.5, 0.5) if spatial else None)
    fault = validate_zoom(zoom, 128.0, budget)
    if fault is not None:
        assert fault[0] in set(Refusal) - {Refusal.LAST_ROUND, Refusal.MALFORMED}
        assert fault[1].endswith(".")
        return
    times = Zoom(start, min(end, 128.0), fps).times()
    assert 1 <= len(times) <= budget.clip_frames
    assert (times >= 0).all()
    assert (times <= 128.0 + 1e-6).all()
    assert np.isfinite(times).all()
