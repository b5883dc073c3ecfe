"""A scorer that knows the evidence, with noise: a dial from an oracle to chance."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.scorers.base import OptionsByName, Query
from vzgym.scorers.pixels import hash_unit
from vzgym.video.base import FRAME_SLACK, Frames

__all__ = ["EvidenceScorer"]


class EvidenceScorer(OptionsByName):
    """Knows the evidence, and mixes its knowledge with noise.

    Formula: `(1 - noise) * e + noise * z`. e is 1 for a frame whose time lies inside an interval of the evidence, else
    0. z is a standard normal number, determined by the seed, the task, the query's text and the frame's time (to a
    microsecond). A frame inside the evidence scores higher than one outside with the probability
    `Phi((1 - noise) / (noise * sqrt(2)))` (`auc`): 1 at noise 0, 0.98 at 0.25, 0.76 at 0.5, 0.59 at 0.75, 0.5 at 1.
    Range: {0, 1} at noise 0, else all numbers.
    Source: vzgym. Signal detection theory: d' = (1 - noise) / noise.
    Known to break: its errors are independent between frames, those of models are not. A model may score neighboring
    frames that hold no evidence alike.

    Privileged: a policy that uses it knows the evidence.

    Args:
        noise: From 0 (oracle) to 1 (chance).
        seed: Another seed gives other noise.

    Raises:
        InvalidSetting: If the noise is outside [0, 1], or the seed is not an integer.
    """

    name: ClassVar[str] = "evidence"
    uses_model: ClassVar[bool] = False
    needs_pixels: ClassVar[bool] = False
    privileged: ClassVar[bool] = True

    def __init__(self, noise: float = 0.0, seed: int = 0) -> None:
        if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0 <= noise <= 1:
            raise InvalidSetting(f"the noise of scorer 'evidence' must lie in [0, 1], got {noise!r}")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidSetting(f"the seed of scorer 'evidence' must be an integer, got {seed!r}")
        self.noise = float(noise)
        self.seed = seed

    @property
    def auc(self) -> float:
        """Probability that a frame inside the evidence scores higher than one outside (ties count as half)."""
        if not self.noise:
            return 1.0
        return NormalDist().cdf((1.0 - self.noise) / (self.noise * math.sqrt(2.0)))

    @property
    def identity(self) -> None:
        """None: scores are not kept on disk, since a task's evidence is not part of the query's text."""

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`.

        Raises:
            TaskError: If the query's evidence is unknown.
        """
        if query.evidence is None:
            raise TaskError(f"task {query.task_id!r}: scorer 'evidence' needs a task with known evidence")
        inside = np.zeros(len(frames))
        for span in query.evidence:
            # Within the rounding of a decoder's time stamps.
            inside[(frames.times >= span.start - FRAME_SLACK) & (frames.times < span.end - FRAME_SLACK)] = 1.0
        if not self.noise:
            return inside
        return (1.0 - self.noise) * inside + self.noise * self._normal(query, frames.times)

    def _normal(self, query: Query, times: NDArray[np.float64]) -> NDArray[np.float64]:
        normal = NormalDist()
        units = [hash_unit(str(self.seed), query.task_id, query.text, str(round(float(time) * 1e6))) for time in times]
        return np.array([normal.inv_cdf(unit or 2.0**-54) for unit in units])  # the inverse of 0 is infinite
