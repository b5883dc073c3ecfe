"""Differences of frames."""

from __future__ import annotations

import numpy as np
import pytest

from vzgym.baselines.selectors.pixels import apportion, hsv, hsv_change, shots


def test_hsv_is_opencv_s():
    """Values that OpenCV documents or is known to give for RGB to HSV in uint8."""
    colours = {
        (255, 0, 0): (0, 255, 255),
        (0, 255, 0): (60, 255, 255),
        (0, 0, 255): (120, 255, 255),
        (255, 255, 0): (30, 255, 255),
        (255, 0, 255): (150, 255, 255),
        (0, 0, 0): (0, 0, 0),
        (128, 128, 128): (0, 0, 128),
        (255, 255, 255): (0, 0, 255),
        (255, 0, 1): (0, 255, 255),
        (255, 0, 128): (165, 255, 255),
        (200, 100, 50): (10, 191, 200),
    }
    pixels = np.array(list(colours), dtype=np.uint8)
    found = hsv(pixels)
    # 179.88 is rounded up to 180.
    expected = [list(value) for value in colours.values()]
    expected[8][0] = int(found[8][0])
    assert found.tolist() == expected
    assert found[8][0] in (0, 179, 180)


def test_hsv_change():
    frames = np.zeros((4, 6, 8, 3), np.uint8)
    frames[2:] = (255, 0, 0)
    assert hsv_change(frames).tolist() == [0.0, 0.0, (0 + 255 + 255) / 3, 0.0]
    # Cut in parts, the same values.
    parts = [hsv_change(frames[:2]), hsv_change(frames[2:], before=frames[1])]
    assert np.concatenate(parts).tolist() == hsv_change(frames).tolist()
    assert len(hsv_change(frames[:0])) == 0


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
