"""The limits of an episode, the size at which frames are shown, and the grid of the first glance."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Budget, ToolMode, overview_times
from vzgym.core.errors import InvalidSetting

FIELDS = [
    "overview_fps",
    "overview_frames",
    "clip_frames",
    "max_zooms",
    "min_fps",
    "max_fps",
    "max_pixels",
    "min_pixels",
    "spatial",
    "zooms_per_turn",
    "zoom_max_pixels",
    "overview_last",
]
ALL_FIELDS = [*FIELDS, "min_zooms"]


def test_the_defaults_are_the_papers() -> None:
    budget = Budget()
    assert (budget.overview_fps, budget.overview_frames) == (0.5, 64)
    assert (budget.clip_frames, budget.max_zooms, budget.max_rounds) == (16, 4, 5)
    assert budget.max_frames == 128
    assert (budget.min_pixels, budget.max_pixels) == (25_088, 100_352)
    assert budget.spatial is False


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("overview_fps", 0, "> 0"),
        ("overview_fps", math.nan, "> 0"),
        ("overview_fps", "0.5", "a number"),
        ("overview_fps", None, "a number"),
        ("overview_frames", -1, "an integer >= 0"),
        ("overview_frames", 64.0, "an integer >= 0"),
        ("overview_frames", True, "an integer >= 0"),
        ("clip_frames", 0, "an integer >= 1"),
        ("max_zooms", -1, "an integer >= 0"),
        ("max_zooms", "4", "an integer >= 0"),
        ("min_fps", 0.0, "finite and > 0"),
        ("min_fps", "slow", "a number"),
        ("max_fps", math.inf, "finite and >= min_fps"),
        ("max_fps", 0.001, "finite and >= min_fps (0.01)"),
        ("max_fps", True, "a number"),
        ("min_pixels", 0, "an integer >= 1"),
        ("max_pixels", 25_087, "an integer >= min_pixels (25088)"),
        ("spatial", 1, "True or False"),
        ("overview_last", 1, "True or False"),
        ("min_zooms", -1, "an integer from 0 to max_zooms (4)"),
        ("min_zooms", 5, "an integer from 0 to max_zooms (4)"),
        ("min_zooms", True, "an integer from 0 to max_zooms (4)"),
    ],
)
def test_a_bad_value_is_named(name: str, value: object, rule: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        Budget.from_mapping({name: value})
    assert f"Budget.{name} must be {rule}" in str(raised.value)
    assert str(raised.value).endswith(f"got {value!r}")


def test_an_unknown_setting_lists_the_valid_ones() -> None:
    with pytest.raises(InvalidSetting) as raised:
        Budget.from_mapping({"clip_frame": 8, "zooms": 2})
    message = str(raised.value)
    assert "clip_frame, zooms; did you mean 'clip_frames' or 'max_zooms'? Valid: " in message
    assert all(name in message.partition("alid:")[2] for name in ALL_FIELDS)


def test_a_budget_survives_json() -> None:
    budget = Budget(overview_fps=0.25, clip_frames=8, max_zooms=0, spatial=True)
    assert list(budget.to_dict()) == FIELDS
    assert Budget.from_mapping(json.loads(json.dumps(budget.to_dict()))) == budget
    endless = Budget(overview_fps=math.inf)
    assert endless.to_dict()["overview_fps"] == "inf"
    assert Budget.from_mapping(json.loads(json.dumps(endless.to_dict(), allow_nan=False))) == endless


def test_required_zooms_are_in_the_json_form_only_if_there_are_some() -> None:
    # Without them a budget has the form of earlier records, runs and experiments.
    assert "min_zooms" not in Budget().to_dict()
    required = Budget(min_zooms=2)
    assert list(required.to_dict()) == ALL_FIELDS
    assert Budget.from_mapping(json.loads(json.dumps(required.to_dict()))) == required


def test_fewer_zooms_require_fewer() -> None:
    assert Budget(min_zooms=2).with_zooms(1) == Budget(max_zooms=1, min_zooms=1)
    assert Budget(min_zooms=2).with_zooms(0, overview_frames=8) == Budget(max_zooms=0, overview_frames=8)
    assert Budget(min_zooms=1).with_zooms(6) == Budget(max_zooms=6, min_zooms=1)


def test_tool_modes() -> None:
    budget = Budget(max_zooms=3, min_zooms=2)
    assert budget.for_tool(ToolMode.FREE) is budget
    assert budget.for_tool(ToolMode.NO_TOOL) == Budget(max_zooms=0)
    assert budget.for_tool(ToolMode.FORCED) == budget
    assert Budget().for_tool(ToolMode.FORCED) == Budget(min_zooms=1)
    with pytest.raises(InvalidSetting, match="no zooms"):
        Budget(max_zooms=0).for_tool(ToolMode.FORCED)


def test_numbers_of_numpy_become_pythons() -> None:
    budget = Budget(overview_fps=np.float32(0.5), clip_frames=np.int64(8), max_fps=np.int32(10))  # type: ignore[arg-type]
    assert {type(value) for value in budget.to_dict().values()} == {int, float, bool}
    assert budget == Budget(overview_fps=0.5, clip_frames=8, max_fps=10.0)
    assert json.loads(json.dumps(budget.to_dict()))["clip_frames"] == 8


@pytest.mark.parametrize(
    ("budget", "given_size", "shown"),
    [
        (Budget(), (360, 240), (360, 240)),  # 86,400 pixels: inside
        (Budget(), (224, 448), (224, 448)),  # exactly the most
        (Budget(), (112, 224), (112, 224)),  # exactly the least
        (Budget(), (448, 896), (224, 448)),  # 4 times too many: half each way
        (Budget(), (56, 112), (112, 224)),  # 4 times too few: double each way
        (Budget(), (720, 1280), (237, 422)),  # 720p: floor(720 * 0.32998), floor(1280 * 0.32998)
        (Budget(), (1, 1_000_000), (1, 100_352)),
        (Budget(), (1_000_000, 1), (100_352, 1)),
        (Budget(min_pixels=1, max_pixels=1), (9, 16), (1, 1)),
        # No size of 1:1 has exactly 25,088 pixels: the most wins.
        (Budget(min_pixels=25_088, max_pixels=25_088), (10, 10), (158, 158)),
        (Budget(min_pixels=25_088, max_pixels=25_088), (1000, 1000), (158, 158)),
    ],
)
def test_sizes_worked_by_hand(budget: Budget, given_size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert budget.fit(*given_size) == shown


SIDES = st.integers(1, 20_000)


@given(SIDES, SIDES, st.integers(1, 60_000), st.integers(1, 60_000))
def test_never_more_than_the_most(height: int, width: int, least: int, more: int) -> None:
    budget = Budget(min_pixels=least, max_pixels=least + more)
    rows, columns = budget.fit(height, width)
    assert rows >= 1
    assert columns >= 1
    assert rows * columns <= budget.max_pixels


@given(SIDES, SIDES, st.integers(1, 60_000), st.integers(4, 9))
def test_at_least_the_least_where_there_is_room(height: int, width: int, least: int, times: int) -> None:
    budget = Budget(min_pixels=least, max_pixels=times * least)
    shown = budget.fit(height, width)
    assert least <= shown[0] * shown[1] <= times * least
    assert budget.fit(*shown) == shown
    if least <= height * width <= times * least:
        assert shown == (height, width)


@given(st.integers(16, 4000), st.floats(0.2, 5.0))
def test_the_aspect_is_kept(height: int, aspect: float) -> None:
    width = max(1, round(height * aspect))
    rows, columns = Budget().fit(height, width)
    # Sides are rounded by less than a pixel each.
    assert columns / rows == pytest.approx(width / height, rel=1 / rows + 1 / columns + 1e-9)


def test_a_short_video_gets_the_grid_of_the_rate() -> None:
    assert overview_times(10.0, Budget()).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert overview_times(9.9, Budget()).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert overview_times(10.1, Budget()).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert overview_times(0.04, Budget()).tolist() == [0.0]
    assert overview_times(128.0, Budget()).tolist() == [2.0 * i for i in range(64)]
    # 12.8 s * 5 fps is 64.0 in decimal.
    assert len(overview_times(12.8, Budget(overview_fps=5.0))) == 64


@pytest.mark.parametrize("duration", [128.5, 129.0, 600.0, 3600.0, 36_000.1])
def test_a_long_video_is_spread_from_end_to_end(duration: float) -> None:
    times = overview_times(duration, Budget())
    assert len(times) == 64
    assert times[0] == 0.0
    assert times[-1] == duration
    np.testing.assert_allclose(np.diff(times), duration / 63, rtol=1e-9)


def test_grids_at_the_edge() -> None:
    assert overview_times(10.0, Budget(overview_frames=0)).shape == (0,)
    assert overview_times(10.0, Budget(overview_frames=1)).tolist() == [0.0]
    assert overview_times(9.0, Budget(overview_fps=math.inf, overview_frames=4)).tolist() == [0.0, 3.0, 6.0, 9.0]
    assert overview_times(9.0, Budget(overview_fps=math.inf, overview_frames=1)).tolist() == [0.0]


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 100), st.integers(0, 80))
def test_grids_are_increasing_inside_and_within_the_budget(duration: float, fps: float, most: int) -> None:
    times = overview_times(duration, Budget(overview_fps=fps, overview_frames=most))
    assert times.dtype == np.float64
    assert len(times) <= most
    if most == 0:
        return
    assert times[0] == 0.0
    assert (np.diff(times) > 0).all()
    assert times[-1] <= duration
    if len(times) < most:
        np.testing.assert_allclose(times * fps, np.arange(len(times)), atol=1e-6)


@pytest.mark.parametrize("duration", [0.0, -1.0, math.nan, math.inf])
def test_a_senseless_duration_is_refused(duration: float) -> None:
    with pytest.raises(InvalidSetting, match=r"duration must be finite and > 0 seconds"):
        overview_times(duration, Budget())


def test_the_same_values_are_the_same_budget() -> None:
    settings: dict[str, Any] = {"clip_frames": 8, "overview_fps": 1}
    assert Budget(**settings) == Budget.from_mapping(settings)
    assert hash(Budget(**settings)) == hash(Budget.from_mapping(settings))
    assert Budget(**settings) != Budget()
