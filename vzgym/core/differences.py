"""Differences between saved and requested settings, for error messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["first_difference"]


def first_difference(
    there: Mapping[str, Any], wanted: Mapping[str, Any], free: Collection[str] = ()
) -> tuple[str, Any, Any] | None:
    """The first setting that differs. Nested mappings are compared key by key.

    Args:
        there: The saved settings, JSON values.
        wanted: The requested settings, JSON values.
        free: Settings that may differ.

    Returns:
        Its dotted name and both values (None for a setting that is missing); None if nothing differs.
    """
    for key in {**there, **wanted}:
        one, other = there.get(key), wanted.get(key)
        if key in free or one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            deeper = first_difference(one, other)
            # No deeper difference: one has a key with the value None that the other lacks. Show the whole mapping.
            if deeper is not None:
                return f"{key}.{deeper[0]}", deeper[1], deeper[2]
        return key, one, other
    return None
