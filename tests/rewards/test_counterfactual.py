"""Counterfactual rewards, with an answerer whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from vzgym.core import Answer, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.rewards import Credit, RewardContext, credit, make_reward

Play = Callable[..., EpisodeRecord]

BLUE, RED = Answer("blue"), Answer("red")
LOOK = Zoom(4.0, 5.0, 2.0)


class Told:
    """Answers right when it sees one of these sets of clips, or more; wrong otherwise. Keeps what it was asked."""

    def __init__(self, *enough: Collection[int]) -> None:
        self.enough = [set(clips) for clips in enough]
        self.asked: list[tuple[int, ...]] = []

    def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
        self.asked.append(tuple(clips))
        return "B" if any(clips_enough <= set(clips) for clips_enough in self.enough) else "(A)"


class Silent:
    """Never answers."""

    def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
        return None


def last(name: str, record: EpisodeRecord, answerer: Any) -> float | None:
    """The value of the last turn; all before are 0."""
    steps = make_reward(name).score_all(record, RewardContext(answerer=answerer))
    assert [step.terms[name].value for step in steps[:-1]] == [0.0] * (len(steps) - 1)
    return steps[-1].terms[name].value


# Which clips an answer rests on --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enough", "needed", "sufficient"),
    [
        ([{1}], (True, False), (True, False)),  # the first clip, and nothing else
        ([{1}, {2}], (False, False), (True, True)),  # either: none is needed, both suffice
        ([{1, 2}], (True, True), (False, False)),  # both together
        ([{0, 2}], (False, True), (False, False)),  # the second, with the overview
        ([{0}], (False, False), (False, False)),  # the overview is enough
        ([{0}, {1}], (False, False), (False, False)),
        ([], (False, False), (False, False)),  # nothing is
    ],
)
def test_credit(play: Play, enough: list[set[int]], needed: tuple[bool, ...], sufficient: tuple[bool, ...]) -> None:
    record = play([LOOK, Zoom(5.0, 4.0, 1.0), LOOK, BLUE])
    found = credit(record, Told(*enough))
    assert found.needed == needed
    assert found.sufficient == sufficient
    useful = tuple(a or b for a, b in zip(needed, sufficient, strict=True))
    assert found.useful == useful
    assert found.share == sum(useful) / 2
    assert last("needed_clips", record, Told(*enough)) == sum(useful) / 2
    assert Credit.from_json(found.to_json()) == found


def test_credit_asks_each_question_once(play: Play) -> None:
    answerer = Told({1})
    credit(play([LOOK, BLUE]), answerer)
    # Without the only clip is the overview alone.
    assert sorted(answerer.asked) == [(0,), (0, 1), (1,)]
    answerer = Told({1})
    assert credit(play([BLUE]), answerer).share is None
    assert answerer.asked == [(0,)]


def test_credit_needs_an_end_and_an_answer(play: Play) -> None:
    with pytest.raises(InvalidSetting, match="needs a finished episode and a known answer"):
        credit(play([LOOK]), Silent())
    with pytest.raises(InvalidSetting, match="needs a finished episode and a known answer"):
        credit(play([LOOK, BLUE], answer="", options=()), Silent())


# Rewards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "enough", "sufficiency", "csv"),
    [
        ([LOOK, BLUE], [{1}], 1.0, 1.0),
        ([LOOK, RED], [{1}], 1.0, 0.0),
        ([LOOK, BLUE], [{0}], 0.0, 0.0),
        ([LOOK, LOOK, BLUE], [{1, 2}], 1.0, 1.0),
        ([BLUE], [set()], 0.0, 0.0),  # no clip: nothing to verify with, even for an answerer that knows it all
    ],
)
def test_sufficiency_and_csv(
    play: Play, actions: list[Any], enough: list[set[int]], sufficiency: float, csv: float
) -> None:
    record = play(actions)
    assert last("sufficiency", record, Told(*enough)) == sufficiency
    assert last("csv", record, Told(*enough)) == csv


def test_csv_of_a_wrong_answer_asks_nobody(play: Play) -> None:
    answerer = Told({1})
    last("csv", play([LOOK, RED]), answerer)
    assert answerer.asked == []


def test_revisor_s_reward(play: Play) -> None:
    mix = make_reward("revisor")
    context = RewardContext(answerer=Told({1}))
    totals = [mix.score_all(play([LOOK, answer]), context)[-1].total for answer in (BLUE, RED)]
    assert totals == [pytest.approx(0.9), pytest.approx(0.3)]


@pytest.mark.parametrize(
    ("final", "enough", "expected"),
    [
        (BLUE, [{1}], 1.0),  # wrong from the overview, right in the end
        (BLUE, [{0}], 0.0),
        (RED, [{0}], -1.0),
        (RED, [{1}], 0.0),
    ],
)
def test_rescue_and_regress(play: Play, final: Answer, enough: list[set[int]], expected: float) -> None:
    assert last("rescue_regress", play([LOOK, final]), Told(*enough)) == expected


@pytest.mark.parametrize(("first", "expected"), [("B", 0.0), ("blue", 0.0), ("red", 1.0), ("", 1.0)])
def test_a_first_answer_in_the_record_goes_before_the_answerer(play: Play, first: str, expected: float) -> None:
    record = play([LOOK, BLUE])
    record.set_info(first_answer=first)
    assert last("rescue_regress", record, None) == expected
    assert last("rescue_regress", record, Told({0} if expected else {1})) == expected
    # It is saved with the record, and so is the score.
    assert last("rescue_regress", EpisodeRecord.from_line(record.to_line()), None) == expected


@pytest.mark.parametrize("name", ["sufficiency", "csv", "rescue_regress", "needed_clips"])
def test_without_an_answerer_they_are_unscored(play: Play, name: str) -> None:
    steps = make_reward(name).score_all(play([LOOK, BLUE]))
    assert [step.terms[name].status for step in steps] == ["unscored"] * 2


@pytest.mark.parametrize("name", ["sufficiency", "csv", "rescue_regress", "needed_clips"])
def test_an_unscored_grade_leaves_them_unscored(play: Play, name: str) -> None:
    assert last(name, play([LOOK, Zoom(9.0, 10.0, 4.0)]), Told({1})) is None
    assert last(name, play([LOOK, BLUE], answer="", options=()), Told({1})) is None


@pytest.mark.parametrize("name", ["sufficiency", "csv", "needed_clips"])
def test_who_does_not_answer_is_not_right(play: Play, name: str) -> None:
    assert last(name, play([LOOK, BLUE]), Silent()) == 0.0


def test_a_bound_answerer_serves_interfaces_without_one(play: Play) -> None:
    mix = make_reward("sufficiency").with_context(answerer=Told({1}))
    assert mix.score_all(play([LOOK, BLUE]))[-1].total == 1.0
