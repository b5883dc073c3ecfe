"""The paper's tags: what is read, what is well-formed, and what the agent is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Budget, Malformed, Region, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode, Refusal
from vzgym.protocols import Parsed, TagProtocol

ZOOM = '<video_zoom>{"segment": [12.0, 14.0], "fps": 8}</video_zoom>'
ANSWER = "<answer>B</answer>"
HM = "<think>hm</think>"
THE_ZOOM = Zoom(12.0, 14.0, 8.0)
ZOOM_IN_FULL = """<think>
It must be around 13 s.
</think>
<video_zoom>
{
  "segment": [12.0, 14.0],
  "fps": 8
}
</video_zoom>
"""


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (HM + ZOOM, THE_ZOOM),
        (HM + ANSWER, Answer("B")),
        (ZOOM_IN_FULL, THE_ZOOM),
        (f"  {HM}\n\n{ANSWER}\n ", Answer("B")),
        ("<think></think><answer> B. \u00fcber\nall </answer>", Answer("B. \u00fcber\nall")),
        (HM + '<video_zoom>{"fps": 1, "segment": [0, 2]}</video_zoom>', Zoom(0.0, 2.0, 1.0)),
        (HM + '<video_zoom>{"segment":[0,2],"fps":1,"region":[0,0,0.5,1]}</video_zoom>',
         Zoom(0.0, 2.0, 1.0, Region(0.0, 0.0, 0.5, 1.0))),
        (HM + '<video_zoom>{"segment":[0,2],"fps":1,"region":null}</video_zoom>', Zoom(0.0, 2.0, 1.0)),
        ("<think>a < b > c </b> &amp; </think>" + ANSWER, Answer("B")),
    ],
)  # fmt: skip
def test_well_formed_turns(text: str, action: object) -> None:
    for strict in (False, True):
        assert TagProtocol(strict=strict).parse(text) == Parsed(action, True)  # type: ignore[arg-type]


SLOPPY = [
    # What was said, and what a lenient reading finds in it.
    (ZOOM, THE_ZOOM),  # no thought
    (ANSWER, Answer("B")),
    ("B it is: " + ANSWER, Answer("B")),
    (HM + ANSWER + " Done.", Answer("B")),
    (HM + "<answer>B", Answer("B")),  # the stop string was cut off
    (HM + '<video_zoom>{"segment": [12.0, 14.0], "fps": 8}', THE_ZOOM),
    (HM + ZOOM + ANSWER, THE_ZOOM),  # both: the first
    (HM + ANSWER + ZOOM, Answer("B")),
    (HM + ANSWER + "<answer>C</answer>", Answer("B")),
    (HM + HM + ANSWER, Answer("B")),
    (ANSWER + HM, Answer("B")),
    ("hm</think>" + ANSWER, Answer("B")),  # the template had opened it
    ("<think>a<think>b</think>" + ANSWER, Answer("B")),
    # A thought that names tags means none of them.
    ("<think>I could <answer>A</answer> or look</think>" + ZOOM, THE_ZOOM),
    ("<think>maybe <video_zoom>{}</video_zoom></think>" + ANSWER, Answer("B")),
    ("so <answer>A</answer>? no</think>" + ANSWER, Answer("B")),
    ("Well. <think><answer>A</answer></think>" + ANSWER, Answer("B")),
    ("<think>write <answer> or <video_zoom></think>" + ANSWER, Answer("B")),
    (HM + "<answer><answer>B</answer>", Answer("<answer>B")),
    # A closing tag that a thought mentions does not end it.
    ("<think>first </think>, then <answer>A</answer>?</think>" + ZOOM, THE_ZOOM),
    ("write </think> and <answer>A</answer>? no</think>" + ANSWER, Answer("B")),
    ("<think>a<think>b</think>c</think>" + ANSWER, Answer("B")),
    (HM + "<answer>B<think>C</think></answer>", Answer("B")),
    # An unclosed zoom does not swallow a complete answer.
    (HM + '<video_zoom>{"segment": [1, 2], "fps": 1} ' + ANSWER, Answer("B")),
    (HM + '<video_zoom>{"segment": [12, 14], "fps": 8, "why": "there"}</video_zoom>', THE_ZOOM),
]


@pytest.mark.parametrize(("text", "action"), SLOPPY)
def test_sloppy_turns_are_read_but_not_well_formed(text: str, action: object) -> None:
    assert TagProtocol().parse(text) == Parsed(action, False)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "action"), SLOPPY)
def test_strict_reading_refuses_them(text: str, action: object) -> None:
    parsed = TagProtocol(strict=True).parse(text)
    assert not parsed.well_formed
    assert isinstance(parsed.action, Malformed)
    assert "the turn must hold <think>...</think> and then one of <video_zoom>" in parsed.action.reason
    assert parsed.action.reason.endswith("and nothing else.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no complete action found: write <think>...</think> and then one of"),
        ("The answer is B", "no complete action found"),
        (HM, "no complete action found"),
        ("<think><answer>B</answer></think>", "no complete action found"),
        ("<think>hm" + ANSWER, "the thought is not closed by </think>"),
        ("<think>hm" + ZOOM, "the thought is not closed by </think>"),
        ("<think>hm <answer>B", "the thought is not closed by </think>"),
        (HM + "<answer>B<think>hm", "the thought is not closed by </think>"),
        (HM + ZOOM + "</think>", "no complete action found"),
        ("<ANSWER>B</ANSWER>", "no complete action found"),
        (HM + "<answer></answer>", "the answer is empty."),
        (HM + "<answer> \n</answer>", "the answer is empty."),
        (HM + "<answer>", "the answer is empty."),
        (HM + "<video_zoom></video_zoom>", "the zoom is not JSON: Expecting value."),
        (HM + "<video_zoom>12 to 14</video_zoom>", "the zoom is not JSON: Extra data."),
        (HM + '<video_zoom>{"segment": [12, 14], "fps": 8', "the zoom is not JSON"),
        (HM + '<video_zoom>{"segment": [12, 14], "fps": 8} please</video_zoom>', "the zoom is not JSON: Extra data."),
        (HM + "<video_zoom>{'segment': [12, 14], 'fps': 8}</video_zoom>", "the zoom is not JSON"),
        (HM + f"<video_zoom>{'[' * 100_000}</video_zoom>", "nested too deeply"),
        (HM + f'<video_zoom>{{"segment": [0, {"9" * 5000}], "fps": 1}}</video_zoom>', "a number that is far too long"),
        (HM + "<video_zoom>[12, 14]</video_zoom>", 'must be a JSON object with "segment" and "fps"'),
        (HM + "<video_zoom>null</video_zoom>", 'must be a JSON object with "segment" and "fps"'),
        (HM + '<video_zoom>{"segment": [12, 14]}</video_zoom>', 'must be a JSON object with "segment" and "fps"'),
        (HM + '<video_zoom>{"fps": 8}</video_zoom>', 'must be a JSON object with "segment" and "fps"'),
        (HM + '<video_zoom>{"segment": [12], "fps": 8}</video_zoom>', '"segment" must be [start, end]'),
        (HM + '<video_zoom>{"segment": [1, 2, 3], "fps": 8}</video_zoom>', '"segment" must be [start, end]'),
        (HM + '<video_zoom>{"segment": "12-14", "fps": 8}</video_zoom>', '"segment" must be [start, end]'),
        (HM + '<video_zoom>{"segment": ["12", "14"], "fps": 8}</video_zoom>', '"segment" must be [start, end]'),
        (HM + '<video_zoom>{"segment": [true, 14], "fps": 8}</video_zoom>', '"segment" must be [start, end]'),
        (HM + '<video_zoom>{"segment": [[12], 14], "fps": 8}</video_zoom>', '"segment" must be [start, end]'),
        (HM + '<video_zoom>{"segment": {"a": 1, "b": 2}, "fps": 8}</video_zoom>', '"segment" must be [start, end]'),
        (HM + '<video_zoom>{"segment": [12, 14], "fps": "8"}</video_zoom>', '"fps" must be a number'),
        (HM + '<video_zoom>{"segment": [12, 14], "fps": null}</video_zoom>', '"fps" must be a number'),
        (HM + '<video_zoom>{"segment": [12, 14], "fps": true}</video_zoom>', '"fps" must be a number'),
        (HM + '<video_zoom>{"segment": [12, 14], "fps": [8]}</video_zoom>', '"fps" must be a number'),
        (HM + '<video_zoom>{"segment": [0, 1], "fps": 8, "region": [0, 1]}</video_zoom>', '"region" must be [left'),
        (HM + '<video_zoom>{"segment": [0, 1], "fps": 8, "region": "all"}</video_zoom>', '"region" must be [left'),
    ],
)
def test_malformed_turns_say_what_is_wrong(text: str, says: str) -> None:
    for strict in (False, True):
        parsed = TagProtocol(strict=strict).parse(text)
        assert isinstance(parsed.action, Malformed)
        assert says in parsed.action.reason
        assert not parsed.well_formed


def test_numbers_beyond_sense_are_the_episodes_to_refuse(start: Callable[..., Episode]) -> None:
    protocol = TagProtocol()
    for content in (
        '{"segment": [NaN, 2], "fps": 1}',
        '{"segment": [0, Infinity], "fps": 1}',
        '{"segment": [0, 1e999], "fps": 1}',
        f'{{"segment": [0, {"9" * 400}], "fps": 1}}',
        f'{{"segment": [-{"9" * 400}, 0], "fps": 1}}',
    ):
        parsed = protocol.parse(f"{HM}<video_zoom>{content}</video_zoom>")
        assert isinstance(parsed.action, Zoom)
        turn = start(protocol).step(parsed.action)
        assert turn.refusal is Refusal.NOT_FINITE


@pytest.mark.parametrize(
    ("think", "with_thought", "without"), [("required", True, False), ("optional", True, True), ("none", False, True)]
)
def test_whether_a_turn_must_think(
    think: Literal["required", "optional", "none"], with_thought: bool, without: bool
) -> None:
    protocol = TagProtocol(think=think)
    assert protocol.parse(HM + ANSWER) == Parsed(Answer("B"), with_thought)
    assert protocol.parse(ANSWER) == Parsed(Answer("B"), without)
    strict = TagProtocol(think=think, strict=True)
    assert isinstance(strict.parse(HM + ANSWER).action, Answer) is with_thought
    assert isinstance(strict.parse(ANSWER).action, Answer) is without


def test_an_unknown_way_to_think_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="think must be 'required', 'optional' or 'none', got 'aloud'"):
        TagProtocol(think="aloud")  # type: ignore[arg-type]


TAGS = [f"<{slash}{name}>" for name in ("think", "video_zoom", "answer") for slash in ("", "/")]
SYNTAX = ["{", "}", "[", "]", '"segment"', '"fps"', ":", ",", "1", "2.5", "-", "NaN", "true", "null", "9" * 5000]
PIECES = st.sampled_from([*TAGS, *SYNTAX, '{"segment": [1, 2], "fps": 3}', "B", " ", "\n", "\x00", "\ud800"])
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=14).map("".join))


@given(TEXTS, st.sampled_from(["required", "optional", "none"]), st.booleans())
def test_parsing_never_raises(text: str, think: Any, strict: bool) -> None:
    parsed = TagProtocol(think=think, strict=strict).parse(text)
    assert isinstance(parsed.action, (Zoom, Answer, Malformed))
    if isinstance(parsed.action, Malformed):
        assert not parsed.well_formed
        assert parsed.action.reason.endswith(".")
    if strict and not parsed.well_formed:
        assert isinstance(parsed.action, Malformed)
    if parsed.well_formed:
        # Strict and lenient reading differ in what they take, never in what is well-formed.
        assert TagProtocol(think=think, strict=not strict).parse(text) == parsed
        assert text.count("</answer>") + text.count("</video_zoom>") == 1


@pytest.mark.parametrize("piece", ["<think>", "<answer>", "<video_zoom>", "</think>", " ", "<think></think>", "{"])
def test_a_text_that_repeats_itself_is_parsed_too(piece: str) -> None:
    parsed = TagProtocol().parse(piece * 3000)
    assert not parsed.well_formed


FINITE = st.floats(allow_nan=False, allow_infinity=False)
REGIONS = st.none() | st.builds(Region, FINITE, FINITE, FINITE, FINITE)


@given(st.builds(Zoom, FINITE, FINITE, FINITE, REGIONS))
def test_a_zoom_is_read_as_it_was_said(zoom: Zoom) -> None:
    protocol = TagProtocol(think="none", strict=True)
    assert protocol.parse(protocol.text_of(zoom)) == Parsed(zoom, True)


@given(st.text(min_size=1).filter(lambda text: text.strip() and "<" not in text))
def test_an_answer_is_read_as_it_was_said(text: str) -> None:
    protocol = TagProtocol(think="optional", strict=True)
    assert protocol.parse(protocol.text_of(Answer(text))) == Parsed(Answer(text.strip()), True)


def test_what_is_said_for_actions() -> None:
    protocol = TagProtocol()
    assert protocol.text_of(Zoom(12, 14, 8)) == '<video_zoom>{"segment": [12.0, 14.0], "fps": 8.0}</video_zoom>'
    assert protocol.text_of(Zoom(0.0, 1.0, 1.0, Region(0, 0, 0.5, 1))) == (
        '<video_zoom>{"segment": [0.0, 1.0], "fps": 1.0, "region": [0.0, 0.0, 0.5, 1.0]}</video_zoom>'
    )
    assert protocol.text_of(Answer("B")) == ANSWER
    assert protocol.text_of(Malformed("why")) == ""


def test_the_rules_are_told_first(start: Callable[..., Episode]) -> None:
    episode = start(TagProtocol())
    assert [message.role for message in episode.messages] == ["system", "user"]
    rules = episode.messages[0].text
    assert "between <think> and </think>" in rules
    assert '<video_zoom>{"segment": [start, end], "fps": n}</video_zoom>' in rules
    assert "At most 4 frames a zoom, fps from 0.01 to 30, at most 2 zooms." in rules
    assert "uses up its round" in rules
    assert "<answer>...</answer>" in rules
    assert "region" not in rules
    # It must not push towards answering after a single look.
    assert "then write your final answer" not in rules


def test_the_rules_follow_budget_and_settings(start: Callable[..., Episode]) -> None:
    spatial = start(TagProtocol(), spatial=True).messages[0].text
    assert '"region": [left, top, right, bottom]' in spatial
    assert "shares of its width and height" in spatial
    blind = start(TagProtocol(), max_zooms=0).messages[0].text
    assert "video_zoom" not in blind
    assert "You may think first" in start(TagProtocol(think="optional")).messages[0].text
    assert "think" not in start(TagProtocol(think="none")).messages[0].text
    assert [message.role for message in start(TagProtocol(instructions=False)).messages] == ["user"]


def test_replies_are_closed_for_frames_and_for_errors(start: Callable[..., Episode]) -> None:
    episode = start(TagProtocol())
    episode.step(Zoom(4.0, 5.0, 2.0))
    shown = episode.messages[-1]
    assert shown.role == "tool"
    assert shown.text == (
        "<tool_response>\nClip 4.00 to 5.00 s at 2 fps, 2 frames:\n<frame0_time4.00s><frame1_time4.50s>\n"
        "Rounds left: 2.\n</tool_response>"
    )
    assert len(shown.images) == 2
    parsed = TagProtocol().parse("<video_zoom>{</video_zoom>")
    episode.step(parsed.action, text="<video_zoom>{</video_zoom>", well_formed=parsed.well_formed)
    refused = episode.messages[-1].text
    assert refused.startswith("<tool_response>\nNot shown (malformed): the zoom is not JSON")
    assert refused.endswith("This is the last round: answer now, zooming is no longer possible.\n</tool_response>")
    episode.step(Zoom(0.0, 1.0, 1.0))
    last = episode.messages[-1].text
    assert last.startswith("<tool_response>\nNot shown (last_round): ")
    assert last.endswith("\n</tool_response>")
    assert "Rounds left" not in last


def test_each_reply_is_balanced_and_none_urges_to_answer_early(start: Callable[..., Episode]) -> None:
    episode = start(TagProtocol(), max_zooms=4)
    for zoom in (Zoom(4.0, 5.0, 2.0), Zoom(5.0, 4.0, 2.0), Zoom(0.0, 9.0, 2.0)):
        episode.step(zoom)
        text = episode.messages[-1].text
        assert len(re.findall("<tool_response>", text)) == len(re.findall("</tool_response>", text)) == 1
        assert "answer" not in text
    episode.step(Answer("B"))
    assert episode.messages[-1].role == "assistant"


def test_the_wording_changes_no_fact(start: Callable[..., Episode]) -> None:
    plain, tagged = start(), start(TagProtocol())
    for episode in (plain, tagged):
        episode.step(Zoom(4.0, 5.0, 2.0))
        episode.step(Zoom(5.0, 4.0, 2.0))
        episode.step(Answer("B"))
    assert [clip.hashes for clip in plain.record.clips] == [clip.hashes for clip in tagged.record.clips]
    assert [clip.times.tolist() for clip in plain.record.clips] == [clip.times.tolist() for clip in tagged.record.clips]
    for one, other in zip(plain.record.turns, tagged.record.turns, strict=True):
        assert (one.action, one.outcome, one.refusal, one.detail) == (
            other.action,
            other.outcome,
            other.refusal,
            other.detail,
        )
        assert one.text != other.text
    assert plain.record.grade == tagged.record.grade
    assert plain.record.end is tagged.record.end


def test_the_papers_trap_is_refused_through_text(start: Callable[..., Episode]) -> None:
    episode = start(TagProtocol(), clip_frames=16)
    parsed = episode.wording.parse(HM + '<video_zoom>{"segment": [2, 4], "fps": 8.4}</video_zoom>')  # type: ignore[attr-defined]
    assert parsed == Parsed(Zoom(2.0, 4.0, 8.4), True)
    turn = episode.step(parsed.action)
    assert turn.refusal is Refusal.TOO_MANY_FRAMES
    assert "17 frames; at most 16" in episode.messages[-1].text
    assert Budget().clip_frames == 16
