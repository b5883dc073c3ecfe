"""The paper's tags: `<think>`, `<video_zoom>`, `<answer>` (VideoZoomer, section 3.1 and its appendix's prompts).

A zoom turn:   `<think> ... </think> <video_zoom> {"segment": [12.0, 14.0], "fps": 8} </video_zoom>`
An answer turn: `<think> ... </think> <answer> B </answer>`

Beyond the paper, where the episode allows it: several zooms in one turn, one tag after the other, and tool calls,
`<tool_call> {"name": "subtitles", "arguments": {"query": "harbour"}} </tool_call>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from vzgym.core.actions import Action, Answer, Malformed, ToolCall, TurnRules, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.core.text import replace_surrogates
from vzgym.episode.dialogue import Block, Message, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.wording import PlainWording, required_zooms, separated
from vzgym.protocols.arguments import arguments_of, read_json, tool_call_of, zoom_of
from vzgym.protocols.base import PAPER_RULES, Parsed
from vzgym.protocols.turns import MAX_TURN_LENGTH, TaggedAction, TruncatedText, TurnReading, read_turn

__all__ = ["TagProtocol"]

_MOST_READ = 64
"""Maximum number of zooms that are read from one turn, if more are not allowed."""


class TagProtocol(PlainWording):
    """The paper's tag protocol, as wording and parser.

    *Strict* form, which decides `well_formed`: an optional or required `<think>` block, then exactly one action tag
    with its closing tag, and nothing else but white space; neither thought nor action contains a further tag. A zoom's
    JSON object contains exactly `segment`, `fps` and, if any, `region` and `max_pixels`. *Lenient* reading takes the
    first complete action outside of the thoughts or, if there is none, one that runs to the end of the text, and
    ignores further keys (see `vzgym.protocols.turns.read_turn`). No action is read from a thought that is never closed,
    from a `TruncatedText`, or from a text of more than `MAX_TURN_LENGTH` characters.

    If the episode allows several zooms in a turn, a zoom and those that follow it before any other action are `Zooms`;
    a strict turn holds nothing else. The episode refuses too many. If one of them cannot be read, the turn is
    malformed. If the episode has tools, `<tool_call>` is an action too. The episode refuses an unknown tool.

    Args:
        think: Whether a well-formed turn has a thought: "required", "optional" or "none".
        strict: Refuse every text that is not well-formed as malformed, instead of reading it leniently.
        instructions: Whether the dialogue opens with a system message that states the rules.

    Raises:
        InvalidSetting: If `think` is none of the three.
    """

    tag: ClassVar[str] = "video_zoom"
    """The tag that encloses a zoom."""

    after_thought: ClassVar[str] = ""
    """Text between thought and action in generated turns (scripted trajectories)."""

    def __init__(
        self,
        think: Literal["required", "optional", "none"] = "required",
        strict: bool = False,
        instructions: bool = True,
    ) -> None:
        if think not in ("required", "optional", "none"):
            raise InvalidSetting(f"think must be 'required', 'optional' or 'none', got {think!r}")
        self.think = think
        self.strict = strict
        self.instructions = instructions

    @property
    def spec(self) -> Mapping[str, Any]:
        """See `Wording.spec`."""
        return {"name": "tags", "think": self.think, "strict": self.strict, "instructions": self.instructions}

    # Reading ---------------------------------------------------------------------------------------------------

    def parse(self, text: str, rules: TurnRules = PAPER_RULES) -> Parsed:
        """Parse one turn's text; see the class for strict and lenient reading. Linear in the text's length."""
        if isinstance(text, TruncatedText):
            return Parsed(Malformed("the turn was cut off by the token limit: write less before the action."), False)
        if len(text) > MAX_TURN_LENGTH:
            return Parsed(Malformed(f"the turn has {len(text)} characters; at most {MAX_TURN_LENGTH} are read."), False)
        # Beyond the allowed number: further actions break the strict form, and the reply can say how many there were.
        most = 2 if rules.zooms_per_turn == 1 else max(rules.zooms_per_turn, _MOST_READ) + 1
        reading = read_turn(replace_surrogates(text), self._calls(rules), most)
        if not reading.actions:
            fault = "the thought is not closed by </think>" if reading.open_thought else "no complete action found"
            return Parsed(Malformed(f"{fault}: write {self._forms(rules)}."), False)
        action, exact = self._action(reading, rules)
        well_formed = exact and self._keeps_form(reading)
        if self.strict and not well_formed and not isinstance(action, Malformed):
            action = Malformed(f"the turn must hold {self._forms(rules)}, and nothing else.")
        return Parsed(action, well_formed)

    def _calls(self, rules: TurnRules) -> tuple[str, ...]:
        """The tags of zooms and tool calls."""
        return (self.tag, "tool_call") if rules.tools and self.tag != "tool_call" else (self.tag,)

    def _action(self, reading: TurnReading, rules: TurnRules) -> tuple[Action, bool]:
        """The action of a turn, and whether its content and the number of actions have the exact form."""
        zooms: list[Zoom] = []
        all_exact = True
        for place, part in enumerate(reading.actions if rules.zooms_per_turn > 1 else reading.actions[:1]):
            action, exact = self._read(part, rules)
            if isinstance(action, Malformed) and zooms:
                return Malformed(f"zoom {place + 1} of the turn cannot be read: {action.reason}"), False
            if not isinstance(action, Zoom):
                if not zooms:
                    return action, exact and len(reading.actions) == 1
                break
            zooms.append(action)
            all_exact &= exact
        exact = all_exact and len(zooms) == len(reading.actions) <= max(rules.zooms_per_turn, _MOST_READ)
        return (zooms[0] if len(zooms) == 1 else Zooms(tuple(zooms))), exact

    def _read(self, part: TaggedAction, rules: TurnRules) -> tuple[Action, bool]:
        if part.tag == "answer":
            return _read_answer(part.content)
        if part.tag == self.tag:
            return self.read_call(part.content, rules)
        call = read_json(part.content, "the tool call")
        return (call, False) if isinstance(call, Malformed) else tool_call_of(call)

    def _keeps_form(self, reading: TurnReading) -> bool:
        """Whether the order of the tags satisfies the strict form, whatever their content."""
        return (
            reading.strict
            and {
                "required": reading.thought,
                "optional": True,
                "none": not reading.thought,
            }[self.think]
        )

    def _forms(self, rules: TurnRules) -> str:
        thought = {"required": "<think>...</think> and then ", "optional": "", "none": ""}[self.think]
        zoom = self.form() if rules.zooms_per_turn == 1 else f"up to {rules.zooms_per_turn} times {self.form()}"
        tool = f", {self.tool_form()}" if rules.tools else ""
        return f"{thought}one of {zoom}{tool} or <answer>...</answer>"

    def read_call(self, content: str, rules: TurnRules) -> tuple[Action, bool]:
        """The zoom (or tool call) in the content of `tag`, and whether it has the exact form."""
        call = read_json(content)
        return (call, False) if isinstance(call, Malformed) else zoom_of(call)

    # Writing ---------------------------------------------------------------------------------------------------

    def text_of(self, action: Action) -> str:
        """The canonical text of an action, without a thought."""
        match action:
            case Zoom():
                return f"<video_zoom>{json.dumps(arguments_of(action))}</video_zoom>"
            case Zooms(zooms):
                return "\n".join(map(self.text_of, zooms))
            case ToolCall(name, arguments):
                return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"
            case Answer(text):
                return f"<answer>{text}</answer>"
            case Malformed():
                return ""

    def form(self, more: str = "") -> str:
        """The form of a zoom, for instructions and errors.

        Args:
            more: Text after `fps`, where the budget allows a region or a size.
        """
        return f'<video_zoom>{{"segment": [start, end], "fps": n{more}}}</video_zoom>'

    def tool_form(self) -> str:
        """The form of a tool call, for instructions and errors."""
        return '<tool_call>{"name": ..., "arguments": {...}}</tool_call>'

    def to_zoom(self, more: str) -> str:
        """The instruction for zooming, as part of a sentence; `more` as in `form`."""
        return f"write {self.form(more)}"

    def to_call(self, record: EpisodeRecord) -> str:
        """The instruction for calling tools, with their descriptions, at the end of the rules."""
        tools = "\n".join(json.dumps(tool.as_function()["function"], ensure_ascii=False) for tool in record.tools)
        return f"\n\nTo call a tool, write {self.tool_form()}. The tools:\n{tools}"

    def opening(self, record: EpisodeRecord) -> list[Message]:
        """The rules as a system message (unless switched off), then overview and question."""
        rules = [Message.from_text("system", self.rules(record))] if self.instructions else []
        return [*rules, *super().opening(record)]

    def extras(self, record: EpisodeRecord) -> list[str]:
        """See `PlainWording.extras`; none if the system message states the rules."""
        return [] if self.instructions else super().extras(record)

    def rules(self, record: EpisodeRecord) -> str:
        """The system message: the tags, the budget's limits, and the tools."""
        budget = record.budget
        thought = {
            "required": "Think first, between <think> and </think>. ",
            "optional": "You may think first, between <think> and </think>. ",
            "none": "",
        }[self.think]
        rules = (
            "You answer a question about a video. You first see a few frames of all of it, each after its time. "
            f"Take one action a turn. {thought}{self._zoom_rules(budget) if budget.max_zooms else ''}"
        )
        if budget.max_zooms and record.tools:
            rules += "Instead of zooming, you may call a tool, which uses a round too. "
        if rule := required_zooms(record):
            rules += f"{rule} "
        rules += "As soon as you are sure, write <answer>...</answer>: the option's letter if there are options."
        return rules + self.to_call(record) if budget.max_zooms and record.tools else rules

    def _zoom_rules(self, budget: Budget) -> str:
        """How to zoom, and the limits."""
        region = ', "region": [left, top, right, bottom]' if budget.spatial else ""
        size = ', "max_pixels": p' if budget.zoom_max_pixels else ""
        rules = (
            f"To look more closely, {self.to_zoom(region + size)}, "
            "with times in seconds: you get the frames of that interval at n frames a second. "
        )
        rates = f"fps from {budget.min_fps:g} to {budget.max_fps:g}"
        if budget.zooms_per_turn == 1:
            rules += f"At most {budget.clip_frames} frames a zoom, {rates}, at most {budget.max_zooms} zooms."
        else:
            rules += (
                f"You may zoom up to {budget.zooms_per_turn} times in one turn, one after the other; that is one "
                f"action. At most {budget.clip_frames} frames for all zooms of a turn together, {rates}, at most "
                f"{budget.max_zooms} turns with zooms. If one zoom of a turn cannot be carried out, none is."
            )
        if budget.spatial:
            rules += (
                " A region gives the part of the picture to look at, in shares of its width and height from the top "
                "left; leave it out for the whole picture."
            )
        if budget.zoom_max_pixels:
            rules += (
                f" max_pixels gives the most pixels of a frame, from {budget.min_pixels} to {budget.zoom_max_pixels}; "
                f"leave it out for {budget.max_pixels}."
            )
        return f"{rules} A zoom that cannot be carried out uses up its round. "

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The environment's reply, between `<tool_response>` tags, closed for errors too; a pair for each zoom."""
        message = super().reply(record)
        if message is None:
            return None
        parts: list[list[Block]] = [
            [TextBlock("<tool_response>\n"), *part, TextBlock("\n</tool_response>")] for part in message.parts
        ]
        return Message("tool", tuple(separated(parts)))


def _read_answer(content: str) -> tuple[Action, bool]:
    text = content.strip()
    return (Answer(text), True) if text else (Malformed("the answer is empty."), False)
