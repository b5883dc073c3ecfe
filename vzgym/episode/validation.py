"""The rules for zooms, and the types of actions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vzgym.core.actions import Action, Answer, Malformed, Region, ToolCall, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import ActionTypeError
from vzgym.core.files import MAX_DEPTH, json_fault
from vzgym.core.text import replace_surrogates
from vzgym.episode.turn import Refusal
from vzgym.episode.wording import number, seconds

__all__ = ["checked_action", "validate_zoom", "validate_zooms", "within"]

# Times may come from decimal text: a zoom may exceed the end by less than any frame distance.
_TIME_SLACK = 1e-6
# No picture has more pixels; larger integers would not be JSON-serializable.
_MOST_PIXELS = 1 << 53


def validate_zoom(zoom: Zoom, duration: float, budget: Budget) -> tuple[Refusal, str] | None:
    """Check whether a zoom can be executed.

    The rules, in the order in which they are checked: all values are finite; `end > start`; the interval is inside the
    video; `fps` is within the budget's limits; at most `clip_frames` frames; a region only if the budget allows one,
    and inside the frame; `max_pixels` only if the budget allows it, and within its limits.

    Args:
        zoom: The requested zoom.
        duration: Length of the video in seconds.
        budget: The limits.

    Returns:
        The refusal code and one sentence for the agent with the valid values; None if the zoom is valid.
    """
    start, end, fps = zoom.start, zoom.end, zoom.fps
    if not (math.isfinite(start) and math.isfinite(end) and math.isfinite(fps)):
        return Refusal.NOT_FINITE, f"start, end and fps must be finite numbers, got {start}, {end}, {fps}."
    if end <= start:
        return Refusal.REVERSED, f"the end ({number(end)} s) must be greater than the start ({number(start)} s)."
    if start < 0 or end > duration + _TIME_SLACK:
        return Refusal.OUTSIDE, (
            f"[{number(start)}, {number(end)}] s is not inside the video, which lasts from 0 to {seconds(duration)} s."
        )
    if not budget.min_fps <= fps <= budget.max_fps:
        return Refusal.FPS_OUT_OF_RANGE, (
            f"fps must be between {number(budget.min_fps)} and {number(budget.max_fps)}, got {number(fps)}."
        )
    asked = within(zoom, duration).num_frames
    if asked > budget.clip_frames:
        return Refusal.TOO_MANY_FRAMES, (
            f"{number(end - start)} s at {number(fps)} fps are {asked} frames; at most {budget.clip_frames} "
            "are allowed: choose a shorter interval or a lower fps."
        )
    if zoom.region is not None and not budget.spatial:
        return Refusal.REGION_NOT_ALLOWED, "regions are not available here: ask for the whole picture."
    if zoom.region is not None and not zoom.region.is_valid:
        return Refusal.REGION_INVALID, (
            "a region is [left, top, right, bottom] with 0 <= left < right <= 1 and 0 <= top < bottom <= 1, "
            f"got {zoom.region.to_list()}."
        )
    if zoom.max_pixels is not None and not budget.zoom_max_pixels:
        return Refusal.SIZE_NOT_ALLOWED, "max_pixels is not available here: leave it out."
    if zoom.max_pixels is not None and not budget.min_pixels <= zoom.max_pixels <= budget.zoom_max_pixels:
        return Refusal.SIZE_OUT_OF_RANGE, (
            f"max_pixels must be between {budget.min_pixels} and {budget.zoom_max_pixels}, got {zoom.max_pixels}."
        )
    return None


def validate_zooms(zooms: Sequence[Zoom], duration: float, budget: Budget) -> tuple[Refusal, str] | None:
    """Check whether the zooms of one turn can be executed together.

    The rules, in the order in which they are checked: at most `zooms_per_turn` zooms; each zoom is valid by itself
    (`validate_zoom`), in their order; at most `clip_frames` frames in all.

    Args:
        zooms: The zooms, at least one.
        duration: Length of the video in seconds.
        budget: The limits.

    Returns:
        The refusal code and one sentence for the agent; None if all can be executed. Otherwise none is.
    """
    if len(zooms) == 1:
        return validate_zoom(zooms[0], duration, budget)
    if len(zooms) > budget.zooms_per_turn:
        most = "one zoom" if budget.zooms_per_turn == 1 else f"{budget.zooms_per_turn} zooms"
        return Refusal.TOO_MANY_ZOOMS, f"at most {most} can be made in one turn, got {len(zooms)}."
    for place, zoom in enumerate(zooms, start=1):
        fault = validate_zoom(zoom, duration, budget)
        if fault is not None:
            return fault[0], f"zoom {place} of {len(zooms)}: {fault[1]}"
    asked = [within(zoom, duration).num_frames for zoom in zooms]
    if sum(asked) > budget.clip_frames:
        return Refusal.TOO_MANY_FRAMES, (
            f"the {len(zooms)} zooms are {' + '.join(map(str, asked))} = {sum(asked)} frames; all zooms of a turn "
            f"together may have {budget.clip_frames}: choose shorter intervals or a lower fps."
        )
    return None


def within(zoom: Zoom, duration: float) -> Zoom:
    """`zoom` clipped to the video's end, so that the tolerance adds no frame."""
    return replace(zoom, end=min(zoom.end, duration))


def checked_action(action: object) -> Action:
    """Validate the types of an action and convert its numbers: programming errors must not enter a record.

    Returns:
        The action with floats for numbers; `Zooms` of a single zoom becomes that `Zoom`.

    Raises:
        ActionTypeError: If it is not an action, or a part of it has the wrong type.
    """
    match action:
        case Zoom():
            return _checked_zoom(action)
        case Zooms(zooms):
            if not isinstance(zooms, (tuple, list)) or not zooms or not all(isinstance(z, Zoom) for z in zooms):
                raise ActionTypeError(f"Zooms takes a tuple of one Zoom or more, got {zooms!r:.200}")
            checked = tuple(map(_checked_zoom, zooms))
            return checked[0] if len(checked) == 1 else Zooms(checked)
        case ToolCall(name, arguments):
            if not isinstance(name, str):
                raise ActionTypeError(f"a tool's name is text, got {name!r:.200}")
            if not isinstance(arguments, Mapping):
                raise ActionTypeError(f"a tool's arguments are a mapping, got {arguments!r:.200}")
            fault = json_fault(arguments, MAX_DEPTH // 2)
            if fault is not None:
                raise ActionTypeError(f"arguments of the tool {name!r} hold {fault}, which JSON has no form for")
            return ToolCall(replace_surrogates(name), _copied(arguments))
        case Answer(text):
            if not isinstance(text, str):
                raise ActionTypeError(f"an answer is text, got {text!r}")
            return Answer(replace_surrogates(text))
        case Malformed():
            return action
    raise ActionTypeError(
        f"an action is a Zoom, Zooms, a ToolCall, an Answer or Malformed, got {type(action).__name__}"
    )


def _checked_zoom(zoom: Zoom) -> Zoom:
    region, size = zoom.region, zoom.max_pixels
    if not (region is None or isinstance(region, Region)):
        raise ActionTypeError(f"a zoom's region is a Region or None, got {region!r}")
    if size is not None and (not isinstance(size, (int, np.integer)) or isinstance(size, bool)):
        raise ActionTypeError(f"a zoom's max_pixels is an integer or None, got {size!r}")
    place = None if region is None else Region(*map(_to_float, (region.left, region.top, region.right, region.bottom)))
    most = None if size is None else min(max(int(size), -_MOST_PIXELS), _MOST_PIXELS)
    return Zoom(_to_float(zoom.start), _to_float(zoom.end), _to_float(zoom.fps), place, most)


def _to_float(value: object) -> float:
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise ActionTypeError(f"a zoom is made of numbers, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        # An integer beyond the range of floats becomes infinite, which is refused.
        return math.inf if value > 0 else -math.inf


def _copied(value: Any) -> Any:
    """A JSON value as plain dictionaries and lists, as it is read from a file; without lone surrogates."""
    match value:
        case str():
            return replace_surrogates(value)
        case Mapping():
            return {replace_surrogates(key): _copied(part) for key, part in value.items()}
        case list() | tuple():
            return [_copied(part) for part in value]
    return value
