"""The paper's tags: `<think>`, `<video_zoom>`, `<answer>` (VideoZoomer, section 3.1 and its appendix's prompts).

A zoom turn:   `<think> ... </think> <video_zoom> {"segment": [12.0, 14.0], "fps": 8} </video_zoom>`
An answer turn: `<think> ... </think> <answer> B </answer>`
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

from vzgym.core.actions import Action, Answer, Malformed, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message, PlainWording, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.arguments import arguments_of, read_json, zoom_of
from vzgym.protocols.base import Parsed

__all__ = ["TagProtocol"]

# A thought may name the tags without meaning them. A chat template may have opened it before the agent's text begins.
_THOUGHT = re.compile(r"(?:\A(?:(?!<think>).)*?|<think>.*?)</think>", re.DOTALL)


class _Patterns(NamedTuple):
    """How turns are read whose zooms stand in a certain tag."""

    strict: re.Pattern[str]
    action: re.Pattern[str]
    unclosed: re.Pattern[str]


@cache
def _patterns(zoom: str) -> _Patterns:
    plain = rf"((?:(?!</?(?:think|{zoom}|answer)>).)*)"
    return _Patterns(
        re.compile(
            rf"\s*(?P<thought><think>{plain}</think>\s*)?<(?P<tag>{zoom}|answer)>{plain}</(?P=tag)>\s*", re.DOTALL
        ),
        re.compile(rf"<({zoom}|answer)>(.*?)</\1>", re.DOTALL),
        # Engines cut a stop string off: an action that ends the text may lack its closing tag.
        re.compile(rf"<({zoom}|answer)>(.*)\Z", re.DOTALL),
    )


class TagProtocol(PlainWording):
    """The paper's tag protocol, as wording and as parser.

    *Strict* form, which decides `well_formed`: an optional or required `<think>` block, then exactly one action tag
    with its closing tag, and nothing else but white space; neither thought nor action holds a further tag. A zoom's
    JSON object holds exactly `segment`, `fps` and, if any, `region`. *Lenient* reading takes the first complete action
    found outside the thoughts or, if there is none, one that runs to the end of the text, and ignores further keys.

    Args:
        think: Whether a well-formed turn "requires" the thought, leaves it "optional", or has "none".
        strict: Refuse, as malformed, every text that is not well-formed, instead of reading it leniently.
        instructions: Whether the dialogue opens with a system message that states the rules.

    Raises:
        InvalidSetting: If `think` is none of the three.
    """

    tag: ClassVar[str] = "video_zoom"
    """The tag that a zoom stands in."""

    after_thought: ClassVar[str] = ""
    """What stands between a thought and its action in a turn that is written for the agent."""

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
        """Read one turn's text; see the class for what strict and lenient mean."""
        body = _THOUGHT.sub("", text)
        patterns = _patterns(self.tag)
        found = patterns.action.search(body) or patterns.unclosed.search(body)
        if found is None:
            return Parsed(Malformed(f"no complete action found: write {self._forms()}."), False)
        read = _read_answer if found.group(1) == "answer" else self.read_call
        action, tidy = read(found.group(2))
        well_formed = tidy and self._keeps_form(text)
        if self.strict and not well_formed and not isinstance(action, Malformed):
            action = Malformed(f"the turn must hold {self._forms()}, and nothing else.")
        return Parsed(action, well_formed)

    def _keeps_form(self, text: str) -> bool:
        """Whether the tags stand as the strict form wants them, whatever they hold."""
        found = _patterns(self.tag).strict.fullmatch(text)
        if found is None:
            return False
        thinks = found["thought"] is not None
        return {"required": thinks, "optional": True, "none": not thinks}[self.think]

    def _forms(self) -> str:
        thought = {"required": "<think>...</think> and then ", "optional": "", "none": ""}[self.think]
        return f"{thought}one of {self.form()} or <answer>...</answer>"

    def read_call(self, content: str) -> tuple[Action, bool]:
        """The zoom that stands in its tag, and whether it keeps the exact form."""
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
        """The form of a zoom, for rules and errors.

        Args:
            region: What stands behind `fps`, where the budget is spatial.
        """
        return f'<video_zoom>{{"segment": [start, end], "fps": n{region}}}</video_zoom>'

    def to_zoom(self, region: str) -> str:
        """What the rules say one does to zoom."""
        return f"write {self.form(region)}"

    def opening(self, record: EpisodeRecord) -> list[Message]:
        """The rules as a system message (unless switched off), then overview and question."""
        rules = [Message.from_text("system", self.rules(record))] if self.instructions else []
        return [*rules, *super().opening(record)]

    def rules(self, record: EpisodeRecord) -> str:
        """The system message: what the tags are, and the limits that the episode will hold the agent to."""
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
