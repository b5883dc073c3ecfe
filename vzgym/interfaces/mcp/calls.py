"""What agents may call: descriptions of the tools, and reading of their arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from vzgym.core.actions import Action, Answer, Malformed, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.interfaces.tasks import ServedTasks
from vzgym.protocols.arguments import tool_call_of, zoom_of
from vzgym.protocols.tool_calls import video_zoom_tool
from vzgym.tools.extras import Extras

__all__ = ["LONGEST_ANSWER", "OWN_TOOLS", "FrameMode", "action_of", "fault_of_start", "tool_schemas"]

FrameMode = Literal["single", "sheet"]
"""Each frame is a picture, or each clip is one picture with its times drawn in."""

OWN_TOOLS: Final = ("start", "zoom", "zooms", "answer")
LONGEST_ANSWER: Final = 10_000
"""Characters."""
_MOST_ZOOMS: Final = 64
_LARGEST_SEED: Final = (1 << 53) - 1

_HANDLE: Final = {"type": "string", "description": "The handle that `start` returned."}


def tool_schemas(tasks: ServedTasks, extras: Extras, frames: FrameMode) -> list[dict[str, Any]]:
    """The tools of a server.

    Args:
        tasks: The tasks that agents may start. The descriptions state the loosest limits of their budgets.
        extras: The tools beside the zoom.
        frames: The default of `start`.

    Returns:
        For each tool `name`, `description`, and `parameters`, a JSON schema.
    """
    budgets = list(dict.fromkeys(tasks.budgets.values()))
    found = [_start({name: len(found) for name, found in tasks.sets.items()}, frames)]
    if any(budget.max_zooms for budget in budgets):
        window = _window(budgets)
        look = "Look at an interval of the video more closely: returns its frames, each after its time."
        found.append(_with_handle("zoom", look, window))
        several = max(budget.zooms_per_turn for budget in budgets)
        if several > 1:
            zooms = {"type": "array", "items": window, "minItems": 1, "maxItems": several}
            look = "Look at several intervals in one round. If one cannot be shown, none is."
            found.append(_with_handle("zooms", look, _object({"zooms": zooms}, "zooms")))
        found += [_with_handle(tool.name, tool.description, tool.parameters) for tool in extras.tools]
    text = {
        "type": "string",
        "maxLength": LONGEST_ANSWER,
        "description": "The letter of the right option, or the answer.",
    }
    end = "This ends the episode"
    if any(budget.min_zooms for budget in budgets):
        end += ", unless it is refused because a zoom must come first"
    return [*found, _with_handle("answer", f"Answer the question. {end}.", _object({"text": text}, "text"))]


def _start(sets: Mapping[str, int], frames: FrameMode) -> dict[str, Any]:
    sizes = ", ".join(f"{name} ({count} tasks)" for name, count in sets.items())
    properties: dict[str, Any] = {
        "task": {
            "type": "integer",
            "minimum": 0,
            "maximum": max(sets.values()) - 1,
            "description": "Number of the task in its set. Without it, the next task of the set.",
        },
        "seed": {
            "type": "integer",
            "minimum": 0,
            "maximum": _LARGEST_SEED,
            "description": "Draws a task instead: the same seed, the same task.",
        },
        "frames": {
            "type": "string",
            "enum": ["single", "sheet"],
            "description": "single: each frame is a picture. sheet: the frames of a clip are one picture, with their "
            f"times drawn in. Default: {frames}.",
        },
    }
    if len(sets) > 1:
        default = next(iter(sets))
        properties["tasks"] = {
            "type": "string", "enum": list(sets), "description": f"The set of tasks. Default: {default}."
        }  # fmt: skip
    about = (
        f"Start an episode: returns its handle, a question about a video, and an overview of the video. Tasks: {sizes}."
    )
    return {"name": "start", "description": about, "parameters": _object(properties)}


def _window(budgets: Sequence[Budget]) -> dict[str, Any]:
    """The schema of a zoom."""
    counts = sorted({budget.clip_frames for budget in budgets})
    most = " or ".join(map(str, counts)) + (", by the task" if len(counts) > 1 else "")
    properties: dict[str, Any] = {
        "start": {"type": "number", "description": "Start of the interval in seconds."},
        "end": {"type": "number", "description": "End of the interval in seconds."},
        "fps": {
            "type": "number",
            "minimum": min(budget.min_fps for budget in budgets),
            "maximum": max(budget.max_fps for budget in budgets),
            "description": f"Frames a second; (end - start) * fps may be at most {most}.",
        },
    }
    for budget in budgets:
        known = video_zoom_tool(budget)["function"]["parameters"]["properties"]
        for option in ("region", "max_pixels"):
            if option in known:
                properties.setdefault(option, known[option])
    return _object(properties, "start", "end", "fps")


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(properties), **needed, "additionalProperties": False}


def _with_handle(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A tool whose calls name their episode."""
    properties = {"episode": _HANDLE, **schema.get("properties", {})}
    required = ["episode", *schema.get("required", ())]
    return {
        "name": name,
        "description": description,
        "parameters": {**schema, "properties": properties, "required": required},
    }


def fault_of_start(given: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of `start`; "" if nothing."""
    unknown = sorted(set(given) - {"tasks", "task", "seed", "frames"})
    if unknown:
        return f"start has no argument {unknown[0]!r:.100}; valid: task, seed, frames, tasks"
    if not isinstance(given.get("tasks", ""), str):
        return "the argument 'tasks' must be the name of a task set"
    for name in ("task", "seed"):
        value = given.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_SEED:
            return f"the argument {name!r} must be a whole number >= 0, got {json.dumps(value):.100}"
    if given.get("frames", "single") not in ("single", "sheet"):
        return "the argument 'frames' must be 'single' or 'sheet'"
    return ""


def action_of(name: str, given: dict[str, Any]) -> Action:
    """The action of a call with a handle.

    Wrong arguments are a mistake of the agent and use a round, as unreadable text does.

    Args:
        name: The tool's name.
        given: The arguments without the handle.
    """
    readers: dict[str, Callable[[dict[str, Any]], Action]] = {
        "zoom": _zoom_of,
        "zooms": _zooms_of,
        "answer": _answer_of,
    }
    if name in readers:
        return readers[name](given)
    action, _ = tool_call_of({"name": name, "arguments": given})
    return action


def _zoom_of(given: dict[str, Any]) -> Action:
    valid = {"start", "end", "fps", "region", "max_pixels"}
    if not {"start", "end", "fps"} <= set(given) <= valid:
        wrong = sorted(set(given) - valid)
        reason = f"there is no argument {wrong[0]!r:.100}" if wrong else "start, end and fps are needed"
        return Malformed(f"{reason}: a zoom has start and end in seconds, and fps.")
    call: dict[str, Any] = {"segment": [given["start"], given["end"]], **given}
    action, _ = zoom_of({key: value for key, value in call.items() if key not in ("start", "end")})
    if isinstance(action, Malformed) and '"segment"' in action.reason:
        return Malformed("start and end must be numbers of seconds.")
    return action


def _zooms_of(given: dict[str, Any]) -> Action:
    windows = given.get("zooms")
    if set(given) != {"zooms"} or not isinstance(windows, list) or not 1 <= len(windows) <= _MOST_ZOOMS:
        return Malformed(f"zooms must be a list of 1 to {_MOST_ZOOMS} zooms.")
    if not all(isinstance(window, dict) for window in windows):
        return Malformed("each zoom must be an object with start, end and fps.")
    actions = [_zoom_of(window) for window in windows]
    fault = next((action for action in actions if isinstance(action, Malformed)), None)
    if fault is not None:
        return fault
    zooms = tuple(action for action in actions if isinstance(action, Zoom))
    return zooms[0] if len(zooms) == 1 else Zooms(zooms)


def _answer_of(given: dict[str, Any]) -> Action:
    text = given.get("text")
    return Answer(text) if set(given) == {"text"} and isinstance(text, str) else Malformed("an answer needs text.")
