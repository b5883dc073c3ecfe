"""The paper's tags: `<think>`, `<video_zoom>`, `<answer>` (VideoZoomer, section 3.1 and its appendix's prompts).

A zoom turn:   `<think> ... </think> <video_zoom> {"segment": [12.0, 14.0], "fps": 8} </video_zoom>`
An answer turn: `<think> ... </think> <answer> B </answer>`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from vzgym.core.actions import Action, Answer, Malformed, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.core.text import replace_surrogates
from vzgym.episode.dialogue import Message, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.wording import PlainWording
from vzgym.protocols.arguments import arguments_of, read_json, zoom_of
from vzgym.protocols.base import Parsed
from vzgym.protocols.turns import MAX_TURN_LENGTH, TruncatedText, TurnReading, read_turn

__all__ = ["TagProtocol"]


class TagProtocol(PlainWording):
    """The paper's tag protocol, as wording and parser.

    *Strict* form, which decides `well_formed`: an optional or required `<think>` block, then exactly one action tag
    with its closing tag, and nothing else but white space; neither thought nor action contains a further tag. A zoom's
    JSON object contains exactly `segment`, `fps` and, if any, `region`. *Lenient* reading takes the first complete
    action outside of the thoughts or, if there is none, one that runs to the end of the text, and ignores further keys
    (see `vzgym.protocols.turns.read_turn`). No action is read from a thought that is never closed, from a
    `TruncatedText`, or from a text of more than `MAX_TURN_LENGTH` characters.

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

    def parse(self, text: str) -> Parsed:
        """Parse one turn's text; see the class for strict and lenient reading. Linear in the text's length."""
        if isinstance(text, TruncatedText):
            return Parsed(Malformed("the turn was cut off by the token limit: write less before the action."), False)
        if len(text) > MAX_TURN_LENGTH:
            return Parsed(Malformed(f"the turn has {len(text)} characters; at most {MAX_TURN_LENGTH} are read."), False)
        reading = read_turn(replace_surrogates(text), self.tag)
        if reading.tag is None:
            fault = "the thought is not closed by </think>" if reading.open_thought else "no complete action found"
            return Parsed(Malformed(f"{fault}: write {self._forms()}."), False)
        action, exact = (_read_answer if reading.tag == "answer" else self.read_call)(reading.content)
        well_formed = exact and self._keeps_form(reading)
        if self.strict and not well_formed and not isinstance(action, Malformed):
            action = Malformed(f"the turn must hold {self._forms()}, and nothing else.")
        return Parsed(action, well_formed)

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

    def _forms(self) -> str:
        thought = {"required": "<think>...</think> and then ", "optional": "", "none": ""}[self.think]
        return f"{thought}one of {self.form()} or <answer>...</answer>"

    def read_call(self, content: str) -> tuple[Action, bool]:
        """The zoom in a tag's content, and whether it has the exact form."""
        call = read_json(content)
        return (call, False) if isinstance(call, Malformed) else zoom_of(call)

    # Writing ---------------------------------------------------------------------------------------------------

    def said(self, action: Action) -> str:
        """The canonical text of an action, without a thought."""
        match action:
            case Zoom():
                return f"<video_zoom>{json.dumps(arguments_of(action))}</video_zoom>"
            case Answer(text):
                return f"<answer>{text}</answer>"
            case Malformed():
                return ""

    def form(self, region: str = "") -> str:
        """The form of a zoom, for instructions and errors.

        Args:
            region: Text after `fps`, where the budget is spatial.
        """
        return f'<video_zoom>{{"segment": [start, end], "fps": n{region}}}</video_zoom>'

    def to_zoom(self, region: str) -> str:
        """The instruction for zooming, as part of a sentence."""
        return f"write {self.form(region)}"

    def opening(self, record: EpisodeRecord) -> list[Message]:
        """The rules as a system message (unless switched off), then overview and question."""
        rules = [Message.from_text("system", self.rules(record))] if self.instructions else []
        return [*rules, *super().opening(record)]

    def rules(self, record: EpisodeRecord) -> str:
        """The system message: the tags and the budget's limits."""
        budget = record.budget
        region = ', "region": [left, top, right, bottom]' if budget.spatial else ""
        spatial = (
            " A region gives the part of the picture to look at, in shares of its width and height from the top left;"
            " leave it out for the whole picture."
            if budget.spatial
            else ""
        )
        thought = {
            "required": "Think first, between <think> and </think>. ",
            "optional": "You may think first, between <think> and </think>. ",
            "none": "",
        }[self.think]
        zoom = (
            f"To look more closely, {self.to_zoom(region)}, "
            f"with times in seconds: you get the frames of that interval at n frames a second. At most "
            f"{budget.clip_frames} frames a zoom, fps from {budget.min_fps:g} to {budget.max_fps:g}, at most "
            f"{budget.max_zooms} zooms.{spatial} A zoom that cannot be carried out uses up its round. "
            if budget.max_zooms
            else ""
        )
        return (
            "You answer a question about a video. You first see a few frames of all of it, each after its time. "
            f"Take one action a turn. {thought}{zoom}As soon as you are sure, write <answer>...</answer>: the option's "
            "letter if there are options."
        )

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The environment's reply, between `<tool_response>` tags, closed for errors too."""
        message = super().reply(record)
        if message is None:
            return None
        return Message("tool", (TextBlock("<tool_response>\n"), *message.blocks, TextBlock("\n</tool_response>")))


def _read_answer(content: str) -> tuple[Action, bool]:
    text = content.strip()
    return (Answer(text), True) if text else (Malformed("the answer is empty."), False)
