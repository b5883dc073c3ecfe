"""A small experiment of policies that learn nothing: a second or two a cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vzgym.evaluation.experiments import Grid, load_experiment, make_grid

POLICIES = """
title: Controls
about: Who sees what?
tasks: [needle-micro, control-micro]
seeds: 2
evaluate: {episodes: 12}
reference: {learner: blind}
learners:
  blind: {kind: policy, policy: blind}
  expert: {kind: policy, policy: expert}
grid:
  - {tasks: [needle-micro]}
  - {tasks: [control-micro], learners: [blind]}
"""


@pytest.fixture
def grid_of(tmp_path: Path) -> Callable[[str], Grid]:
    """Makes the grid of an experiment that is given as text."""

    def make(text: str) -> Grid:
        path = tmp_path / "trial.yaml"
        path.write_text(text, encoding="utf-8")
        return make_grid(load_experiment(path))

    return make
