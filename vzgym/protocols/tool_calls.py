"""Native tool calls: the zoom as a function, in the text form of Qwen's chat templates or as structured calls.

A zoom turn: `<think> ... </think>` and then, each on a separate line, `<tool_call>`, `{"name": "video_zoom",
                "arguments": {"segment": [12.0, 14.0], "fps": 8}}` and `</tool_call>`
An answer turn: `<think> ... </think> <answer> B </answer>`

The text form needs no support from a chat template or server: the protocol writes the tool's description into the
system message, exactly as Qwen's templates do for `tools`, and the tags around replies. Inference, imitation and
reinforcement learning thus use the tokens of Qwen's own tool calls. Servers that accept `tools` and return `tool_calls`
add those parts themselves: use `structured=True`, `as_tool_chat` for requests and `turn_text` for replies.

Where the episode allows several zooms in a turn, they are parallel calls of the function, and each has its own reply.
Further tools of the episode are further functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from vzgym.core.actions import Action, Malformed, ToolCall, TurnRules, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.episode.dialogue import Message
from vzgym.episode.record import EpisodeRecord, ToolDescription
from vzgym.episode.wording import PlainWording
from vzgym.protocols.arguments import arguments_of, read_json, tool_call_of, zoom_of
from vzgym.protocols.chat import as_chat, content_of
from vzgym.protocols.tags import TagProtocol
from vzgym.protocols.turns import read_turn, without_thought_tags

__all__ = ["TOOL_NAME", "ToolCallProtocol", "as_tool_chat", "tool_functions", "turn_text", "video_zoom_tool"]

TOOL_NAME = "video_zoom"
"""The function's name, as of the paper's tag."""

_SEE_FIRST = "Not carried out either: see the reply to the first call of this turn."


def video_zoom_tool(budget: Budget) -> dict[str, Any]:
    """Describe the zoom for the `tools` of chat templates and OpenAI-compatible endpoints.

    Args:
        budget: The limits; a region, a size and parallel calls are described only if the budget allows them.

    Returns:
        `{"type": "function", "function": {"name", "description", "parameters"}}`; the parameters are a JSON schema of
        `{"segment": [start, end], "fps": n}`.
    """
    several = budget.zooms_per_turn > 1
    limit = f"Frames a second; (end - start) * fps may be at most {budget.clip_frames}"
    properties: dict[str, Any] = {
        "segment": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
            "description": "[start, end] of the interval, in seconds from the start of the video.",
        },
        "fps": {
            "type": "number",
            "minimum": budget.min_fps,
            "maximum": budget.max_fps,
            "description": f"{limit}{', for all calls of a turn together' if several else ''}.",
        },
    }
    if budget.spatial:
        properties["region"] = {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 4,
            "maxItems": 4,
            "description": "[left, top, right, bottom] of the part of the picture to look at, in shares of its width "
            "and height from the top left; leave it out for the whole picture.",
        }
    if budget.zoom_max_pixels:
        properties["max_pixels"] = {
            "type": "integer",
            "minimum": budget.min_pixels,
            "maximum": budget.zoom_max_pixels,
            "description": f"The most pixels of a frame; leave it out for {budget.max_pixels}.",
        }
    parallel = (
        f" Up to {budget.zooms_per_turn} calls in one turn; if one cannot be carried out, none is." if several else ""
    )
    return {
        "type": "function",
        "function": {
            "name": TOOL_NAME,
            "description": "Look at an interval of the video more closely: gives its frames, each after its time."
            + parallel,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": ["segment", "fps"],
                "additionalProperties": False,
            },
        },
    }


def tool_functions(budget: Budget, tools: Sequence[ToolDescription] = ()) -> list[dict[str, Any]]:
    """Describe all functions that an agent may call: the zoom, then the tools; none if it may not zoom.

    Args:
        budget: The limits.
        tools: The episode's tools.
    """
    return [video_zoom_tool(budget), *(tool.as_function() for tool in tools)] if budget.max_zooms else []


class ToolCallProtocol(TagProtocol):
    """Zooms as native tool calls, answers in `<answer>` tags; strict and lenient as in `TagProtocol`.

    The answer keeps its tags, so that a turn without a call is either an answer or malformed. A call's JSON object has
    exactly `name` and `arguments`. Lenient reading accepts arguments given as text. Of several calls, it takes the
    first, or the zooms that the turn begins with, if the episode allows several zooms in a turn.

    Args:
        think: See `TagProtocol`.
        strict: See `TagProtocol`.
        instructions: See `TagProtocol`. If False, the tool is not described either.
        structured: Leave out the tool's description and the tags around replies: a server or a chat template adds them
            from `tools` and the role "tool". The agent's turns are the same.
    """

    tag: ClassVar[str] = "tool_call"
    after_thought: ClassVar[str] = "\n"

    def __init__(
        self,
        think: Literal["required", "optional", "none"] = "required",
        strict: bool = False,
        instructions: bool = True,
        structured: bool = False,
    ) -> None:
        super().__init__(think=think, strict=strict, instructions=instructions)
        self.structured = structured

    @property
    def spec(self) -> Mapping[str, Any]:
        """See `Wording.spec`."""
        return {**super().spec, "name": "tool_calls", "structured": self.structured}

    def read_call(self, content: str, rules: TurnRules) -> tuple[Action, bool]:
        """The zoom or tool call in a call, and whether it has the exact form."""
        call = read_json(content)
        if isinstance(call, Malformed):
            return call, False
        if not isinstance(call, dict) or "name" not in call or "arguments" not in call:
            return Malformed('a tool call must be a JSON object with "name" and "arguments".'), False
        if call["name"] != TOOL_NAME:
            if rules.tools:
                return tool_call_of(call)
            return Malformed(f'there is no such tool: the only one is "{TOOL_NAME}".'), False
        arguments, tidy = call["arguments"], set(call) == {"name", "arguments"}
        if isinstance(arguments, str):
            arguments, tidy = read_json(arguments), False
            if isinstance(arguments, Malformed):
                return arguments, False
        action, exact = zoom_of(arguments)
        return action, exact and tidy

    def text_of(self, action: Action) -> str:
        """The canonical text of an action, without a thought."""
        match action:
            case Zoom():
                return _call_text(arguments_of(action))
            case Zooms(zooms):
                return "\n".join(map(self.text_of, zooms))
            case ToolCall(name, arguments):
                return _call_text(dict(arguments), name)
        return super().text_of(action)

    def form(self, more: str = "") -> str:
        """See `TagProtocol.form`."""
        arguments = f'{{"segment": [start, end], "fps": n{more}}}'
        return f'<tool_call>{{"name": "{TOOL_NAME}", "arguments": {arguments}}}</tool_call>'

    def to_zoom(self, more: str) -> str:
        """See `TagProtocol.to_zoom`."""
        return f"call {TOOL_NAME}"

    def to_call(self, record: EpisodeRecord) -> str:
        """Nothing: the tools are described with the zoom."""
        return ""

    def rules(self, record: EpisodeRecord) -> str:
        """The system message: the rules and, unless `structured`, the tool, as Qwen's chat templates describe it."""
        rules = super().rules(record)
        if self.structured or not record.budget.max_zooms:
            return rules
        functions = tool_functions(record.budget, record.tools)
        tools = "\n".join(json.dumps(function, ensure_ascii=False) for function in functions)
        return (
            f"{rules}\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n"
            f"<tools>\n{tools}\n</tools>\n\n"
            "For each function call, return a json object with function name and arguments within "
            "<tool_call></tool_call> XML tags:\n<tool_call>\n"
            '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        )

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The environment's reply; between `<tool_response>` tags unless `structured`."""
        return PlainWording.reply(self, record) if self.structured else super().reply(record)


def as_tool_chat(messages: Sequence[Message], tools: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Convert a dialogue of a structured `ToolCallProtocol` to chat messages with `tool_calls`.

    A turn with a tool call becomes text (its thought) and that call, with unchanged arguments. Its reply has the role
    "tool" and the call's id. Each of several zooms of a turn is a call with its own reply; if the turn was refused, the
    first reply gives the reason and the others refer to it. A turn without a call whose arguments are a JSON object
    stays text, and its reply has the role "user": servers refuse truncated arguments, and replies to missing calls.

    Args:
        messages: An episode's dialogue.
        tools: Names of the episode's tools beside the zoom; calls of other functions stay text.

    Returns:
        See `as_chat`; assistant messages may have `"tool_calls": [{"id", "type": "function", "function": {"name",
        "arguments": JSON text}}]`, and then `content` is a text block or "". Messages of role "tool" have
        `"tool_call_id"` and `"name"`. Some servers accept no images in them.
    """
    chat: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        (row,) = as_chat([message])
        if message.role != "tool" or not chat:
            chat.append(row)
            continue
        calls = _calls(messages[place - 1].text, place, message.answers, {TOOL_NAME, *tools})
        if not calls:
            chat.append(row)
            continue
        chat[-1].update(content=_without_calls(messages[place - 1].text, len(calls)), tool_calls=calls)
        parts = [content_of(part) for part in message.parts]
        if len(parts) != len(calls):
            parts = [row["content"], *([{"type": "text", "text": _SEE_FIRST}] for _ in calls[1:])]
        for call, part in zip(calls, parts, strict=True):
            name = call["function"]["name"]
            chat.append({"role": "tool", "content": part, "tool_call_id": call["id"], "name": name})
    return chat


def turn_text(message: Mapping[str, Any]) -> str:
    """Convert a model's structured reply to text for `ToolCallProtocol`.

    Args:
        message: An assistant message of an OpenAI-compatible server: `content` (text, blocks or None), `tool_calls` (or
            None), and `reasoning_content` or `reasoning`, if the server separates the reasoning.

    Returns:
        The reasoning as one thought (`<think>` tags inside it are removed), the content, and each call in Qwen's form,
        each on a separate line.
    """
    parts = []
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if reasoning:
        parts.append(f"<think>{without_thought_tags(str(reasoning))}</think>")
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(str(block.get("text") or "") for block in content)
    if content.strip():
        parts.append(content.strip())
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            # Servers return JSON as text. Unreadable arguments stay text, which the protocol then refuses.
            read = read_json(arguments)
            arguments = arguments if isinstance(read, Malformed) else read
        parts.append(_call_text(arguments, str(function["name"])))
    return "\n".join(parts)


def _call_text(arguments: Any, name: str = TOOL_NAME) -> str:
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {json.dumps(arguments)}}}\n</tool_call>'


def _calls(text: str, place: int, count: int, names: set[str]) -> list[dict[str, Any]]:
    """The calls of a turn, as servers return them; none if one of them is not readable.

    Args:
        text: The turn's text.
        place: Position of the reply in the dialogue, for the ids.
        count: How many calls the turn made.
        names: The functions.
    """
    calls: list[dict[str, Any]] = []
    for number, part in enumerate(read_turn(text, ToolCallProtocol.tag, count).actions):
        read = read_json(part.content) if part.tag == ToolCallProtocol.tag and part.closed else None
        arguments = _strict_json(read["arguments"]) if isinstance(read, dict) and "arguments" in read else None
        if not isinstance(read, dict) or arguments is None or read.get("name") not in names:
            return []
        # Nine letters and digits: the strictest servers accept no other id.
        id = f"call{place:05d}" if number == 0 else f"c{number:03d}{place:05d}"
        calls.append({"id": id, "type": "function", "function": {"name": read["name"], "arguments": arguments}})
    return calls if len(calls) == count else []


def _without_calls(text: str, count: int) -> list[dict[str, Any]] | str:
    """The content of a turn without its first calls."""
    for part in reversed(read_turn(text, ToolCallProtocol.tag, count).actions):
        start, end = part.span
        text = (text[:start].rstrip() + text[end:]).strip()
    return [{"type": "text", "text": text}] if text else ""


def _strict_json(arguments: object) -> str | None:
    """A call's arguments as the JSON text of an object, which servers require; None if they are not an object."""
    if isinstance(arguments, str):
        value = read_json(arguments)
        return arguments if isinstance(value, dict) and _is_strict(value) else None
    return json.dumps(arguments) if isinstance(arguments, dict) and _is_strict(arguments) else None


def _is_strict(value: object) -> bool:
    """Whether a value read by `json` contains neither NaN nor infinity, which are not valid JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True
