"""One reading of a turn: thoughts, truncated and over-long texts, and the work that reading takes."""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Malformed, Zoom
from vzgym.protocols import MAX_TURN_LENGTH, PROTOCOLS, TextProtocol, TruncatedText, read_turn, turn_text, turns

NAMES = sorted({*PROTOCOLS.names()} - {"direct"})  # which reads answers only
ZOOM = Zoom(1.0, 2.0, 3.0)


def tag_of(protocol: TextProtocol) -> str:
    return str(getattr(protocol, "tag"))  # noqa: B009


@st.composite
def thoughts(draw: st.DrawFn, tag: str) -> str:
    """Text of a thought: words, drafted actions and tags, but no `<think>` and no `</think>`."""
    pieces = ["hm ", "<answer>A</answer>", f"<{tag}>", f"</{tag}>", "<answer>", "</answer>", "{", "\n"]
    return "".join(draw(st.lists(st.sampled_from(pieces), max_size=6)))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_nothing_in_a_thought_is_an_action(name: str, data: st.DataObject) -> None:
    protocol = PROTOCOLS.make(name)
    inner = thoughts(tag_of(protocol))
    first, second, third = (data.draw(inner) for _ in range(3))
    action = data.draw(st.sampled_from([ZOOM, Answer("B")]))
    said = protocol.text_of(action)
    for text in (
        f"<think>{first}</think>{said}",
        f"{first}</think>{said}",
        f"<think>{first}</think>{second}</think>{said}",
        f"<think>{first}<think>{second}</think>{third}</think>{said}",
        f"<think>{first}</think><think>{second}</think>{said}",
    ):
        assert protocol.parse(text).action == action, text
    for text in (f"<think>{first}{said}{second}", f"<think>{first}{said}</think>", f"{said}</think>"):
        assert isinstance(protocol.parse(text).action, Malformed), text


@pytest.mark.parametrize("name", NAMES)
def test_no_action_is_read_from_a_truncated_text(name: str) -> None:
    protocol = PROTOCOLS.make(name)
    for said in (protocol.text_of(ZOOM), protocol.text_of(Answer("B")), "<answer>B", "<think>hm", ""):
        parsed = protocol.parse(TruncatedText(said))
        assert isinstance(parsed.action, Malformed)
        assert "token limit" in parsed.action.reason
        assert not parsed.well_formed
    assert protocol.parse("<answer>B").action == Answer("B")  # a stop string was cut off


@pytest.mark.parametrize("name", NAMES)
def test_an_over_long_turn_is_malformed(name: str) -> None:
    protocol = PROTOCOLS.make({"name": name, "think": "optional"})
    said = protocol.text_of(Answer("B"))
    fits = " " * (MAX_TURN_LENGTH - len(said)) + said
    assert protocol.parse(fits).action == Answer("B")
    action = protocol.parse(" " + fits).action
    assert isinstance(action, Malformed)
    assert f"at most {MAX_TURN_LENGTH}" in action.reason


@pytest.mark.parametrize("name", NAMES)
def test_lone_surrogates_are_replaced(name: str) -> None:
    action = PROTOCOLS.make(name).parse("<answer>B \ud800 \ud83d\ude00</answer>").action
    assert action == Answer("B \ufffd \U0001f600")


def lines_run(protocol: TextProtocol, text: str) -> int:
    """How many lines of the module that reads turns run for one text."""
    count, file = 0, inspect.getfile(turns)

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != file:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        protocol.parse(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "pattern",
    [
        "<think>",
        "</think>",
        "<answer>",
        "<{tag}>",
        "<think></think>",
        "<answer></think>",
        "<{tag}></answer>",
        "<answer><think>x</think>",
        "<{tag}></{tag}><think>",
    ],
)
def test_the_work_is_linear_in_the_length(name: str, pattern: str) -> None:
    protocol = PROTOCOLS.make(name)
    piece = pattern.format(tag=tag_of(protocol))
    short, long = (lines_run(protocol, piece * count) for count in (200, 800))
    assert long <= 4.2 * short
    # What runs beside these lines is one search for tags, which looks at each character a bounded number of times.
    assert not set(turns._tags((tag_of(protocol),)).pattern) & set("*+{")


def test_reasoning_that_a_server_separates_is_one_thought() -> None:
    text = turn_text({"reasoning": "a</think> <answer>A</answer> <think>b", "content": "<answer>B</answer>"})
    assert PROTOCOLS.make("tool_calls").parse(text).action == Answer("B")


def test_a_reading_says_where_the_action_stands() -> None:
    text = "<think>x</think> <answer>B<think>y</think></answer> z"
    reading = read_turn(text, "video_zoom")
    (action,) = reading.actions
    assert (action.tag, action.content, action.closed, reading.strict) == ("answer", "B", True, False)
    assert text[slice(*action.span)] == "<answer>B<think>y</think></answer>"


def test_without_calls_only_answers_are_actions() -> None:
    assert read_turn("<>x</> <answer>B</answer>", ()).actions[0].content == "B"
    assert read_turn("<>x</>", ()).actions == ()


def test_the_actions_of_a_turn_stand_in_order_and_not_inside_one_another() -> None:
    text = "<a>1</a><think><a>no</a></think> <b>2<a>3</a></b><a>4</a><answer>B"
    reading = read_turn(text, ("a", "b"), most=9)
    assert [(action.tag, action.content) for action in reading.actions] == [("a", "1"), ("b", "2<a>3</a>"), ("a", "4")]
    assert not reading.strict
    assert [action.content for action in read_turn(text, ("a", "b"), most=2).actions] == ["1", "2<a>3</a>"]
    assert read_turn("<think>x</think> <a>1</a>\n<a>2</a> ", "a", most=9).strict
    assert not read_turn("<a>1</a> and <a>2</a>", "a", most=9).strict
