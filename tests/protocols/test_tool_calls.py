"""Native tool calls: one form in text and in structure, read as strictly as the tags."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Budget, Malformed, Region, Zoom
from vzgym.episode import Episode
from vzgym.episode.turn import Refusal
from vzgym.protocols import Parsed, ToolCallProtocol, as_tool_chat, turn_text, video_zoom_tool

ARGUMENTS = '{"segment": [4.0, 5.0], "fps": 2.0}'
CALL = f'<tool_call>\n{{"name": "video_zoom", "arguments": {ARGUMENTS}}}\n</tool_call>'
THE_ZOOM = Zoom(4.0, 5.0, 2.0)
HM = "<think>hm</think>"
NO_FPS = '<tool_call>{"name": "video_zoom", "arguments": {"segment": [4, 5]}}</tool_call>'


def say(episode: Episode, text: str) -> None:
    parsed = episode.wording.parse(text)  # type: ignore[attr-defined]
    episode.step(parsed.action, text=text, well_formed=parsed.well_formed)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (f"{HM}\n{CALL}", THE_ZOOM),
        (HM + CALL, THE_ZOOM),
        (HM + "<answer>B</answer>", Answer("B")),
        (HM + CALL.replace("2.0}", '2, "region": [0, 0, 0.5, 1]}'), Zoom(4.0, 5.0, 2.0, Region(0.0, 0.0, 0.5, 1.0))),
    ],
)
def test_well_formed_turns(text: str, action: object) -> None:
    for strict in (False, True):
        assert ToolCallProtocol(strict=strict).parse(text) == Parsed(action, True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (CALL, THE_ZOOM),  # no thought
        (f"{HM}Let me look.\n{CALL}", THE_ZOOM),
        (HM + CALL + CALL.replace("4.0", "1.0"), THE_ZOOM),  # of several calls the first
        (HM + CALL + "<answer>B</answer>", THE_ZOOM),
        (HM + CALL.removesuffix("</tool_call>"), THE_ZOOM),
        (HM + CALL.replace("2.0}", '2.0, "why": "there"}'), THE_ZOOM),
        (HM + CALL.replace('{"name"', '{"id": 1, "name"'), THE_ZOOM),
        (HM + CALL.replace(ARGUMENTS, json.dumps(ARGUMENTS)), THE_ZOOM),  # arguments as a text of JSON
        (f"<think>shall I {CALL}?</think><answer>B</answer>extra", Answer("B")),
    ],
)
def test_sloppy_turns_are_read_but_not_well_formed(text: str, action: object) -> None:
    assert ToolCallProtocol().parse(text) == Parsed(action, False)  # type: ignore[arg-type]
    refused = ToolCallProtocol(strict=True).parse(text).action
    assert isinstance(refused, Malformed)
    assert 'one of <tool_call>{"name": "video_zoom", "arguments": {"segment"' in refused.reason


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("B", "no complete action found: write <think>...</think> and then one of <tool_call>"),
        ('<video_zoom>{"segment": [4, 5], "fps": 2}</video_zoom>', "no complete action found"),
        ("<tool_call>{</tool_call>", "the zoom is not JSON"),
        ("<tool_call>[]</tool_call>", 'must be a JSON object with "name" and "arguments"'),
        (f"<tool_call>{ARGUMENTS}</tool_call>", 'must be a JSON object with "name" and "arguments"'),
        (CALL.replace("video_zoom", "crop_video"), 'there is no such tool: the only one is "video_zoom"'),
        (CALL.replace('"video_zoom"', "[]"), "there is no such tool"),
        (CALL.replace(ARGUMENTS, '"{"'), "the zoom is not JSON"),
        (CALL.replace(ARGUMENTS, "null"), 'must be a JSON object with "segment" and "fps"'),
        (NO_FPS, 'must be a JSON object with "segment" and "fps"'),
        (CALL.replace("[4.0, 5.0]", "4.0"), '"segment" must be [start, end]'),
    ],
)
def test_malformed_turns_say_what_is_wrong(text: str, says: str) -> None:
    parsed = ToolCallProtocol().parse(text)
    assert isinstance(parsed.action, Malformed)
    assert says in parsed.action.reason
    assert not parsed.well_formed


FINITE = st.floats(allow_nan=False, allow_infinity=False)
ZOOMS = st.builds(Zoom, FINITE, FINITE, FINITE, st.none() | st.builds(Region, FINITE, FINITE, FINITE, FINITE))


@given(ZOOMS)
def test_a_zoom_is_read_as_it_was_said(zoom: Zoom) -> None:
    protocol = ToolCallProtocol(think="none", strict=True)
    assert protocol.parse(protocol.text_of(zoom)) == Parsed(zoom, True)


PIECES = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        ARGUMENTS,
        CALL,
        "B",
        '"',
        "{",
        "\n",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join), st.booleans())
def test_parsing_never_raises(text: str, strict: bool) -> None:
    parsed = ToolCallProtocol(strict=strict).parse(text)
    assert isinstance(parsed.action, (Zoom, Answer, Malformed))
    if parsed.well_formed:
        assert ToolCallProtocol(strict=not strict).parse(text) == parsed


def test_the_schema_states_the_budgets_limits() -> None:
    schema = video_zoom_tool(Budget(clip_frames=7, min_fps=0.5, max_fps=12.0))["function"]["parameters"]
    assert schema["required"] == ["segment", "fps"]
    assert set(schema["properties"]) == {"segment", "fps"}
    fps = schema["properties"]["fps"]
    assert (fps["minimum"], fps["maximum"]) == (0.5, 12.0)
    assert "at most 7" in fps["description"]
    spatial = video_zoom_tool(Budget(spatial=True))["function"]["parameters"]
    assert spatial["properties"]["region"]["minItems"] == spatial["properties"]["region"]["maxItems"] == 4
    assert spatial["required"] == ["segment", "fps"]


def test_the_tool_is_described_once_and_only_where_there_are_zooms(start: Callable[..., Episode]) -> None:
    rules = start(ToolCallProtocol()).messages[0].text
    assert "call video_zoom, with times in seconds" in rules
    assert json.dumps(video_zoom_tool(Budget(clip_frames=4))) in rules
    assert "region" not in rules
    assert '"region"' in start(ToolCallProtocol(), spatial=True).messages[0].text
    assert "tool" not in start(ToolCallProtocol(), max_zooms=0).messages[0].text
    assert "<tools>" not in start(ToolCallProtocol(structured=True)).messages[0].text


def play(episode: Episode) -> None:
    """A zoom, one that is refused, and an answer."""
    say(episode, f"<think>Look.</think>\n{CALL}")
    say(episode, f"<think>Again.</think>\n{CALL.replace('5.0', '50.0')}")
    say(episode, "<think>Seen.</think>\n<answer>B</answer>")


def test_both_forms_are_the_same_episode(start: Callable[..., Episode]) -> None:
    text, structured = start(ToolCallProtocol()), start(ToolCallProtocol(structured=True))
    play(text)
    play(structured)
    assert [turn.action for turn in text.record.turns] == [turn.action for turn in structured.record.turns]
    assert [turn.refusal for turn in text.record.turns] == [None, Refusal.OUTSIDE, None]
    assert [clip.hashes for clip in text.record.clips] == [clip.hashes for clip in structured.record.clips]


def test_calls_and_replies_are_joined_by_their_ids(start: Callable[..., Episode]) -> None:
    episode = start(ToolCallProtocol(structured=True), max_zooms=4)
    say(episode, f"<think>Look.</think>\n{CALL}")
    say(episode, CALL.replace("4.0", "1.0") + CALL)
    say(episode, "I do not know")
    say(episode, NO_FPS)
    chat = as_tool_chat(episode.messages)
    assert [message["role"] for message in chat] == [
        "system", "user", "assistant", "tool", "assistant", "tool", "assistant", "user", "assistant", "tool",
    ]  # fmt: skip
    call = chat[2]["tool_calls"][0]
    assert call["function"] == {"name": "video_zoom", "arguments": ARGUMENTS}
    assert chat[2]["content"] == [{"type": "text", "text": "<think>Look.</think>"}]
    assert chat[3]["tool_call_id"] == call["id"] != chat[4]["tool_calls"][0]["id"]
    # Of several calls, the first was carried out; the other stays text.
    assert json.loads(chat[4]["tool_calls"][0]["function"]["arguments"])["segment"] == [1.0, 5.0]
    assert chat[4]["content"][0]["text"] == CALL
    assert "tool_calls" not in chat[6]
    assert json.loads(chat[8]["tool_calls"][0]["function"]["arguments"]) == {"segment": [4, 5]}


@pytest.mark.parametrize(
    ("message", "action"),
    [
        ({"content": None, "tool_calls": [{"function": {"name": "video_zoom", "arguments": ARGUMENTS}}]}, THE_ZOOM),
        (
            {
                "content": "",
                "reasoning_content": "hm",
                "tool_calls": [{"function": {"name": "video_zoom", "arguments": json.loads(ARGUMENTS)}}],
            },
            THE_ZOOM,
        ),
        ({"content": [{"type": "text", "text": "<answer>B</answer>"}]}, Answer("B")),
        ({"content": CALL, "tool_calls": None}, THE_ZOOM),
    ],
)
def test_structured_replies_are_read_as_text(message: dict[str, object], action: object) -> None:
    assert ToolCallProtocol(think="optional", strict=True).parse(turn_text(message)) == Parsed(action, True)  # type: ignore[arg-type]


def test_unreadable_structured_arguments_are_refused_by_name() -> None:
    text = turn_text({"tool_calls": [{"function": {"name": "video_zoom", "arguments": '{"segment": [4'}}]})
    action = ToolCallProtocol().parse(text).action
    assert isinstance(action, Malformed)
    assert "the zoom is not JSON" in action.reason
