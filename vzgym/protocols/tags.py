"""The paper's tags: `<think>`, `<video_zoom>`, `<answer>` (VideoZoomer, section 3.1 and its appendix's prompts).

A zoom turn:   `<think> ... </think> <video_zoom> {"segment": [12.0, 14.0], "fps": 8} </video_zoom>`
An answer turn: `<think> ... </think> <answer> B </answer>`
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from vzgym.core.actions import Action, Answer, Malformed, Region, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message, PlainWording, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.base import Parsed

__all__ = ["TagProtocol"]

_PLAIN = r"((?:(?!</?(?:think|video_zoom|answer)>).)*)"
_STRICT = re.compile(
    rf"\s*(?P<thought><think>{_PLAIN}</think>\s*)?<(?P<tag>video_zoom|answer)>{_PLAIN}</(?P=tag)>\s*", re.DOTALL
)
# A thought may name the tags without meaning them. A chat template may have opened it before the agent's text begins.
_THOUGHT = re.compile(r"(?:\A(?:(?!<think>).)*?|<think>.*?)</think>", re.DOTALL)
_ACTION = re.compile(r"<(video_zoom|answer)>(.*?)</\1>", re.DOTALL)
# Engines cut a stop string off: an action that ends the text may lack its closing tag.
_UNCLOSED = re.compile(r"<(video_zoom|answer)>(.*)\Z", re.DOTALL)


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
        found = _ACTION.search(body) or _UNCLOSED.search(body)
        if found is None:
            return Parsed(Malformed(f"no complete action found: write {self._forms()}."), False)
        action, tidy = _read_action(found.group(1), found.group(2))
        well_formed = tidy and self._keeps_form(text)
        if self.strict and not well_formed and not isinstance(action, Malformed):
            action = Malformed(f"the turn must hold {self._forms()}, and nothing else.")
        return Parsed(action, well_formed)

    def _keeps_form(self, text: str) -> bool:
        """Whether the tags stand as the strict form wants them, whatever they hold."""
        found = _STRICT.fullmatch(text)
        if found is None:
            return False
        thinks = found["thought"] is not None
        return {"required": thinks, "optional": True, "none": not thinks}[self.think]

    def _forms(self) -> str:
        thought = {"required": "<think>...</think> and then ", "optional": "", "none": ""}[self.think]
        return f'{thought}one of <video_zoom>{{"segment": [start, end], "fps": n}}</video_zoom> or <answer>...</answer>'

    # Writing ---------------------------------------------------------------------------------------------------

    def said(self, action: Action) -> str:
        """The canonical text of an action, without a thought."""
        match action:
            case Zoom(start, end, fps, region):
                call: dict[str, Any] = {"segment": [_float(start), _float(end)], "fps": _float(fps)}
                if region is not None:
                    call["region"] = region.to_list()
                return f"<video_zoom>{json.dumps(call)}</video_zoom>"
            case Answer(text):
                return f"<answer>{text}</answer>"
            case Malformed():
                return ""

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
            f'To look more closely, write <video_zoom>{{"segment": [start, end], "fps": n{region}}}</video_zoom>, '
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


def _read_action(tag: str, content: str) -> tuple[Action, bool]:
    """The action within a tag, and whether its content keeps the exact form."""
    if tag == "answer":
        text = content.strip()
        return (Answer(text), True) if text else (Malformed("the answer is empty."), False)
    try:
        call = json.loads(content)
    except json.JSONDecodeError as error:
        return Malformed(f"the zoom is not JSON: {error.msg}."), False
    except RecursionError:
        return Malformed("the zoom is not JSON: nested too deeply."), False
    except ValueError:
        # Python refuses integers of thousands of digits.
        return Malformed("the zoom holds a number that is far too long."), False
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
