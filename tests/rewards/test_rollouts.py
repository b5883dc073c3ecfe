"""Rewards that compare a roll-out with its group, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from vzgym.core import Answer, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.rewards import REWARDS, RewardContext, RewardMix, make_reward, rescore, score_group

Play = Callable[..., EpisodeRecord]

BLUE, RED = Answer("blue"), Answer("red")
LOOK = Zoom(4.0, 5.0, 4.0)  # 4 frames; the overview has 5, the budget 5 + 4 * 4 = 21


def last(mix: RewardMix, records: list[EpisodeRecord], term: str) -> list[float | None]:
    """Each roll-out's value of the last turn; those before it are 0."""
    ledgers = score_group(mix, records)
    for ledger in ledgers:
        assert all(step.terms[term].value == 0.0 for step in ledger[:-1])
    return [ledger[-1].terms[term].value for ledger in ledgers]


def test_quality_first_compares_equals_only(play: Play) -> None:
    group = [play([BLUE]), play([LOOK, BLUE]), play([LOOK, LOOK, BLUE]), play([RED]), play([LOOK, LOOK, RED])]
    # Right: 5, 9, 13 frames of 21, mean 9. Wrong: 5 and 13, mean 9.
    found = last(make_reward("quality_first"), group, "quality_first")
    assert found == pytest.approx([4 / 21, 0.0, -4 / 21, 4 / 21, -4 / 21])


def test_quality_first_by_calls_and_among_right_ones(play: Play) -> None:
    group = [play([BLUE]), play([LOOK, LOOK, BLUE]), play([RED])]
    # Rounds used: 1 and 3 of 5, mean 2.
    mix = make_reward({"quality_first": {"weight": 0.05, "cost": "calls", "only_correct": True}})
    assert last(mix, group, "quality_first") == pytest.approx([0.2, -0.2, 0.0])


def test_quality_first_never_trades_quality_for_thrift(play: Play) -> None:
    group = [play([LOOK, LOOK, LOOK, LOOK, BLUE]), play([BLUE]), play([RED]), play([LOOK, RED])]
    totals = [sum(step.total or 0.0 for step in ledger) for ledger in score_group(make_reward("videoevolve"), group)]
    assert min(totals[:2]) > max(totals[2:])
    assert totals[1] > totals[0]


def test_difficulty(play: Play) -> None:
    # Accuracy + format of each: 2 (right, in form), 1 (right, out of form), 1 (wrong, in form).
    formless = play([(BLUE, False)])
    assert last(make_reward("difficulty"), [play([BLUE])] * 2, "difficulty") == [0.5, 0.5]
    # Mean (2 + 1 + 1) / 3 = 4/3: 0.5 + 0.5 * 2/3.
    found = last(make_reward("difficulty"), [play([BLUE]), formless, play([RED])], "difficulty")
    assert found == pytest.approx([5 / 6, 5 / 6, 0.0])
    # Mean (2 + 1 + 1 + 0) / 4 = 1: full worth.
    group = [play([BLUE]), play([RED]), formless, play([(RED, False)])]
    assert last(make_reward("difficulty"), group, "difficulty") == pytest.approx([1.0, 0.0, 1.0, 0.0])


def test_curiosity(play: Play) -> None:
    lazy = [play([RED]) for _ in range(9)]
    # One of ten zooms: 0.3 - 0.1; three zooms cost twice 0.05 on top.
    assert last(make_reward("curiosity"), [play([LOOK, RED]), *lazy], "curiosity") == pytest.approx([0.2] + [0.0] * 9)
    eager = [play([LOOK, LOOK, LOOK, RED]), *lazy]
    assert last(make_reward("curiosity"), eager, "curiosity")[0] == pytest.approx(0.2 - 0.1)
    # Where all zoom there is nothing but the price.
    busy = [play([LOOK, BLUE]), play([LOOK, LOOK, BLUE])]
    assert last(make_reward("curiosity"), busy, "curiosity") == pytest.approx([0.0, -0.05])


def test_curiosity_counts_executed_zooms_only(play: Play) -> None:
    group = [play([Zoom(5.0, 4.0, 1.0), RED]), *[play([RED]) for _ in range(9)]]
    assert last(make_reward("curiosity"), group, "curiosity") == [0.0] * 10


def test_episodes_that_failed_are_left_out(play: Play) -> None:
    broken = play([Zoom(9.0, 10.0, 4.0)])
    group = [play([BLUE]), play([LOOK, BLUE]), broken]
    mix = make_reward({"quality_first": 1.0, "difficulty": 1.0})
    *found, broken_one = last(mix, group, "quality_first")
    assert found == pytest.approx([2 / 21, -2 / 21])
    assert broken_one is None
    assert last(mix, group, "difficulty") == [0.5, 0.5, None]


@pytest.mark.parametrize("name", ["quality_first", "difficulty", "curiosity"])
def test_without_a_group_they_are_unscored(play: Play, name: str) -> None:
    record = play([LOOK, BLUE])
    assert [step.terms[name].status for step in make_reward(name).score_all(record)] == ["unscored"] * 2
    assert REWARDS.make(name).score(record, RewardContext()) is None
    assert [step.terms[name].status for step in score_group(make_reward(name), [record])[0]] == ["scored"] * 2


def test_a_group_is_of_one_task_and_finished(play: Play, start: Callable[..., object]) -> None:
    mix = make_reward("videozoomer")
    with pytest.raises(InvalidSetting, match="roll-outs of one task, got 'flash/1' and 'flash/2'"):
        score_group(mix, [play([BLUE]), play([BLUE], id="flash/2")])
    with pytest.raises(InvalidSetting, match="'flash/1' is unfinished"):
        score_group(mix, [play([BLUE]), play([LOOK])])
    assert score_group(mix, []) == []


def test_rescoring_finds_the_groups_itself(play: Play) -> None:
    mix = make_reward("quality_first")
    first = [play([BLUE]), play([LOOK, BLUE])]
    other = [play([LOOK, BLUE], id="flash/2"), play([LOOK, LOOK, LOOK, BLUE], id="flash/2")]
    alone = play([BLUE], id="flash/3")
    mixed = [first[0], other[0], alone, first[1], other[1]]
    found = rescore(mix, mixed)
    assert [found[0], found[3]] == score_group(mix, first)
    assert [found[1], found[4]] == score_group(mix, other)
    assert found[2][0].terms["quality_first"].status == "unscored"
    # Groups survive being saved.
    saved = [EpisodeRecord.from_line(record.to_line()) for record in mixed]
    assert rescore(mix, saved) == found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "quality_first", "cost": "euro"}, "cost must be one of frames, calls"),
        ({"name": "curiosity", "threshold": 1.5}, "threshold must be a finite number, >= 0, <= 1"),
        ({"name": "curiosity", "price": -0.1}, "price must be a finite number, >= 0"),
    ],
)
def test_bad_options(spec: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        REWARDS.make(spec)


def test_roll_outs_of_different_tasks_or_budgets_are_no_group(play: Play) -> None:
    mix = make_reward("quality_first")
    records = [play([BLUE]), play([LOOK, BLUE])]
    status = [ledger[-1].terms["quality_first"].status for ledger in rescore(mix, records)]
    assert status == ["scored", "scored"]
    first, second = records
    facts = second.task
    for other in (replace(facts, video="another.mp4"), replace(facts, question="Another one?")):
        second.task = other
        assert rescore(mix, records)[0][-1].terms["quality_first"].status == "unscored"
    second.task, second.budget = facts, replace(first.budget, max_zooms=first.budget.max_zooms + 1)
    assert rescore(mix, records)[0][-1].terms["quality_first"].status == "unscored"


def test_roll_outs_of_different_steps_or_policies_are_no_group(play: Play) -> None:
    mix = make_reward("quality_first")
    records = [play([BLUE]), play([LOOK, BLUE]), play([BLUE]), play([LOOK, BLUE])]
    for record, step in zip(records, (1, 1, 2, 3), strict=True):
        record.set_info(step=step)
    found = [ledger[-1].terms["quality_first"].status for ledger in rescore(mix, records)]
    assert found == ["scored", "scored", "unscored", "unscored"]
    records[1].set_info(policy="another")
    assert rescore(mix, records)[0][-1].terms["quality_first"].status == "unscored"
