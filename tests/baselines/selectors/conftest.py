"""The scores of the worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from vzgym.baselines.selectors import Candidates

SCORES = (0.10, 0.20, 0.90, 0.80, 0.15, 0.05, 0.60, 0.55, 0.12, 0.08)


@pytest.fixture
def scores():
    return np.array(SCORES)


@pytest.fixture
def candidates(scores):
    """Ten candidates at one a second."""
    return Candidates(np.arange(10.0), scores)
