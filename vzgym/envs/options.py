"""Validation of the options of modules, which may come from files or `gym.make` with values of any type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting

__all__ = ["MOST_OPTIONS", "need_budget_rates", "need_count", "need_frame_size", "need_rate", "need_rates"]

MOST_OPTIONS = 26
"""Most options of a question: one for each letter."""


def _is_count(value: object, least: int = 1, most: float = math.inf) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and least <= int(value) <= most


def need_count(module: str, option: str, value: object, least: int = 1, most: float = math.inf) -> None:
    """Raise `InvalidSetting` unless `value` is an integer in `[least, most]`."""
    if _is_count(value, least, most):
        return
    limits = f">= {least}" if most == math.inf else f"from {least} to {most}"
    raise InvalidSetting(f"{module}: {option} must be an integer {limits}, got {value!r:.80}")


def need_frame_size(module: str, value: object) -> tuple[int, int]:
    """Return the height and width of a frame in pixels.

    Raises:
        InvalidSetting: If `value` is anything but two integers >= 1.
    """
    if isinstance(value, Sequence) and len(value) == 2 and all(_is_count(side) for side in value):
        return int(value[0]), int(value[1])
    raise InvalidSetting(
        f"{module}: frame_size must be (height, width) in pixels, two integers >= 1, got {value!r:.80}"
    )


def need_rate(module: str, option: str, value: object) -> None:
    """Raise `InvalidSetting` unless `value` is a frame rate, a finite number > 0."""
    if (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and 0 < value < math.inf
    ):
        return
    raise InvalidSetting(f"{module}: {option} must be a finite number > 0, got {value!r:.80}")


def need_rates(module: str, option: str, values: object) -> None:
    """Raise `InvalidSetting` unless `values` is a list of frame rates."""
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, (str, bytes)) or len(values) == 0:
        raise InvalidSetting(
            f"{module}: {option} must be a list of frame rates, such as [1.0, 5.0], got {values!r:.80}"
        )
    for place, value in enumerate(values):
        need_rate(module, f"{option}[{place}]", value)


def need_budget_rates(module: str, option: str, rates: Iterable[float], budget: Budget) -> None:
    """Raise `InvalidSetting` if a budget refuses every zoom at one of the rates."""
    for rate in rates:
        if not budget.min_fps <= rate <= budget.max_fps:
            limit = f"max_fps={budget.max_fps:g}" if rate > budget.max_fps else f"min_fps={budget.min_fps:g}"
            raise InvalidSetting(
                f"{module}: no zoom at {option} {rate:g} is possible under a budget with {limit}; choose rates from "
                f"{budget.min_fps:g} to {budget.max_fps:g}, or another budget"
            )
