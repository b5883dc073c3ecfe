"""The modules that a first experiment needs, with values worked by hand at every turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vzgym.core import Action, Answer, Interval, Malformed, Zoom
from vzgym.episode import End, EpisodeRecord
from vzgym.rewards import REWARDS, RewardContext, make_reward

Play = Callable[..., EpisodeRecord]
RIGHT, WRONG = Answer("B"), Answer("A")
LOOK = Zoom(4.0, 5.0, 4.0)
BAD_CALL = Malformed("the zoom is not JSON: Expecting value.")
FAR, BEYOND = Zoom(9.0, 11.0, 1.0), Zoom(8.5, 9.5, 4.0)


def values(name: str, record: EpisodeRecord) -> list[float | None]:
    """A module's raw value after each turn."""
    module = REWARDS.make(name)
    return [module.score(record.upto(count), RewardContext()) for count in range(1, len(record.turns) + 1)]


def total(record: EpisodeRecord) -> float | None:
    """The whole reward of the paper's formula."""
    totals = [step.total for step in make_reward("videozoomer").score_all(record)]
    return None if None in totals else sum(value for value in totals if value is not None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", [0, 0, 0, 0, 1]),
        ("format", [0, 0, 0, 0, 0]),  # the second turn was malformed
        ("conditional_tool", [0, 0, 0, 0, 1]),
        ("call_cost", [-1, 0, -1, -1, 0]),  # refused calls cost a pass too
        ("frame_cost", [-4, 0, 0, -2, 0]),
        ("iou_last", [0, 0, 0, 0, 1 / 2]),  # [4, 6) and [4, 5)
        ("iou_union", [0, 0, 0, 0, 1 / 3]),  # [3, 6) and [4, 5)
        ("iou", [0, 0, 0, 0, 1 / 3]),
    ],
)
def test_a_search_that_ends_right(name: str, expected: list[float], play: Play, long_search: list[Action]) -> None:
    assert values(name, play([*long_search, RIGHT])) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", [0, 0]),
        ("format", [0, 1]),
        ("conditional_tool", [0, 0]),
        ("call_cost", [-1, 0]),
        ("frame_cost", [-4, 0]),
        ("iou_last", [0, 1]),
        ("iou_union", [0, 1]),
    ],
)
def test_a_perfect_look_and_a_wrong_answer(name: str, expected: list[float], play: Play) -> None:
    assert values(name, play([LOOK, WRONG])) == expected


@pytest.mark.parametrize("name", ["accuracy", "format", "conditional_tool", "iou_last", "iou_union"])
def test_running_out_of_rounds_earns_nothing_at_once(name: str, play: Play, long_search: list[Action]) -> None:
    record = play([*long_search, BAD_CALL])
    assert record.end is End.OUT_OF_ROUNDS
    looked = {"iou_last": 1 / 2, "iou_union": 1 / 3}.get(name, 0)
    assert values(name, record) == pytest.approx([0, 0, 0, 0, looked], abs=1e-12)


def test_nothing_is_paid_while_the_episode_runs(play: Play) -> None:
    record = play([LOOK, LOOK])
    assert record.end is None
    for name in ("accuracy", "format", "conditional_tool", "iou_last", "iou_union"):
        assert values(name, record) == [0, 0]


def test_before_the_first_turn_nothing_is_paid(play: Play) -> None:
    record = play([])
    assert [REWARDS.make(name).score(record, RewardContext()) for name in ("call_cost", "frame_cost", "accuracy")] == [
        0,
        0,
        0,
    ]


class TestTheBonus:
    """0.5 for a right answer after a zoom that was carried out; the official code pays for anything that looks so."""

    @pytest.mark.parametrize(
        ("actions", "expected"),
        [
            ([RIGHT], 0.9 + 0.1),
            ([WRONG], 0.1),
            ([LOOK, RIGHT], 0.9 + 0.1 + 0.5),
            ([LOOK, LOOK, LOOK, LOOK, RIGHT], 0.9 + 0.1 + 0.5),  # not more for more
            ([LOOK, WRONG], 0.1),
            ([BAD_CALL, RIGHT], 0.9),  # a malformed call: neither form nor bonus
            ([FAR, RIGHT], 0.9 + 0.1),  # refused: outside
            ([Zoom(4.0, 6.0, 2.5), RIGHT], 0.9 + 0.1),  # refused: 5 frames of 4
            ([Zoom(5.0, 4.0, 1.0), RIGHT], 0.9 + 0.1),  # refused: reversed
            ([(LOOK, False), RIGHT], 0.9 + 0.5),  # carried out, though its text was sloppy
            ([LOOK, (RIGHT, False)], 0.9 + 0.5),
            ([LOOK, Answer("A man")], 0.1),  # unreadable
            ([LOOK] * 5, 0.0),  # never answers
            ([LOOK, BAD_CALL, FAR, RIGHT], 0.9 + 0.5),
        ],
    )
    def test_by_hand(self, actions: list[Any], expected: float, play: Play) -> None:
        assert total(play(actions)) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("calls", [[BAD_CALL], [FAR], [BAD_CALL, FAR, BAD_CALL], [(FAR, False)] * 4])
    def test_no_call_that_was_not_carried_out_earns_it(self, calls: list[Any], play: Play) -> None:
        record = play([*calls, RIGHT])
        assert record.grade is not None
        assert record.grade.is_correct
        assert values("conditional_tool", record)[-1] == 0
        without = make_reward("videozoomer_no_bonus").score_all(record)
        assert total(record) == sum(step.total or 0 for step in without)


class TestUnscored:
    """Unscored is not zero."""

    def test_without_a_right_answer_accuracy_is_unscored_from_the_first_turn_on(self, play: Play) -> None:
        record = play([LOOK, RIGHT], options=(), answer="")
        assert values("accuracy", record) == [None, None]
        assert values("conditional_tool", record)[-1] is None
        # Form can be judged all the same.
        assert values("format", record) == [0, 1]
        assert total(record) is None

    def test_after_a_video_error_what_the_end_would_have_brought_is_unscored(self, play: Play) -> None:
        record = play([LOOK, BEYOND])
        assert record.end is End.VIDEO_ERROR
        for name in ("accuracy", "format", "conditional_tool", "iou_last", "iou_union"):
            assert values(name, record) == [0, None]
        # What was asked for was asked for.
        assert values("call_cost", record) == [-1, -1]
        assert values("frame_cost", record) == [-4, 0]
        assert total(record) is None

    @pytest.mark.parametrize("name", ["iou", "iou_last", "iou_union"])
    def test_without_evidence_overlap_is_unscored(self, name: str, play: Play) -> None:
        assert values(name, play([LOOK, RIGHT], evidence=None)) == [None, None]
        # Nothing to find: whoever does not look is not to be blamed, nor praised.
        assert values(name, play([RIGHT], evidence=())) == [None]


def test_overlap_with_evidence_in_two_places(play: Play) -> None:
    facts = {"evidence": (Interval(1.0, 2.0), Interval(4.0, 5.0))}
    both = play([Zoom(1.0, 2.0, 2.0), Zoom(4.0, 5.0, 2.0), RIGHT], **facts)
    assert values("iou_union", both)[-1] == 1
    assert values("iou_last", both)[-1] == 0.5
    # Widening the window does not help, as it would with recall.
    wide = play([Zoom(0.0, 10.0, 0.4), RIGHT], **facts)
    assert values("iou_union", wide)[-1] == 0.2


def test_looking_twice_at_the_same_place_changes_no_overlap(play: Play) -> None:
    assert values("iou_union", play([LOOK, LOOK, RIGHT]))[-1] == 1


def test_no_zoom_no_overlap(play: Play) -> None:
    for name in ("iou_union", "iou_last"):
        assert values(name, play([RIGHT])) == [0]
        assert values(name, play([FAR, RIGHT])) == [0, 0]
