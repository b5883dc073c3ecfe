"""Rewards for where an agent looks, worked by hand. Evidence [4, 5) of 10 s unless told otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from vzgym.core import Action, Answer, Budget, Interval, Region, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode, EpisodeRecord
from vzgym.rewards import REWARDS, RewardContext

Play = Callable[..., EpisodeRecord]

BLUE, RED = Answer("blue"), Answer("red")


def values(name: str, record: EpisodeRecord, **options: Any) -> list[float | None]:
    """The module's value of each turn."""
    module = REWARDS.make({"name": name, **options})
    return [module.score(record.upto(count), RewardContext()) for count in range(1, len(record.turns) + 1)]


def end(name: str, record: EpisodeRecord, **options: Any) -> float:
    """The value of the last turn, when all others are 0."""
    *before, last = values(name, record, **options)
    assert before == [0.0] * len(before)
    assert last is not None
    return last


# Overlap -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "recall", "f1"),
    [
        ([], 0.0, 0.0),
        ([(6.0, 7.0)], 0.0, 0.0),
        ([(4.0, 5.0)], 1.0, 1.0),
        ([(4.5, 5.5)], 0.5, 0.5),  # 2 * 0.5 / (1 + 1)
        ([(3.0, 7.0)], 1.0, 0.4),  # 2 * 1 / (4 + 1)
        ([(0.0, 10.0)], 1.0, 2 / 11),
        ([(4.0, 4.25), (4.5, 4.75)], 0.5, 2 * 0.5 / 1.5),
        ([(4.0, 4.5), (4.0, 4.5)], 0.5, 2 * 0.5 / 1.5),  # overlaps count once
    ],
)
def test_recall_and_f1(play: Play, windows: Sequence[tuple[float, float]], recall: float, f1: float) -> None:
    record = play([*(Zoom(a, b, 0.4) for a, b in windows), BLUE])
    assert end("recall", record) == pytest.approx(recall)
    assert end("loc_f1", record) == pytest.approx(f1)


def test_recall_rises_with_the_window_and_f1_does_not(play: Play) -> None:
    records = [play([Zoom(4.5 - w, 4.5 + w, 0.4), BLUE]) for w in (0.25, 0.5, 1.0, 2.0, 4.0)]
    recall, f1 = ([end(name, record) for record in records] for name in ("recall", "loc_f1"))
    assert recall == sorted(recall)
    assert f1.index(max(f1)) == 1


@pytest.mark.parametrize("name", ["recall", "loc_f1", "gated_turn", "time_proximity", "potential"])
@pytest.mark.parametrize("evidence", [None, ()])
def test_nothing_to_find_is_unscored(play: Play, name: str, evidence: tuple[Interval, ...] | None) -> None:
    assert values(name, play([Zoom(4.0, 5.0, 1.0), BLUE], evidence=evidence)) == [None, None]


@pytest.mark.parametrize(
    "name",
    ["recall", "loc_f1", "gated_turn", "time_proximity", "potential", "consistency", "tool_bonus", "tool_ladder"],
)
def test_a_video_error_is_unscored(play: Play, name: str) -> None:
    *_, last = values(name, play([Zoom(4.0, 5.0, 1.0), Zoom(9.0, 10.0, 4.0)]))
    assert last is None


# Repeats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "price", "strict"),
    [
        (Zoom(6.0, 7.0, 1.0), 0.0, 0.0),
        (Zoom(4.0, 5.0, 2.0), -1.0, -1.0),
        (Zoom(4.5, 5.5, 2.0), -0.5, -0.5),
        (Zoom(4.5, 5.5, 1.0), -0.5, -0.5),  # coarser: seen already
        (Zoom(4.5, 5.5, 4.0), 0.0, -0.5),  # finer: going closer
        (Zoom(3.0, 7.0, 1.0), -0.25, -0.25),
    ],
)
def test_repeats_cost_the_share_that_was_seen(play: Play, second: Zoom, price: float, strict: float) -> None:
    record = play([Zoom(4.0, 5.0, 2.0), second, BLUE])
    assert values("repeat", record) == [0.0, price, 0.0]
    assert values("repeat", record, finer_is_new=False) == [0.0, strict, 0.0]


def test_repeats_of_several_windows_add_up(play: Play) -> None:
    record = play([Zoom(2.0, 3.0, 2.0), Zoom(4.0, 5.0, 2.0), Zoom(2.0, 6.0, 1.0), RED])
    assert values("repeat", record) == [0.0, 0.0, -0.5, 0.0]


def test_another_part_of_the_picture_is_no_repeat(start: Callable[..., Episode]) -> None:
    task = start().task
    left, right, corner = Region(0.0, 0.0, 0.5, 1.0), Region(0.5, 0.0, 1.0, 1.0), Region(0.5, 0.5, 1.0, 1.0)
    episode = Episode(task, Budget(overview_frames=5, clip_frames=4, max_zooms=4, min_pixels=1, spatial=True))
    for region in (left, right, corner, None):
        episode.step(Zoom(4.0, 5.0, 1.0, region))
    # The corner lies in the right half; the whole picture was in none of them.
    assert values("repeat", episode.record) == [0.0, 0.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("windows", "gate"),
    [
        ([], 1.0),
        ([(4.0, 5.0), (6.0, 7.0)], 1.0),
        ([(4.0, 5.0), (4.0, 5.001)], 1.0),
        ([(4.0, 5.0), (6.0, 7.0), (4.0, 5.0)], 0.0),
        ([(4.0, 5.0), (4.0, 5.0002)], 0.0),  # the same to a millisecond
    ],
)
def test_consistency(play: Play, windows: Sequence[tuple[float, float]], gate: float) -> None:
    record = play([*(Zoom(a, b, 1.0) for a, b in windows), RED])
    assert end("consistency", record) == gate


# Nearness in time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], 0.0),
        ([(4.2, 4.6)], 1.0),
        ([(4.0, 6.0)], 1.0),  # its center is the evidence's end
        ([(6.0, 8.0)], math.exp(-(2.0**2) / 8)),  # center 7, 2 s behind
        ([(0.0, 4.0)], math.exp(-(2.0**2) / 8)),  # center 2, 2 s before
        ([(0.0, 1.0), (6.0, 8.0)], math.exp(-(2.0**2) / 8)),  # the nearest counts
    ],
)
def test_time_proximity(play: Play, windows: Sequence[tuple[float, float]], expected: float) -> None:
    record = play([*(Zoom(a, b, 1.0) for a, b in windows), RED])
    assert end("time_proximity", record, sigma=2.0) == pytest.approx(expected)


def test_time_proximity_is_a_mean_over_the_evidence(play: Play) -> None:
    record = play([Zoom(4.0, 5.0, 1.0), RED], evidence=(Interval(4.0, 5.0), Interval(7.5, 8.0)))
    assert end("time_proximity", record, sigma=3.0) == pytest.approx((1 + math.exp(-(3.0**2) / 18)) / 2)


@pytest.mark.parametrize("sigma", [0, -1, float("inf"), "5"])
def test_bad_sigma(sigma: object) -> None:
    with pytest.raises(InvalidSetting, match="time_proximity: sigma must be a finite number, > 0"):
        REWARDS.make({"name": "time_proximity", "sigma": sigma})


# Progress ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], 0.0),
        ([(4.0, 5.0)], 1.0),
        ([(3.0, 7.0), (4.0, 5.0)], 1.0),  # 1/4, then 3/4 more
        ([(4.0, 6.0), (3.0, 7.0)], 0.5),  # 1/2, then no gain, and no loss
        ([(0.0, 1.0), (4.0, 6.0), (4.5, 5.0)], 0.5),  # 0, 1/2, 1/2: no gain
    ],
)
def test_gated_turn(play: Play, windows: Sequence[tuple[float, float]], expected: float) -> None:
    actions: list[Action] = [Zoom(a, b, 1.0) for a, b in windows]
    assert end("gated_turn", play([*actions, BLUE])) == pytest.approx(expected)
    assert end("gated_turn", play([*actions, RED])) == 0.0


# Using the zoom at all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "bonus", "ladder"),
    [
        ([RED], 0.0, 0.0),
        ([BLUE], 0.0, 0.0),
        ([Zoom(5.0, 4.0, 1.0), BLUE], 0.0, 0.1),  # could be read, not carried out
        ([Zoom(4.0, 5.0, 1.0), RED], 1.0, 0.3),
        ([Zoom(4.0, 5.0, 1.0), BLUE], 1.0, 0.8),
        ([Zoom(5.0, 4.0, 1.0), Zoom(4.0, 5.0, 1.0), BLUE], 1.0, 0.8),
    ],
)
def test_tool_bonus_and_ladder(play: Play, actions: list[Action], bonus: float, ladder: float) -> None:
    record = play(actions)
    assert end("tool_bonus", record) == bonus
    assert end("tool_ladder", record) == ladder


def test_malformed_text_is_no_rung(play: Play, long_search: list[Action]) -> None:
    assert end("tool_ladder", play([long_search[1], BLUE])) == 0.0


# Saying too much -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "expected"),
    [(4, 0.0), (240, 0.0), (260, -0.125), (320, -0.5), (400, -1.0), (404, -1.0), (4000, -1.0)],
)
def test_overlong(play: Play, length: int, expected: float) -> None:
    # 4 bytes a token: nothing up to 60 tokens, all of it from 100.
    assert end("overlong", play([Answer("b" * length)]), longest=100, cushion=40) == pytest.approx(expected)


def test_overlong_counts_every_turn(play: Play) -> None:
    # 20 bytes of a zoom are 5 tokens, 1 byte rounds up to 1: 6 tokens where 5 are free and 10 too many.
    record = play([Zoom(4.0, 5.0, 2.0), Answer("b")])
    assert end("overlong", record, longest=10, cushion=5) == pytest.approx(-0.2)


def test_bad_lengths() -> None:
    with pytest.raises(InvalidSetting, match=r"cushion must be at most longest \(10\), got 20"):
        REWARDS.make({"name": "overlong", "longest": 10, "cushion": 20})
