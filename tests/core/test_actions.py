"""What an agent can ask for: frame counts that survive floating point, and plain data."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Malformed, Region, Zoom, frames_asked


@pytest.mark.parametrize(
    ("seconds", "fps", "count"),
    [
        (3.2, 5.0, 16),  # 16.0 in decimal
        (13.3 - 10.1, 5.0, 16),  # 16.000000000000007 in binary
        (0.1 + 0.2, 10.0, 3),  # 3.0000000000000004
        (1.1, 30.0, 33),  # 33.00000000000001
        (2.0, 8.4, 17),  # 16.8: the official code cuts it to 16 and lets it pass
        (2.0, 8.0, 16),
        (2.000001, 8.0, 17),  # beyond the slack: one frame more
        (16.0, 1.0, 16),
        (0.01, 1.0, 1),  # less than a frame is one frame, not an empty clip
        (1e-9, 0.01, 1),
        (7200.0, 0.01, 72),
    ],
)
def test_frame_counts_worked_by_hand(seconds: float, fps: float, count: int) -> None:
    assert frames_asked(seconds, fps) == count
    assert Zoom(0.0, seconds, fps).num_frames == count


@given(st.integers(1, 2000), st.integers(1, 600))
def test_a_whole_number_of_frames_stays_whole(count: int, tenths: int) -> None:
    fps = tenths / 10
    assert frames_asked(count / fps, fps) == count


@given(st.floats(1e-3, 7200), st.floats(0.01, 60))
def test_the_count_is_the_ceiling_within_the_slack(seconds: float, fps: float) -> None:
    count, exact = frames_asked(seconds, fps), seconds * fps
    assert count >= 1
    assert count >= exact - 1e-6
    assert count == 1 or count - 1 < exact - 1e-6


@given(st.floats(0, 7200), st.floats(1e-2, 60), st.floats(0.1, 60))
def test_times_start_at_the_start_and_stay_before_the_end(start: float, seconds: float, fps: float) -> None:
    zoom = Zoom(start, start + seconds, fps)
    times = zoom.times()
    assert times.dtype == np.float64
    assert times.shape == (zoom.num_frames,)
    assert times[0] == start
    assert (np.diff(times) > 0).all()
    assert times[-1] < zoom.end + 1e-6
    # One more frame would be beyond the end: nothing of the interval is left out.
    assert times[-1] + 1 / fps >= zoom.end - 1e-4


def test_times_by_hand() -> None:
    assert Zoom(12.0, 14.0, 2.0).times().tolist() == [12.0, 12.5, 13.0, 13.5]
    assert Zoom(12.0, 13.6, 2.0).times().tolist() == [12.0, 12.5, 13.0, 13.5]
    assert Zoom(12.0, 12.1, 2.0).times().tolist() == [12.0]


@pytest.mark.parametrize(
    ("region", "valid"),
    [
        (Region(0.0, 0.0, 1.0, 1.0), True),
        (Region(0.25, 0.5, 0.75, 1.0), True),
        (Region(0.5, 0.0, 0.5, 1.0), False),
        (Region(0.0, 0.6, 1.0, 0.5), False),
        (Region(-0.1, 0.0, 1.0, 1.0), False),
        (Region(0.0, 0.0, 1.0, 1.01), False),
        (Region(math.nan, 0.0, 1.0, 1.0), False),
        (Region(0.0, 0.0, math.inf, 1.0), False),
    ],
)
def test_which_regions_are_valid(region: Region, valid: bool) -> None:
    assert region.is_valid is valid


def test_a_region_lists_floats_in_the_order_of_the_protocol() -> None:
    listed = Region(0, 0, 1, np.float32(0.5)).to_list()  # type: ignore[arg-type]
    assert listed == [0.0, 0.0, 1.0, 0.5]
    assert {type(value) for value in listed} == {float}


@pytest.mark.parametrize(
    "action", [Zoom(1.0, 2.0, 4.0, Region(0.0, 0.0, 0.5, 0.5)), Answer("Überfluß"), Malformed("no tag")]
)
def test_actions_are_values(action: object) -> None:
    copy = pickle.loads(pickle.dumps(action))
    assert copy == action
    assert hash(copy) == hash(action)
    name = next(iter(action.__slots__))  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        setattr(action, name, None)
