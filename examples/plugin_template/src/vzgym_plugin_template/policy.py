"""A policy: two methods."""

from __future__ import annotations

from typing import Any

import numpy as np

import vzgym


class Guess:
    """Zooms into one random second, then answers at random."""

    name = "template guess"

    def reset(self, seed: int) -> None:
        """Begin an episode; all random numbers are derived from this seed."""
        self._rng = np.random.default_rng(seed)
        self._looked = False

    def act(self, observation: Any, info: dict[str, Any]) -> vzgym.Zoom | vzgym.Answer:
        """Choose the next action."""
        if not self._looked and observation["budget_left"][0] > 0:
            self._looked = True
            start = float(self._rng.uniform(0.0, info["duration"] - 1.0))
            return vzgym.Zoom(start, start + 1.0, fps=4.0)
        return vzgym.Answer("ABCDEFGH"[self._rng.integers(len(info["options"]))])
