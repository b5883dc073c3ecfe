"""What tells settings that were kept from those that are wanted now, for messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["first_difference"]


def first_difference(
    there: Mapping[str, Any], wanted: Mapping[str, Any], free: Collection[str] = ()
) -> tuple[str, Any, Any] | None:
    """The first setting that differs, as deep as both have parts: a long mapping as a whole would hide it.

    Args:
        there: JSON values.
        wanted: JSON values.
        free: Settings that may differ.

    Returns:
        Its dotted name and both values, None where it is not given; None if nothing differs.
    """
    for key in {**there, **wanted}:
        one, other = there.get(key), wanted.get(key)
        if key in free or one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            deeper = first_difference(one, other)
            # A part that is null is no part that is missing: only the whole shows that.
            if deeper is not None:
                return f"{key}.{deeper[0]}", deeper[1], deeper[2]
        return key, one, other
    return None
