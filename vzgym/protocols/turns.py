"""Parsing of one turn's text into thoughts and actions.

Every text protocol, policy and trainer parses turns through `read_turn`, so that a text has the same meaning in
evaluation, training data and reinforcement learning. The text is scanned once for tags; the rest is linear in their
number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

__all__ = ["MAX_TURN_LENGTH", "TaggedAction", "TruncatedText", "TurnReading", "read_turn", "without_thought_tags"]

MAX_TURN_LENGTH = 1 << 19
"""Maximum length of a turn in characters. A longer turn is malformed."""

_THOUGHT_TAG = re.compile(r"</?think>")


class TruncatedText(str):
    """A turn's text that was cut off by a token limit. Protocols read no action from it; it uses up its round.

    A policy that detects truncation (`finish_reason="length"`, no end token) returns its text as this type.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TaggedAction:
    """An action of a turn's text.

    Attributes:
        tag: Its tag.
        content: Text between its tags, without thoughts.
        span: Range of the text from its opening tag to the end of its closing tag.
        closed: Whether it has its closing tag.
    """

    tag: str
    content: str
    span: tuple[int, int]
    closed: bool


@dataclass(frozen=True, slots=True)
class TurnReading:
    """Result of parsing a turn's text.

    Attributes:
        actions: The first actions outside of thoughts, in order; only the first may lack its closing tag.
        open_thought: Whether the last thought has no closing tag.
        thought: Whether a thought precedes the action, in the strict form.
        strict: Whether the text is an optional thought followed by actions and nothing else but white space, with no
            further tag inside them.
    """

    actions: tuple[TaggedAction, ...] = ()
    open_thought: bool = False
    thought: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class _Tag:
    name: str
    closing: bool
    start: int
    end: int


@cache
def _tags(calls: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"<(/?)({'|'.join(map(re.escape, ('think', *calls, 'answer')))})>")


def read_turn(text: str, calls: str | tuple[str, ...], most: int = 1) -> TurnReading:
    """Find the actions of a turn.

    A thought extends from `<think>` to the last `</think>` before the next thought, so that a `</think>` that is merely
    mentioned does not end it. If the first tag of a thought is `</think>`, the chat template has opened it before the
    text. A thought that is never closed extends to the end of the text. Nothing in a thought is an action.

    The actions are the complete ones outside of thoughts, none inside another. If there is none, the action is the
    first one that is opened and extends to the end of the text, since inference engines remove stop strings.

    Args:
        text: The turn's text.
        calls: The tags of zooms and tool calls. The tag of an answer is `answer`, that of a thought `think`.
        most: How many actions to return, from the first.
    """
    names = (calls,) if isinstance(calls, str) else calls
    tags = [_Tag(found[2], bool(found[1]), found.start(), found.end()) for found in _tags(names).finditer(text)]
    thoughts, open_thought = _thoughts([tag for tag in tags if tag.name == "think"], len(text))
    visible = _outside([tag for tag in tags if tag.name != "think"], thoughts)
    found = _actions(visible, open_thought, most)
    if not found:
        return TurnReading(open_thought=open_thought)
    thought, strict = _form(text, tags)
    return TurnReading(
        actions=tuple(
            TaggedAction(
                tag=opening.name,
                content=_cut(text, opening.end, closing.start if closing else len(text), thoughts),
                span=(opening.start, closing.end if closing else len(text)),
                closed=closing is not None,
            )
            for opening, closing in found
        ),
        open_thought=open_thought,
        thought=thought,
        strict=strict,
    )


def without_thought_tags(text: str) -> str:
    """`text` without `<think>` and `</think>`, so that all of it can be placed inside a thought."""
    return _THOUGHT_TAG.sub("", text)


def _thoughts(tags: list[_Tag], length: int) -> tuple[list[tuple[int, int]], bool]:
    """Spans of thoughts, in order, and whether the last one is never closed."""
    spans: list[tuple[int, int]] = []
    start, closed = 0, 0
    is_open = bool(tags) and tags[0].closing
    for tag in tags:
        if tag.closing:
            # A closing tag outside of a thought extends the thought before it.
            closed = tag.end
            continue
        if is_open and closed:
            spans.append((start, closed))
            is_open = False
        if not is_open:
            start, closed, is_open = tag.start, 0, True
    if is_open:
        spans.append((start, closed or length))
    return spans, is_open and not closed


def _outside(tags: list[_Tag], spans: list[tuple[int, int]]) -> list[_Tag]:
    """Tags outside of all spans; both are in order."""
    kept, place = [], 0
    for tag in tags:
        while place < len(spans) and spans[place][1] <= tag.start:
            place += 1
        if place == len(spans) or tag.end <= spans[place][0]:
            kept.append(tag)
    return kept


def _actions(tags: list[_Tag], open_thought: bool, most: int) -> list[tuple[_Tag, _Tag | None]]:
    """Opening tags that are closed later, with their closing tags; without any, the first opening tag."""
    closings: list[_Tag | None] = []
    next_closing: dict[str, _Tag] = {}
    for tag in reversed(tags):
        if tag.closing:
            next_closing[tag.name] = tag
        closings.append(None if tag.closing else next_closing.get(tag.name))
    found: list[tuple[_Tag, _Tag | None]] = []
    end = 0
    for tag, closing in zip(tags, reversed(closings), strict=True):
        if len(found) < most and closing is not None and tag.start >= end:
            found.append((tag, closing))
            end = closing.end
    if found:
        return found
    first = next((tag for tag in tags if not tag.closing), None)
    return [] if first is None or open_thought else [(first, None)]


def _cut(text: str, start: int, stop: int, spans: list[tuple[int, int]]) -> str:
    """`text[start:stop]` without the spans."""
    parts = []
    for first, last in spans:
        if last <= start or first >= stop:
            continue
        parts.append(text[start : max(start, first)])
        start = last
    parts.append(text[start:stop])
    return "".join(parts)


def _form(text: str, tags: list[_Tag]) -> tuple[bool, bool]:
    """Whether a thought precedes the actions, and whether the text has the strict form."""
    shape = [(tag.name, tag.closing) for tag in tags]
    thought = shape[:2] == [("think", False), ("think", True)]
    rest = tags[2:] if thought else tags
    pairs = list(zip(rest[::2], rest[1::2], strict=False))
    if (
        not pairs
        or len(rest) % 2
        or any(
            opening.name == "think" or opening.closing or not closing.closing or opening.name != closing.name
            for opening, closing in pairs
        )
    ):
        return thought, False
    ends = [0, *([tags[0].start, tags[1].end] if thought else [])]
    for opening, closing in pairs:
        ends += [opening.start, closing.end]
    ends.append(len(text))
    # The text before a thought, between thought and action, between actions, and after the last one.
    return thought, not any(text[start:end].strip() for start, end in zip(ends[::2], ends[1::2], strict=True))
