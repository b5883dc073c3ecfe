"""Several zooms and tool calls in the texts of all protocols."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Malformed, Region, ToolCall, TurnRules, Zoom, Zooms
from vzgym.core.actions import Action
from vzgym.episode import Episode, ToolContext, ToolResult
from vzgym.protocols import PROTOCOLS, Parsed, TagProtocol, ToolCallProtocol, as_tool_chat, video_zoom_tool
from vzgym.protocols.tool_calls import tool_functions

NAMES = ("tags", "compact_tags", "tool_calls")
THREE = TurnRules(3)
FIND = TurnRules(1, ("find",))
FIRST, SECOND = Zoom(4.0, 5.0, 3.0), Zoom(6.5, 7.0, 2.0)

_numbers = st.integers(0, 100_000).map(lambda count: count / 100)
_shares = st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda pair: (pair[0] / 20, (pair[0] + pair[1]) / 20))
_regions = st.none() | st.builds(lambda x, y: Region(x[0], y[0], x[1], y[1]), _shares, _shares)
_zooms = st.builds(Zoom, _numbers, _numbers, _numbers, _regions, st.none() | st.integers(0, 10**6))
_words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=5)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=5,
)


class Find:
    """A tool that finds nothing."""

    name = "find"
    description = "Finds frames."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}}
    spec: Mapping[str, Any] = {"name": "find"}

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        return ToolResult(f"Nothing for {call.arguments.get('text')!r}.")


def make(name: str, **options: Any) -> TagProtocol:
    protocol = PROTOCOLS.make({"name": name, "think": "optional", **options})
    assert isinstance(protocol, TagProtocol)
    return protocol


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", NAMES)
@given(zooms=st.lists(_zooms, min_size=2, max_size=5).map(tuple))
def test_what_is_said_is_read_back(name: str, strict: bool, zooms: tuple[Zoom, ...]) -> None:
    protocol = make(name, strict=strict)
    said = protocol.text_of(Zooms(zooms))
    # Too many are well-formed, as too many frames are: the episode refuses them.
    assert protocol.parse(said, THREE) == Parsed(Zooms(zooms), True)
    assert protocol.parse(f"<think>hm</think> {said}\n", THREE) == Parsed(Zooms(zooms), True)
    assert protocol.parse(protocol.text_of(zooms[0]), THREE) == Parsed(zooms[0], True)


@pytest.mark.parametrize("name", NAMES)
@given(zooms=st.lists(_zooms, min_size=2, max_size=4).map(tuple))
def test_where_one_is_allowed_the_first_is_read_as_before(name: str, zooms: tuple[Zoom, ...]) -> None:
    protocol = make(name)
    assert protocol.parse(protocol.text_of(Zooms(zooms))) == Parsed(zooms[0], False)
    assert protocol.parse(protocol.text_of(zooms[0]) + protocol.text_of(Answer("B"))) == Parsed(zooms[0], False)


@pytest.mark.parametrize("name", NAMES)
def test_zooms_end_at_another_action(name: str) -> None:
    protocol = make(name)
    one, two, answer = protocol.text_of(FIRST), protocol.text_of(SECOND), "<answer>B</answer>"
    cases: dict[str, Action] = {
        one + two + answer: Zooms((FIRST, SECOND)),
        one + answer + two: FIRST,
        answer + one + two: Answer("B"),
        f"{one} and {two}": Zooms((FIRST, SECOND)),
        f"<think>{one}</think>{two}": SECOND,
        f"<think>a</think>{one}<think>b</think>{two}": Zooms((FIRST, SECOND)),
    }
    for text, action in cases.items():
        parsed = protocol.parse(text, THREE)
        assert parsed.action == action, text
        assert not parsed.well_formed, text


@pytest.mark.parametrize("name", NAMES)
def test_a_zoom_that_cannot_be_read_makes_the_turn_malformed(name: str) -> None:
    protocol = make(name)
    broken = f"<{protocol.tag}>{{</{protocol.tag}>"
    parsed = protocol.parse(protocol.text_of(FIRST) + broken + protocol.text_of(SECOND), THREE)
    assert not parsed.well_formed
    assert isinstance(parsed.action, Malformed)
    assert parsed.action.reason.startswith("zoom 2 of the turn cannot be read: the zoom is not JSON")
    assert protocol.parse(protocol.text_of(FIRST) + broken).action == FIRST


@pytest.mark.parametrize("content", ['"max_pixels": "9"', '"max_pixels": 2.5', '"max_pixels": true'])
def test_a_size_is_a_whole_number(content: str) -> None:
    action = make("tags").parse(f'<video_zoom>{{"segment": [1, 2], "fps": 1, {content}}}</video_zoom>').action
    assert action == Malformed('"max_pixels" must be a whole number.')


@pytest.mark.parametrize("name", NAMES)
@given(arguments=st.dictionaries(_words, _json, max_size=3))
def test_calls_of_tools_are_read_back(name: str, arguments: dict[str, Any]) -> None:
    call = ToolCall("find", arguments)
    assert make(name).parse(make(name).text_of(call), FIND) == Parsed(call, True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "action"),
    [
        ('{"name": "find", "arguments": {}, "id": 3}', ToolCall("find")),
        ('{"name": "find", "arguments": "{\\"a\\": 1}"}', ToolCall("find", {"a": 1})),
        ('{"name": "find"}', Malformed('a tool call must be a JSON object with "name" and "arguments".')),
        ('{"name": 5, "arguments": {}}', Malformed('"name" must be text and "arguments" a JSON object.')),
        ('{"name": "find", "arguments": [1]}', Malformed('"name" must be text and "arguments" a JSON object.')),
        (
            '{"name": "find", "arguments": {"a": NaN}}',
            Malformed("the arguments of the call hold nan at a, which JSON has no form for."),
        ),
    ],
)
def test_other_calls_are_no_well_formed_turns(name: str, content: str, action: Action) -> None:
    assert make(name).parse(f"<tool_call>{content}</tool_call>", FIND) == Parsed(action, False)


@pytest.mark.parametrize("name", NAMES)
def test_the_episode_not_the_protocol_refuses_an_unknown_tool(name: str) -> None:
    call = ToolCall("other", {"a": 1})
    assert make(name).parse(make(name).text_of(call), FIND) == Parsed(call, True)


@pytest.mark.parametrize("name", ["tags", "compact_tags"])
def test_without_tools_a_call_is_no_action(name: str) -> None:
    parsed = make(name).parse('<tool_call>{"name": "find", "arguments": {}}</tool_call><answer>B</answer>')
    assert parsed.action == Answer("B")


def test_a_zoom_and_a_call_are_told_apart() -> None:
    rules = TurnRules(2, ("find",))
    for name in NAMES:
        protocol = make(name)
        call, zoom = protocol.text_of(ToolCall("find")), protocol.text_of(FIRST)
        assert protocol.parse(call + zoom, rules) == Parsed(ToolCall("find"), False)
        assert protocol.parse(zoom + call, rules) == Parsed(FIRST, False)


@pytest.mark.parametrize("name", ["tags", "tool_calls"])
def test_the_rules_state_what_the_budget_allows(name: str, start: Callable[..., Episode]) -> None:
    plain = start(make(name)).messages[0].text
    rich = start(make(name), zooms_per_turn=3, zoom_max_pixels=9000).messages[0].text
    assert "You may zoom up to 3 times in one turn" in rich
    assert "frames for all zooms of a turn together" in rich
    assert "turns with zooms. If one zoom of a turn cannot be carried out, none is." in rich
    assert "max_pixels gives the most pixels of a frame, from 1 to 9000; leave it out for 100352." in rich
    assert not any(word in plain for word in ("max_pixels", "up to", "together"))
    # They are stated once: in the system message, or beside the question.
    question = "A round may have up to 3 zooms"
    assert question not in start(make(name), zooms_per_turn=3).messages[1].text
    assert question in start(make(name, instructions=False), zooms_per_turn=3).messages[0].text


def with_tools(protocol: TagProtocol, start: Callable[..., Episode]) -> Episode:
    plain = start(protocol, max_zooms=3, zooms_per_turn=2)
    return Episode(plain.task, plain.budget, protocol, [Find()])


def test_tools_are_described_in_the_form_of_the_protocol(start: Callable[..., Episode]) -> None:
    tags = with_tools(make("tags"), start).messages[0].text
    assert "Instead of zooming, you may call a tool, which uses a round too." in tags
    assert tags.endswith(json.dumps({"name": "find", "description": "Finds frames.", "parameters": Find.parameters}))
    calls = with_tools(make("tool_calls"), start)
    functions = tool_functions(calls.budget, calls.record.tools)
    assert [function["function"]["name"] for function in functions] == ["video_zoom", "find"]
    assert "<tools>\n" + "\n".join(map(json.dumps, functions)) + "\n</tools>" in calls.messages[0].text
    assert functions[0] == video_zoom_tool(calls.budget)


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_plays_them(name: str, start: Callable[..., Episode]) -> None:
    protocol = make(name)
    episode = with_tools(protocol, start)
    for action in (Zooms((FIRST, SECOND)), ToolCall("find", {"text": "a cat"}), Answer("B")):
        text = protocol.text_of(action)
        parsed = protocol.parse(text, episode.rules)
        turn = episode.step(parsed.action, text=text, well_formed=parsed.well_formed)
        assert turn.action == action
        assert turn.well_formed
        assert turn.refusal is None
    if name != "compact_tags":
        replies = [message.text for message in episode.messages if message.role == "tool"]
        assert [reply.count("<tool_response>") for reply in replies] == [2, 1]
        assert all(reply.count("<tool_response>") == reply.count("</tool_response>") for reply in replies)
        assert "<tool_response>\nNothing for 'a cat'.\nRounds left: 2.\n</tool_response>" in replies[1]


def test_each_parallel_call_has_its_reply(start: Callable[..., Episode]) -> None:
    protocol = ToolCallProtocol(think="optional", structured=True)
    episode = with_tools(protocol, start)
    for action in (Zooms((FIRST, SECOND)), ToolCall("find", {"text": "a"}), Zooms((FIRST, FIRST, SECOND))):
        text = protocol.text_of(action)
        parsed = protocol.parse(text, episode.rules)
        episode.step(parsed.action, text=text, well_formed=parsed.well_formed)
    chat = as_tool_chat(episode.messages, ["find"])
    names = [message["role"] for message in chat]
    assert names == ["system", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant", *["tool"] * 3]
    ids = [call["id"] for message in chat for call in message.get("tool_calls", ())]
    assert ids == [message["tool_call_id"] for message in chat if message["role"] == "tool"]
    assert len(set(ids)) == 6
    assert all(len(id) == 9 and id.isalnum() for id in ids)
    first, second = (message["content"] for message in chat[3:5])
    assert first[0]["text"].startswith("Clip 4.00 to 5.00 s")
    assert second[0]["text"].startswith("Clip 6.50 to 7.00 s")
    assert sum(block["type"] == "image" for block in first) == 3
    assert chat[6]["name"] == "find"
    assert "too_many_zooms" in chat[8]["content"][0]["text"]
    assert chat[9]["content"][0]["text"] == chat[10]["content"][0]["text"] != chat[8]["content"][0]["text"]
    # The text of the dialogue is the same, whether or not the replies are apart.
    assert "".join(block.get("text", "") for block in first) in episode.messages[3].text
