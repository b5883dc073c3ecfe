"""Zooms and tool calls as JSON: the content of tags, and the arguments of native tool calls."""

from __future__ import annotations

import json
from typing import Any

from vzgym.core.actions import Action, Malformed, Region, ToolCall, Zoom
from vzgym.core.files import MAX_DEPTH, json_fault

__all__ = ["arguments_of", "read_json", "tool_call_of", "zoom_of"]

_KEYS = {"segment", "fps", "region", "max_pixels"}


def arguments_of(zoom: Zoom) -> dict[str, Any]:
    """`{"segment": [start, end], "fps": n}`, with `"region"` and `"max_pixels"` if the zoom has them."""
    call: dict[str, Any] = {"segment": [_float(zoom.start), _float(zoom.end)], "fps": _float(zoom.fps)}
    if zoom.region is not None:
        call["region"] = zoom.region.to_list()
    if zoom.max_pixels is not None:
        call["max_pixels"] = zoom.max_pixels
    return call


def read_json(text: str, what: str = "the zoom") -> Any:
    """Parse a JSON text; returns `Malformed` with the reason if it is not JSON. Never raises.

    Args:
        text: The text.
        what: What it is, for the reason.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        return Malformed(f"{what} is not JSON: {error.msg}.")
    except RecursionError:
        return Malformed(f"{what} is not JSON: nested too deeply.")
    except ValueError:
        # Python refuses integers of thousands of digits.
        return Malformed(f"{what} holds a number that is far too long.")


def zoom_of(call: object) -> tuple[Action, bool]:
    """Build a zoom from its arguments.

    Args:
        call: A JSON value from an agent.

    Returns:
        The zoom, or `Malformed` with the reason; and whether the arguments have no keys other than `segment`, `fps`,
        `region` and `max_pixels`.
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
    size = call.get("max_pixels")
    if isinstance(size, float) and size.is_integer():
        size = int(size)
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        return Malformed('"max_pixels" must be a whole number.'), False
    start, end = map(_float, segment)
    place = None if region is None else Region(*map(_float, region))
    return Zoom(start, end, _float(fps), place, size), set(call) <= _KEYS


def tool_call_of(call: object) -> tuple[Action, bool]:
    """Build a tool call from the JSON object of a call.

    Args:
        call: A JSON value from an agent, in place of `{"name": ..., "arguments": {...}}`.

    Returns:
        The call, or `Malformed` with the reason; and whether it has the exact form.
    """
    if not isinstance(call, dict) or "name" not in call or "arguments" not in call:
        return Malformed('a tool call must be a JSON object with "name" and "arguments".'), False
    name, arguments, tidy = call["name"], call["arguments"], set(call) == {"name", "arguments"}
    if isinstance(arguments, str):
        arguments, tidy = read_json(arguments), False
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return Malformed('"name" must be text and "arguments" a JSON object.'), False
    fault = json_fault(arguments, MAX_DEPTH // 2)
    if fault is not None:
        return Malformed(f"the arguments of the call hold {fault}, which JSON has no form for."), False
    return ToolCall(name, arguments), tidy


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
