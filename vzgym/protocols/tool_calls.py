"""Native tool calls: the zoom as a function, in the text form of Qwen's chat templates or as structured calls.

A zoom turn: `<think> ... </think>` and then, each on a separate line, `<tool_call>`, `{"name": "video_zoom",
                "arguments": {"segment": [12.0, 14.0], "fps": 8}}` and `</tool_call>`
An answer turn: `<think> ... </think> <answer> B </answer>`

The text form needs no support from a chat template or server: the protocol writes the tool's description into the
system message, exactly as Qwen's templates do for `tools`, and the tags around replies. Inference, imitation and
reinforcement learning thus use the tokens of Qwen's own tool calls. Servers that accept `tools` and return `tool_calls`
add those parts themselves: use `structured=True`, `as_tool_chat` for requests and `turn_text` for replies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from vzgym.core.actions import Action, Malformed, Zoom
from vzgym.core.budget import Budget
from vzgym.episode.dialogue import Message
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.wording import PlainWording
from vzgym.protocols.arguments import arguments_of, read_json, zoom_of
from vzgym.protocols.chat import as_chat
from vzgym.protocols.tags import TagProtocol
from vzgym.protocols.turns import read_turn, without_thought_tags

__all__ = ["TOOL_NAME", "ToolCallProtocol", "as_tool_chat", "turn_text", "video_zoom_tool"]

TOOL_NAME = "video_zoom"
"""The function's name, as of the paper's tag."""


def video_zoom_tool(budget: Budget) -> dict[str, Any]:
    """Describe the zoom for the `tools` of chat templates and OpenAI-compatible endpoints.

    Args:
        budget: The limits; a region is described only if the budget is spatial.

    Returns:
        `{"type": "function", "function": {"name", "description", "parameters"}}`; the parameters are a JSON schema of
        `{"segment": [start, end], "fps": n}`.
    """
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
            "description": f"Frames a second; (end - start) * fps may be at most {budget.clip_frames}.",
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
    return {
        "type": "function",
        "function": {
            "name": TOOL_NAME,
            "description": "Look at an interval of the video more closely: gives its frames, each after its time.",
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": ["segment", "fps"],
                "additionalProperties": False,
            },
        },
    }


class ToolCallProtocol(TagProtocol):
    """Zooms as native tool calls, answers in `<answer>` tags; strict and lenient as in `TagProtocol`.

    The answer keeps its tags, so that a turn without a call is either an answer or malformed. A call's JSON object has
    exactly `name` and `arguments`. Lenient reading takes the first of several calls and accepts arguments given as
    text.

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

    def read_call(self, content: str) -> tuple[Action, bool]:
        """The zoom in a call, and whether it has the exact form."""
        call = read_json(content)
        if isinstance(call, Malformed):
            return call, False
        if not isinstance(call, dict) or "name" not in call or "arguments" not in call:
            return Malformed('a tool call must be a JSON object with "name" and "arguments".'), False
        if call["name"] != TOOL_NAME:
            return Malformed(f'there is no such tool: the only one is "{TOOL_NAME}".'), False
        arguments, tidy = call["arguments"], set(call) == {"name", "arguments"}
        if isinstance(arguments, str):
            arguments, tidy = read_json(arguments), False
            if isinstance(arguments, Malformed):
                return arguments, False
        action, exact = zoom_of(arguments)
        return action, exact and tidy

    def said(self, action: Action) -> str:
        """The canonical text of an action, without a thought."""
        return _call_text(arguments_of(action)) if isinstance(action, Zoom) else super().said(action)

    def form(self, region: str = "") -> str:
        """See `TagProtocol.form`."""
        arguments = f'{{"segment": [start, end], "fps": n{region}}}'
        return f'<tool_call>{{"name": "{TOOL_NAME}", "arguments": {arguments}}}</tool_call>'

    def to_zoom(self, region: str) -> str:
        """See `TagProtocol.to_zoom`."""
        return f"call {TOOL_NAME}"

    def rules(self, record: EpisodeRecord) -> str:
        """The system message: the rules and, unless `structured`, the tool, as Qwen's chat templates describe it."""
        rules = super().rules(record)
        if self.structured or not record.budget.max_zooms:
            return rules
        tool = json.dumps(video_zoom_tool(record.budget), ensure_ascii=False)
        return (
            f"{rules}\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            f"You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{tool}\n</tools>\n\n"
            "For each function call, return a json object with function name and arguments within "
            "<tool_call></tool_call> XML tags:\n<tool_call>\n"
            '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        )

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The environment's reply; between `<tool_response>` tags unless `structured`."""
        return PlainWording.reply(self, record) if self.structured else super().reply(record)


def as_tool_chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Convert a dialogue of a structured `ToolCallProtocol` to chat messages with `tool_calls`.

    A turn with a tool call becomes text (its thought) and that call, with unchanged arguments. Its reply has the role
    "tool" and the call's id. A turn without a call whose arguments are a JSON object stays text, and its reply has the
    role "user": servers refuse truncated arguments, and replies to missing calls.

    Args:
        messages: An episode's dialogue.

    Returns:
        See `as_chat`; assistant messages may have `"tool_calls": [{"id", "type": "function", "function": {"name",
        "arguments": JSON text}}]`, and then `content` is a text block or "". Messages of role "tool" have
        `"tool_call_id"` and `"name"`. Some servers accept no images in them.
    """
    chat = as_chat(messages)
    for place in range(1, len(chat)):
        if messages[place].role != "tool":
            continue
        call = _split(chat[place - 1], messages[place - 1].text, f"call{place:05d}")
        if call:
            chat[place].update(role="tool", tool_call_id=call["id"], name=TOOL_NAME)
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


def _split(message: dict[str, Any], text: str, name: str) -> dict[str, Any] | None:
    """Move a turn's call into the message's `tool_calls` and return it; None if there is no readable call."""
    reading = read_turn(text, ToolCallProtocol.tag)
    read = read_json(reading.content) if reading.tag == ToolCallProtocol.tag and reading.closed else None
    if not isinstance(read, dict) or read.get("name") != TOOL_NAME or "arguments" not in read:
        return None
    arguments = _strict_json(read["arguments"])
    if arguments is None:
        return None
    # Nine letters and digits: the strictest servers accept no other id.
    call = {"id": name, "type": "function", "function": {"name": TOOL_NAME, "arguments": arguments}}
    start, end = reading.span
    rest = (text[:start].rstrip() + text[end:]).strip()
    message["content"] = [{"type": "text", "text": rest}] if rest else ""
    message["tool_calls"] = [call]
    return call


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
