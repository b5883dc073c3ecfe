"""Zooms as JSON: the content of the paper's tag, and the arguments of native tool calls."""

from __future__ import annotations

import json
from typing import Any

from vzgym.core.actions import Action, Malformed, Region, Zoom

__all__ = ["arguments_of", "read_json", "zoom_of"]


def arguments_of(zoom: Zoom) -> dict[str, Any]:
    """`{"segment": [start, end], "fps": n}`, with `"region"` if the zoom has one."""
    call: dict[str, Any] = {"segment": [_float(zoom.start), _float(zoom.end)], "fps": _float(zoom.fps)}
    if zoom.region is not None:
        call["region"] = zoom.region.to_list()
    return call


def read_json(text: str) -> Any:
    """Parse a JSON text; returns `Malformed` with the reason if it is not JSON. Never raises."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        return Malformed(f"the zoom is not JSON: {error.msg}.")
    except RecursionError:
        return Malformed("the zoom is not JSON: nested too deeply.")
    except ValueError:
        # Python refuses integers of thousands of digits.
        return Malformed("the zoom holds a number that is far too long.")


def zoom_of(call: object) -> tuple[Action, bool]:
    """Build a zoom from its arguments.

    Args:
        call: A JSON value from an agent.

    Returns:
        The zoom, or `Malformed` with the reason; and whether the arguments have no keys other than `segment`, `fps` and
        `region`.
    """
    if not isinstance(call, dict) or "segment" not in call or "fps" not in call:
        return Malformed('the zoom must be a JSON object with "segment" and "fps".'), False
    segment, fps, region = call["segment"], call["fps"], call.get("region")
    if not _are_numbers(segment, 2):
        return Malformed('"segment" must be [start, end], two numbers of seconds.'), False
    if not _are_numbers([fps], 1):
        return Malformed('"fps" must be a number.'), False
    if region is not None and not _are_numbers(region, 4):
        return Malformed('"region" must be [left, top, right, bottom], four numbers.'), False
    start, end = map(_float, segment)
    place = None if region is None else Region(*map(_float, region))
    return Zoom(start, end, _float(fps), place), set(call) <= {"segment", "fps", "region"}


def _are_numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    )


def _float(value: int | float) -> float:
    """A JSON number as a float; an integer too long for one becomes infinite, which the episode refuses."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
