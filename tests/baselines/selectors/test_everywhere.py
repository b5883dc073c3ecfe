"""Every selector plays the standard suite and video files, in both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

import vzgym
from vzgym.baselines.selectors.base import SELECTORS

FRAMES = 6


@pytest.mark.parametrize("name", SELECTORS.names())
def test_a_selector_plays(name: str, written: Path) -> None:
    pytest.importorskip("scipy", reason="needs the extra 'selectors'")
    policy = {"name": "selector", "selector": name, "frames": FRAMES, "fps": 0.2, "most": 40}
    look = vzgym.evaluate({**policy, "play": "look"}, "standard", episodes=1)
    zoom = vzgym.evaluate({**policy, "play": "zoom"}, str(written), episodes=1)
    for report in (look, zoom):
        assert not report.failed
        assert report.accuracy.n == 1
    assert look.summary["frames"].value == FRAMES
    assert look.summary["zooms"].value == 0
    assert 1 <= zoom.summary["zooms"].value <= zoom.budget.max_zooms
