"""Rewards for calls: accumulated, wrong with a tool, repeated, helpful for the group; and tags with partial credit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from vzgym.core import Action, Answer, Malformed, Zoom, Zooms
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode, EpisodeRecord
from vzgym.protocols import PROTOCOLS
from vzgym.rewards import REWARDS, RewardContext, make_reward, score_group

Play = Callable[..., EpisodeRecord]

BLUE, RED = Answer("blue"), Answer("red")
LOOK, ASIDE, REFUSED = Zoom(4.0, 5.0, 4.0), Zoom(6.0, 7.0, 4.0), Zoom(5.0, 4.0, 1.0)


def values(name: str, record: EpisodeRecord, **options: object) -> list[float | None]:
    """The module's value of each turn."""
    module = REWARDS.make({"name": name, **options})
    return [module.score(record.upto(count), RewardContext()) for count in range(1, len(record.turns) + 1)]


@pytest.mark.parametrize(
    ("actions", "calls", "wrong"),
    [
        ([BLUE], 0, 0),
        ([LOOK, BLUE], 1, 0),
        ([LOOK, ASIDE, LOOK, BLUE], 3, 0),
        ([LOOK, REFUSED, Malformed("no JSON"), BLUE], 1, 0),  # neither was executed
        ([LOOK, ASIDE, RED], 0, -1),
        ([LOOK, Answer("mauve")], 0, -1),  # unreadable: not right
        ([REFUSED, RED], 0, 0),
        ([RED], 0, 0),
    ],
)
def test_accumulated_calls_and_wrong_answers(play: Play, actions: Sequence[Action], calls: int, wrong: int) -> None:
    record = play(actions)
    before = [0.0] * (len(record.turns) - 1)
    assert values("accumulative_tool", record) == [*before, calls]
    assert values("wrong_with_tool", record) == [*before, wrong]


def test_the_number_of_paid_calls_is_bounded(play: Play) -> None:
    assert values("accumulative_tool", play([LOOK, ASIDE, LOOK, BLUE]), most=2)[-1] == 2
    with pytest.raises(InvalidSetting, match="most"):
        REWARDS.make({"name": "accumulative_tool", "most": 0})


@pytest.mark.parametrize("name", ["accumulative_tool", "wrong_with_tool"])
def test_a_video_error_is_unscored(play: Play, name: str) -> None:
    assert values(name, play([LOOK, Zoom(9.0, 10.0, 4.0)])) == [0.0, None]


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([LOOK, LOOK, BLUE], [0, -1, 0]),
        ([LOOK, ASIDE, LOOK, BLUE], [0, 0, -1, 0]),
        ([LOOK, Zoom(4.0, 5.0, 2.0), BLUE], [0, 0, 0]),  # another rate is another call
        ([LOOK, Zoom(4.0001, 5.0, 4.0), BLUE], [0, -1, 0]),
        ([LOOK, Zoom(4.01, 5.0, 4.0), BLUE], [0, 0, 0]),
        ([REFUSED, REFUSED, BLUE], [0, -1, 0]),  # a refused call costs a turn, too
        ([Malformed("no JSON"), Malformed("no JSON"), BLUE], [0, 0, 0]),
        ([Zooms((LOOK, ASIDE)), Zooms((LOOK, ASIDE)), LOOK, BLUE], [0, -1, 0, 0]),
    ],
)
def test_repeated_calls(play: Play, actions: Sequence[Action], expected: list[float]) -> None:
    assert values("repeated_call", play(actions)) == expected


def test_tool_benefit_is_the_difference_of_the_means(play: Play) -> None:
    def last(group: list[EpisodeRecord]) -> list[float | None]:
        return [ledger[-1].terms["tool_benefit"].value for ledger in score_group(make_reward("tool_benefit"), group)]

    # With a zoom 2 of 3 right, without 1 of 4.
    group = [*(play([LOOK, said]) for said in (BLUE, BLUE, RED)), *(play([said]) for said in (BLUE, RED, RED, RED))]
    assert last(group) == pytest.approx([2 / 3 - 1 / 4] * 3 + [0.0] * 4)
    # Zooming harms: those who zoomed pay, whatever they answered.
    assert last([play([LOOK, RED]), play([BLUE])]) == [-1.0, 0.0]
    # Nothing to compare with.
    assert last([play([LOOK, BLUE]), play([ASIDE, RED])]) == [0.0, 0.0]
    assert last([play([BLUE]), play([RED])]) == [0.0, 0.0]
    # A failed roll-out is unscored and does not count.
    broken = play([LOOK, Zoom(9.0, 10.0, 4.0)])
    assert last([play([LOOK, BLUE]), play([RED]), broken]) == [1.0, 0.0, None]


@pytest.fixture
def turns(start: Callable[..., Episode]) -> Callable[..., EpisodeRecord]:
    """Plays texts through a protocol."""

    def run(*texts: str, protocol: str = "tags") -> EpisodeRecord:
        base = start()
        wording = PROTOCOLS.make(protocol)
        episode = Episode(base.task, base.budget, wording)
        for text in texts:
            parsed = wording.parse(text, episode.rules)
            episode.step(parsed.action, text=text, well_formed=parsed.well_formed)
        return episode.record

    return run


ZOOM = '<video_zoom>{"segment": [4, 5], "fps": 2}</video_zoom>'


@pytest.mark.parametrize(
    ("texts", "value", "without_thoughts"),
    [
        (["<think>a</think><answer>B</answer>"], 1.0, 1.0),
        (["<answer>B</answer>"], 0.5, 1.0),
        ([f"<think>a</think>{ZOOM}", "<answer>B</answer>"], 0.75, 1.0),
        (["<think>a</think><answer>B"], 0.75, 0.5),
        (["<think>a</think><think>b</think><answer>B</answer>"], 0.5, 1.0),
        (["what?", "<think>a</think><answer>B</answer>"], 0.5, 0.5),
        # Tags in any order count; `format` is stricter.
        (["<answer>B</answer><think>a</think>"], 1.0, 1.0),
    ],
)
def test_tags_give_partial_credit(
    turns: Callable[..., EpisodeRecord], texts: list[str], value: float, without_thoughts: float
) -> None:
    record = turns(*texts)
    assert values("tag_format", record) == [*[0.0] * (len(texts) - 1), pytest.approx(value)]
    assert values("tag_format", record, think=False)[-1] == pytest.approx(without_thoughts)


def test_tags_of_tool_calls_count(turns: Callable[..., EpisodeRecord]) -> None:
    call = '<tool_call>\n{"name": "video_zoom", "arguments": {"segment": [4, 5], "fps": 2}}\n</tool_call>'
    record = turns(f"<think>a</think>{call}", "<think>b</think><answer>B</answer>", protocol="tool_calls")
    assert values("tag_format", record) == [0.0, 1.0]


def test_tags_are_unscored_where_the_dialogue_has_none(play: Play) -> None:
    assert values("tag_format", play([BLUE])) == [None]
