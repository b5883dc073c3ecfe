"""Estimates with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

__all__ = ["Estimate", "mean", "proportion"]

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes:
        value: The estimate; nan if `n` is 0.
        low: Lower end of the interval; nan where it is unknown.
        high: Upper end of the interval; nan where it is unknown.
        n: Number of episodes it rests on; unscored ones are left out.
    """

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """JSON form; nan becomes null."""
        values = {"value": self.value, "low": self.low, "high": self.high}
        return {**{key: None if math.isnan(value) else value for key, value in values.items()}, "n": self.n}


_NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def proportion(hits: Sequence[bool]) -> Estimate:
    """A share with Wilson's 95 % score interval (Wilson 1927), which stays honest near 0 and 1."""
    n = len(hits)
    if n == 0:
        return _NOTHING
    p = sum(hits) / n
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    # At p = 0 and p = 1 the bound is exact; rounding would miss it by 1e-17.
    return Estimate(p, 0.0 if p == 0 else centre - half, 1.0 if p == 1 else centre + half, n)


def mean(values: Sequence[float]) -> Estimate:
    """A mean with its normal 95 % interval, mean +- 1.96 s / sqrt(n).

    The interval of a single value is unknown: one value says nothing about the spread.
    """
    n = len(values)
    if n == 0:
        return _NOTHING
    middle = fmean(values)
    half = _Z * stdev(values) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(middle, middle - half, middle + half, n)
