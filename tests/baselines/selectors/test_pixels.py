"""Shots and apportionment."""

from __future__ import annotations

import numpy as np
import pytest

from vzgym.baselines.selectors.pixels import apportion, shots


def test_shots_have_a_minimum_length():
    values = np.array([0, 0, 50, 0, 50, 0, 0, 50, 0, 0])
    assert shots(values, 27.0, 1) == [(0, 2), (2, 4), (4, 7), (7, 10)]
    assert shots(values, 27.0, 3) == [(0, 4), (4, 7), (7, 10)]
    assert shots(values, 60.0, 1) == [(0, 10)]


def test_the_adaptive_rule_ignores_steady_motion():
    steady = np.full(20, 40.0)
    assert len(shots(steady, 27.0, 1)) == 20
    assert shots(steady, least=1, adaptive=True) == [(0, 20)]
    steady[9] = 130.0
    assert shots(steady, least=1, adaptive=True) == [(0, 9), (9, 20)]
    still = np.zeros(20)
    still[9] = 20.0
    assert shots(still, least=1, adaptive=True) == [(0, 9), (9, 20)]
    still[9] = 14.0
    assert shots(still, least=1, adaptive=True) == [(0, 20)]


@pytest.mark.parametrize(
    ("weights", "seats", "expected"), [([1, 1, 1], 4, [2, 1, 1]), ([3, 1], 4, [3, 1]), ([5, 3, 1], 3, [2, 1, 0])]
)
def test_largest_remainders(weights, seats, expected):
    assert apportion(np.array(weights, dtype=float), seats).tolist() == expected
