"""Estimates with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, stdev

__all__ = [
    "Estimate",
    "exact_mcnemar",
    "mean",
    "paired_difference",
    "paired_proportions",
    "proportion",
    "student",
    "student_p",
]

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes:
        value: The estimate; nan if `n` is 0.
        low: Lower end of the interval; nan where it is unknown.
        high: Upper end of the interval; nan where it is unknown.
        n: Number of episodes, without unscored ones.
    """

    value: float
    low: float
    high: float
    n: int

    def text(self, form: str = ".1f", scale: float = 100.0) -> str:
        """`"52.3 [48.1, 56.5]"`; without the interval where it is unknown; `"-"` without a value.

        Args:
            form: Format of the three numbers.
            scale: They are multiplied by it: 100 for per cent.
        """
        if math.isnan(self.value):
            return "-"
        value, low, high = (format(number * scale, form) for number in (self.value, self.low, self.high))
        return value if math.isnan(self.low) else f"{value} [{low}, {high}]"

    def within(self, least: float, most: float) -> Estimate:
        """The estimate with its interval cut to the values that are possible; nan stays nan."""
        low, high = (end if math.isnan(end) else min(max(end, least), most) for end in (self.low, self.high))
        return Estimate(self.value, low, high, self.n)

    def to_json(self) -> dict[str, float | int | None]:
        """JSON form; nan becomes null."""
        values = {"value": self.value, "low": self.low, "high": self.high}
        return {**{key: None if math.isnan(value) else value for key, value in values.items()}, "n": self.n}


_NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def proportion(hits: Sequence[bool]) -> Estimate:
    """A proportion with Wilson's 95 % score interval (Wilson 1927), which remains accurate near 0 and 1."""
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

    The interval of a single value is unknown, since it does not show the variance.
    """
    n = len(values)
    if n == 0:
        return _NOTHING
    middle = fmean(values)
    half = _Z * stdev(values) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(middle, middle - half, middle + half, n)


def student(values: Sequence[float]) -> Estimate:
    """A mean with Student's 95 % interval, mean +- t s / sqrt(n): for few values, such as those of a few seeds.

    The interval of a single value is unknown. That of values that are equal up to rounding has no width.
    """
    n = len(values)
    if n == 0:
        return _NOTHING
    middle = fmean(values)
    half = student_quantile(n - 1) * _spread(values) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(middle, middle - half, middle + half, n)


def student_p(values: Sequence[float]) -> float:
    """The two-sided p of Student's test that the mean is 0; nan of fewer than two values, or values that all agree."""
    n = len(values)
    spread = _spread(values) if n > 1 else 0.0
    return 1.0 - _within(abs(fmean(values)) * math.sqrt(n) / spread, n - 1) if spread else math.nan


def _spread(values: Sequence[float]) -> float:
    """The standard deviation of two values or more; 0 if they are equal up to rounding (0.9 - 0.7 and 0.3 - 0.1)."""
    spread = stdev(values)
    return 0.0 if spread <= 1e-12 + 1e-9 * max(map(abs, values)) else spread


@cache
def student_quantile(freedom: int) -> float:
    """The t for which [-t, t] contains 95 % of Student's distribution with `freedom` >= 1 degrees of freedom."""
    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """The probability of [-t, t] under Student's distribution (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    total, term = 0.0, math.cos(theta) if odd else 1.0
    for power in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= math.cos(theta) ** 2 * (power + 1) / (power + 2)
    return 2 / math.pi * (theta + math.sin(theta) * total) if odd else math.sin(theta) * total


def paired_proportions(first: Sequence[bool], second: Sequence[bool]) -> Estimate:
    """The difference of two proportions of the same cases, first minus second, with Newcombe's 95 % interval.

    The score interval for paired proportions (Newcombe 1998, "Improved confidence intervals for the difference between
    binomial proportions based on paired data", method 10), which remains accurate near 0 and 1.

    Args:
        first: Whether each case was correct under the first condition.
        second: The same under the second condition, of equal length.
    """
    n = len(first)
    if n == 0:
        return _NOTHING
    both = sum(a and b for a, b in zip(first, second, strict=True))
    one, other = proportion(first), proportion(second)
    only_one, only_other = sum(first) - both, sum(second) - both
    neither = n - both - only_one - only_other
    product = float(both * neither - only_one * only_other)
    # Continuity correction for positive association.
    product = max(product - n / 2, 0.0) if product > 0 else product
    margins = sum(first) * (n - sum(first)) * sum(second) * (n - sum(second))
    phi = product / math.sqrt(margins) if margins else 0.0

    def half(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    difference = one.value - other.value
    return Estimate(
        difference,
        difference - half(one.value - one.low, other.high - other.value),
        difference + half(one.high - one.value, other.value - other.low),
        n,
    )


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The mean difference of pairs, first minus second, with Student's 95 % interval."""
    return student([a - b for a, b in zip(first, second, strict=True)])


def exact_mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """The exact two-sided p-value of McNemar's test.

    1 if the two never differ; nan without cases.
    """
    if not first:
        return math.nan
    only_one = sum(a and not b for a, b in zip(first, second, strict=True))
    only_other = sum(b and not a for a, b in zip(first, second, strict=True))
    n = only_one + only_other
    tail = sum(math.comb(n, k) for k in range(min(only_one, only_other) + 1))
    return min(1.0, math.ldexp(tail, 1 - n))
