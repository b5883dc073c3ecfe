"""Prices, worked by hand. The episode: a zoom of 4 frames, a malformed text, a refused zoom, a zoom of 2 frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vzgym.core import Action, Answer, Zoom
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode import EpisodeRecord
from vzgym.rewards import REWARDS, RewardContext, RewardModule

Play = Callable[..., EpisodeRecord]


def turns(module: RewardModule, record: EpisodeRecord) -> list[float | None]:
    """The module's value of each turn."""
    return [module.score(record.upto(count), RewardContext()) for count in range(1, len(record.turns) + 1)]


@pytest.fixture
def right(play: Play, long_search: list[Action]) -> EpisodeRecord:
    return play([*long_search, Answer("blue")])


@pytest.fixture
def wrong(play: Play, long_search: list[Action]) -> EpisodeRecord:
    return play([*long_search, Answer("red")])


# Frames are 8x8 pixels and the budget's limits hold them at that: one token each, of 28x28 as of 32x32.
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("call_cost", {}, [-1.0, 0.0, -1.0, -1.0, 0.0]),
        ("call_cost", {"free": 1}, [0.0, 0.0, -1.0, -1.0, 0.0]),
        ("call_cost", {"free": 2.5}, [0.0, 0.0, 0.0, -0.5, 0.0]),
        ("call_cost", {"free": 9}, [0.0, 0.0, 0.0, 0.0, 0.0]),
        ("frame_cost", {}, [-4.0, 0.0, 0.0, -2.0, 0.0]),
        ("frame_cost", {"free": 3}, [-1.0, 0.0, 0.0, -2.0, 0.0]),
        ("frame_cost", {"free": 5}, [0.0, 0.0, 0.0, -1.0, 0.0]),
        ("token_cost", {}, [-4.0, 0.0, 0.0, -2.0, 0.0]),
        ("token_cost", {"family": "qwen3-vl", "free": 5}, [0.0, 0.0, 0.0, -1.0, 0.0]),
        ("ledger_cost", {}, [-1.0, -1.0, -1.0, -1.0, -1.0]),
        ("ledger_cost", {"item": "passes", "free": 3}, [0.0, 0.0, 0.0, -1.0, -1.0]),
        # The overview's five frames are paid with the first turn.
        ("ledger_cost", {"item": "frames_shown"}, [-9.0, 0.0, 0.0, -2.0, 0.0]),
        ("ledger_cost", {"item": "visual_tokens"}, [-9.0, 0.0, 0.0, -2.0, 0.0]),
        # "zoom [3, 5] at 2 fps" has 20 bytes, "" none, "zoom [5, 4] at 1 fps" 20, "zoom [4, 6] at 1 fps" 20, "blue" 4.
        ("ledger_cost", {"item": "written_tokens"}, [-5.0, 0.0, -5.0, -5.0, -1.0]),
    ],
)
def test_plain_prices(right: EpisodeRecord, name: str, options: dict[str, Any], expected: list[float]) -> None:
    assert turns(REWARDS.make({"name": name, **options}), right) == expected


@pytest.mark.parametrize(
    ("name", "options", "total"),
    [
        ("call_cost", {}, -3.0),
        ("call_cost", {"free": 2}, -1.0),
        ("frame_cost", {}, -6.0),
        ("token_cost", {"free": 5}, -1.0),
        ("ledger_cost", {"item": "frames_shown"}, -11.0),
    ],
)
def test_only_right_answers_pay(
    right: EpisodeRecord, wrong: EpisodeRecord, name: str, options: dict[str, Any], total: float
) -> None:
    module = REWARDS.make({"name": name, "only_correct": True, **options})
    assert turns(module, right) == [0.0, 0.0, 0.0, 0.0, total]
    assert turns(module, wrong) == [0.0] * 5


def test_who_runs_out_of_rounds_pays_like_a_wrong_answer(play: Play, long_search: list[Action]) -> None:
    record = play([*long_search, Zoom(0.0, 1.0, 1.0)])
    assert turns(REWARDS.make({"name": "call_cost", "only_correct": True}), record) == [0.0] * 5
    assert turns(REWARDS.make("call_cost"), record) == [-1.0, 0.0, -1.0, -1.0, -1.0]


def test_an_unscored_answer_has_no_price_for_being_right(play: Play) -> None:
    record = play([Zoom(4.0, 5.0, 1.0), Answer("red")], answer="", options=())
    assert turns(REWARDS.make({"name": "frame_cost", "only_correct": True}), record) == [0.0, None]
    assert turns(REWARDS.make("frame_cost"), record) == [-1.0, 0.0]


def test_text_is_paid_as_a_whole_at_the_end(right: EpisodeRecord) -> None:
    said = -sum(-(-len(message.text.encode()) // 4) for message in right.messages)
    assert turns(REWARDS.make({"name": "ledger_cost", "item": "text_tokens"}), right) == [0.0, 0.0, 0.0, 0.0, said]
    assert said < -50


def test_wall_times_are_unscored_until_a_run_has_noted_them(right: EpisodeRecord) -> None:
    module = REWARDS.make({"name": "ledger_cost", "item": "model_seconds"})
    assert module.needs == {"timing"}
    assert turns(module, right) == [0.0, 0.0, 0.0, 0.0, None]
    right.set_info(model_seconds=1.5)
    assert turns(module, right) == [0.0, 0.0, 0.0, 0.0, -1.5]
    assert REWARDS.make({"name": "ledger_cost", "item": "passes"}).needs == frozenset()


def test_decoding_time_is_priced_as_records_keep_it(right: EpisodeRecord) -> None:
    module = REWARDS.make({"name": "ledger_cost", "item": "decode_seconds"})
    saved = EpisodeRecord.from_line(right.to_line())
    assert turns(module, saved) == turns(module, right)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({"name": "call_cost", "free": -1}, InvalidSetting, "call_cost: free must be a finite number, >= 0, got -1"),
        ({"name": "call_cost", "free": float("nan")}, InvalidSetting, "free must be a finite number"),
        (
            {"name": "frame_cost", "only_correct": "yes"},
            InvalidSetting,
            "only_correct must be true or false, got 'yes'",
        ),
        ({"name": "ledger_cost", "item": "money"}, InvalidSetting, "item must be one of visual_tokens, .*wall_seconds"),
        ({"name": "token_cost", "family": "gpt"}, UnknownName, "unknown model family 'gpt'; valid: .*qwen3-vl"),
        ({"name": "call_cost", "above": 2}, InvalidSetting, "has no option 'above'; valid: free, only_correct"),
    ],
)
def test_bad_options(spec: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        REWARDS.make(spec)
