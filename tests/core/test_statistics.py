"""Estimates and their intervals, against values worked out by hand."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vzgym.core.statistics import exact_mcnemar, paired_proportions, student, student_p, student_quantile
from vzgym.evaluation import Estimate, mean, proportion


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964
        (8, 10, 0.490162, 0.943318),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (50, 200, 0.195082, 0.314341),
        (0, 1, 0.0, 0.793450),
        (1, 1, 0.206549, 1.0),
    ],
)
def test_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    found = proportion([True] * hits + [False] * (n - hits))
    assert found.n == n
    assert found.value == hits / n
    assert found.low == pytest.approx(low, abs=2e-6)
    assert found.high == pytest.approx(high, abs=2e-6)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_a_share_lies_in_its_interval_and_that_in_0_to_1(hits: list[bool]) -> None:
    found = proportion(hits)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.low < found.high


def test_the_mirrored_share_has_the_mirrored_interval() -> None:
    found, mirrored = proportion([True] * 3 + [False] * 14), proportion([False] * 3 + [True] * 14)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high))


def test_a_mean_has_the_normal_interval() -> None:
    found = mean([1.0, 2.0, 3.0, 4.0])
    half = 1.959964 * math.sqrt(5 / 3) / 2  # s^2 = 5/3, n = 4
    assert found.value == 2.5
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half), abs=1e-6)
    assert found.n == 4


def test_equal_values_have_no_spread() -> None:
    assert mean([7.0, 7.0, 7.0]) == Estimate(7.0, 7.0, 7.0, 3)


def test_one_value_says_nothing_about_the_spread() -> None:
    found = mean([7.0])
    assert found.value == 7.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("estimate", [mean, proportion])
def test_nothing_is_not_zero(estimate: object) -> None:
    assert callable(estimate)
    found = estimate([])
    assert found.n == 0
    assert math.isnan(found.value)
    assert found.to_json() == {"value": None, "low": None, "high": None, "n": 0}


def test_json_knows_no_nan() -> None:
    assert json.dumps(mean([7.0]).to_json(), allow_nan=False) == '{"value": 7.0, "low": null, "high": null, "n": 1}'


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423)]
)
def test_students_quantiles_are_those_of_the_tables(freedom: int, t: float) -> None:
    assert student_quantile(freedom) == pytest.approx(t, abs=1e-4)


def test_an_interval_is_cut_to_possible_values() -> None:
    assert Estimate(0.9, 0.7, 1.1, 5).within(0.0, 1.0) == Estimate(0.9, 0.7, 1.0, 5)
    assert Estimate(-0.9, -1.3, -0.5, 5).within(-1.0, 1.0) == Estimate(-0.9, -1.0, -0.5, 5)
    assert math.isnan(mean([0.5]).within(0.0, 1.0).high)


def test_students_interval_of_a_few_values() -> None:
    found = student([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.value == 3.0
    # s = sqrt(2.5), t(4) = 2.7764
    assert found.high - 3.0 == pytest.approx(2.7764 * math.sqrt(2.5 / 5), abs=1e-4)
    assert math.isnan(student([1.0]).low)
    assert student([]).n == 0


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e5])
def test_values_that_differ_by_rounding_agree(scale: float) -> None:
    values = [scale * (0.9 - 0.7), scale * (0.3 - 0.1), scale * (0.6 - 0.4)]
    assert len(set(values)) > 1
    found = student(values)
    assert found.low == found.high == pytest.approx(0.2 * scale)
    assert math.isnan(student_p(values))
    different = student([*values[:2], 0.21 * scale])
    assert different.low < different.high
    assert 0 < student_p([*values[:2], 0.21 * scale]) < 0.01


@pytest.mark.parametrize(
    ("both", "first", "second", "neither", "low", "high"),
    [
        # An example of Newcombe 1998, method 10.
        (36, 12, 2, 0, 0.0569, 0.3404),
        # phi = 0: 1 - sqrt(2) z^2 / (n + z^2)
        (0, 54, 0, 0, 0.9061, 1.0),
    ],
)
def test_newcombes_interval_for_paired_shares(
    both: int, first: int, second: int, neither: int, low: float, high: float
) -> None:
    one = [True] * both + [True] * first + [False] * second + [False] * neither
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    found = paired_proportions(one, other)
    assert found.value == pytest.approx((first - second) / len(one))
    assert found.low == pytest.approx(low, abs=2e-4)
    assert found.high == pytest.approx(high, abs=2e-4)


@pytest.mark.parametrize(("first", "second", "p"), [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (8, 1, 20 / 512)])
def test_mcnemars_exact_test(first: int, second: int, p: float) -> None:
    one = [True] * first + [False] * second + [True] * 4
    other = [False] * first + [True] * second + [True] * 4
    assert exact_mcnemar(one, other) == pytest.approx(p)
    assert math.isnan(exact_mcnemar([], []))


def test_an_estimate_as_text() -> None:
    nan = math.nan
    assert Estimate(0.5, 0.25, 0.75, 10).text() == "50.0 [25.0, 75.0]"
    assert Estimate(-0.5, -0.75, 0.25, 10).text("+.2f", 1.0) == "-0.50 [-0.75, +0.25]"
    assert Estimate(0.5, nan, nan, 1).text() == "50.0"
    assert Estimate(nan, nan, nan, 0).text() == "-"
