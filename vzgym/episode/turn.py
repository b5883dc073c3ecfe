"""The turns of an episode: actions and their outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vzgym.core.actions import Action, Answer, Malformed, Region, ToolCall, Zoom, Zooms
from vzgym.core.errors import RecordError
from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip

__all__ = ["Outcome", "Refusal", "Turn", "turn_from_json", "turn_to_json"]


class Outcome(StrEnum):
    """Outcome of a turn's action."""

    EXECUTED = "executed"
    """The zooms or the tool call of the turn were executed."""
    REFUSED = "refused"
    """A zoom or a tool call broke a rule, an answer came too early, or no action could be read; the turn has a
    `Refusal` and a message."""
    ANSWERED = "answered"
    FAILED = "failed"
    """The video could not be read; the episode is truncated and unscored."""


class Refusal(StrEnum):
    """Code of the reason for which an action was refused."""

    NOT_FINITE = "not_finite"
    REVERSED = "reversed"
    OUTSIDE = "outside"
    FPS_OUT_OF_RANGE = "fps_out_of_range"
    TOO_MANY_FRAMES = "too_many_frames"
    REGION_NOT_ALLOWED = "region_not_allowed"
    REGION_INVALID = "region_invalid"
    SIZE_NOT_ALLOWED = "size_not_allowed"
    SIZE_OUT_OF_RANGE = "size_out_of_range"
    TOO_MANY_ZOOMS = "too_many_zooms"
    UNKNOWN_TOOL = "unknown_tool"
    TOOL_ARGUMENTS = "tool_arguments"
    LAST_ROUND = "last_round"
    MALFORMED = "malformed"
    ZOOM_FIRST = "zoom_first"


@dataclass(frozen=True, slots=True)
class Turn:
    """One round: the agent's action and its outcome.

    Attributes:
        action: The action as executed by the episode.
        text: The agent's raw text; for structured actions the wording's canonical text.
        well_formed: Whether the text has exactly the protocol's form. Always true for structured actions.
        outcome: The outcome.
        refusal: The refusal code; None unless `outcome` is REFUSED.
        detail: Description of the refusal or failure; "" otherwise.
        clips: The frames shown: one clip for each zoom of the turn, in order, or the clip that a tool returned; empty
            unless `outcome` is EXECUTED.
        reply: The text that a tool returned; "" otherwise.
        costs: What a tool call cost beyond the frames shown, by name; see `vzgym.episode.ToolResult`.
    """

    action: Action
    text: str
    well_formed: bool
    outcome: Outcome
    refusal: Refusal | None = None
    detail: str = ""
    clips: tuple[Clip, ...] = ()
    reply: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def zooms(self) -> tuple[Zoom, ...]:
        """The zooms that the turn asked for; empty for other actions."""
        match self.action:
            case Zoom():
                return (self.action,)
            case Zooms(zooms):
                return zooms
        return ()

    @property
    def windows(self) -> list[Interval]:
        """The intervals of the turn's executed zooms, in order."""
        return [clip.window for clip in self.clips if clip.window is not None]

    @property
    def tool(self) -> str:
        """The name of the tool that the turn called; "" for other actions."""
        return self.action.name if isinstance(self.action, ToolCall) else ""


def _number(value: float) -> float | str:
    """Finite numbers unchanged; nan and inf as strings, since JSON supports neither."""
    return value if math.isfinite(value) else repr(float(value))


def _unnumber(value: Any) -> Any:
    if isinstance(value, str) and value not in ("nan", "inf", "-inf"):
        raise RecordError(f"{value!r} stands where a number should")
    return float(value) if isinstance(value, str) else value


def _typed(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r:.100} stands where a value of type {kind.__name__} should")
    return value


def _zoom_to_json(zoom: Zoom) -> dict[str, Any]:
    said: dict[str, Any] = {"zoom": [_number(zoom.start), _number(zoom.end), _number(zoom.fps)]}
    if zoom.region is not None:
        said["region"] = [_number(value) for value in zoom.region.to_list()]
    if zoom.max_pixels is not None:
        said["max_pixels"] = zoom.max_pixels
    return said


def _zoom_from_json(said: Mapping[str, Any]) -> Zoom:
    region = Region(*map(_unnumber, said["region"])) if "region" in said else None
    start, end, fps = map(_unnumber, said["zoom"])
    return Zoom(start, end, fps, region, _typed(said["max_pixels"], int) if "max_pixels" in said else None)


def _action_to_json(action: Action) -> dict[str, Any]:
    match action:
        case Zoom():
            return _zoom_to_json(action)
        case Zooms(zooms):
            return {"zooms": [_zoom_to_json(zoom) for zoom in zooms]}
        case ToolCall(name, arguments):
            return {"tool": name, "arguments": dict(arguments)}
        case Answer(text):
            return {"answer": text}
        case Malformed(reason):
            return {"malformed": reason}


def _action_from_json(said: Mapping[str, Any]) -> Action:
    if "zoom" in said:
        return _zoom_from_json(said)
    if "zooms" in said:
        zooms = tuple(map(_zoom_from_json, said["zooms"]))
        if len(zooms) < 2:
            raise ValueError(f"several zooms are two or more, got {len(zooms)}")
        return Zooms(zooms)
    if "tool" in said:
        return ToolCall(_typed(said["tool"], str), _typed(said["arguments"], dict))
    return Answer(said["answer"]) if "answer" in said else Malformed(said["malformed"])


def turn_to_json(turn: Turn) -> dict[str, Any]:
    """JSON form of a turn."""
    return {
        "action": _action_to_json(turn.action),
        "text": turn.text,
        "well_formed": turn.well_formed,
        "outcome": turn.outcome,
        "refusal": turn.refusal,
        "detail": turn.detail,
        "clips": [clip.to_json() for clip in turn.clips],
        "reply": turn.reply,
        "costs": dict(turn.costs),
    }


def turn_from_json(data: dict[str, Any]) -> Turn:
    """Rebuild a turn from `turn_to_json`.

    Raises:
        RecordError: If a number is another text than "nan", "inf" or "-inf".
        KeyError: If a key is missing.
        TypeError: If a value has another type.
        ValueError: If a value is invalid.
    """
    return Turn(
        action=_action_from_json(data["action"]),
        text=data["text"],
        well_formed=data["well_formed"],
        outcome=Outcome(data["outcome"]),
        refusal=None if data["refusal"] is None else Refusal(data["refusal"]),
        detail=data["detail"],
        clips=tuple(map(Clip.from_json, data["clips"])),
        reply=_typed(data["reply"], str),
        costs=_typed(data["costs"], dict),
    )
