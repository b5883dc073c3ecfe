"""Validation of reward module options, which may come from files with values of any type."""

from __future__ import annotations

import math

from vzgym.core.errors import InvalidSetting

__all__ = ["need_choice", "need_flag", "need_number"]


def need_number(
    module: str,
    option: str,
    value: object,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> None:
    """Raise `InvalidSetting` unless `value` is a finite number in `[least, most]` and greater than `above`."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if ok and isinstance(value, (int, float)) and least <= value <= most and value > above:
        return
    rules = ["a finite number"]
    rules += [f">= {least:g}"] if math.isfinite(least) else []
    rules += [f"> {above:g}"] if math.isfinite(above) else []
    rules += [f"<= {most:g}"] if math.isfinite(most) else []
    raise InvalidSetting(f"{module}: {option} must be {', '.join(rules)}, got {value!r}")


def need_flag(module: str, option: str, value: object) -> None:
    """Raise `InvalidSetting` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise InvalidSetting(f"{module}: {option} must be true or false, got {value!r}")


def need_choice(module: str, option: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `InvalidSetting` unless `value` is one of `choices`."""
    if value not in choices:
        raise InvalidSetting(f"{module}: {option} must be one of {', '.join(choices)}, got {value!r}")
