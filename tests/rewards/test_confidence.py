"""Rewards for gained confidence, with an answerer whose probabilities are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core import Answer, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.rewards import REWARDS, RewardContext, make_reward

Play = Callable[..., EpisodeRecord]

BLUE = Answer("blue")  # "B" of red, blue, green
LOOK = Zoom(4.0, 5.0, 2.0)


class Known:
    """Gives fixed probabilities by the number of clips that it sees."""

    def __init__(self, by_count: Mapping[int, Sequence[float]]) -> None:
        self.by_count = by_count
        self.asked: list[tuple[int, ...]] = []

    def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
        return None

    def option_probabilities(self, record: EpisodeRecord, clips: Sequence[int]) -> NDArray[np.float64] | None:
        self.asked.append(tuple(clips))
        found = self.by_count.get(len(clips))
        return None if found is None else np.array(found)


def last(name: str, record: EpisodeRecord, answerer: object, **options: float) -> float | None:
    """The value of the last turn; all before are 0."""
    mix = make_reward({name: {"weight": 1.0, **options}})
    steps = mix.score_all(record, RewardContext(answerer=answerer))  # type: ignore[arg-type]
    assert [step.terms[name].value for step in steps[:-1]] == [0.0] * (len(steps) - 1)
    return steps[-1].terms[name].value


def test_the_gain_is_that_of_the_log_odds(play: Play) -> None:
    record = play([LOOK, LOOK, BLUE])
    answerer = Known({1: [0.5, 0.2, 0.3], 3: [0.1, 0.8, 0.1]})
    assert last("confidence_gain", record, answerer) == pytest.approx(math.log(4) - math.log(0.25))
    assert answerer.asked == [(0,), (0, 1, 2)]
    # Lost confidence is negative; certainty is bounded.
    assert last("confidence_gain", record, Known({1: [0.1, 0.8, 0.1], 3: [0.5, 0.2, 0.3]})) == pytest.approx(
        math.log(0.25) - math.log(4)
    )
    sure = Known({1: [1.0, 0.0, 0.0], 3: [0.0, 1.0, 0.0]})
    assert last("confidence_gain", record, sure) == 5.0
    assert last("confidence_gain", record, sure, limit=2.5) == 2.5


def test_information_is_the_loss_of_entropy_whatever_the_option(play: Play) -> None:
    third = [1 / 3, 1 / 3, 1 / 3]
    record = play([LOOK, BLUE])
    for sure in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]):
        assert last("information_gain", record, Known({1: third, 2: sure})) == pytest.approx(math.log(3))
    assert last("information_gain", record, Known({1: [0.0, 1.0, 0.0], 2: third})) == pytest.approx(-math.log(3))


@pytest.mark.parametrize("name", ["confidence_gain", "information_gain"])
def test_without_a_zoom_nothing_is_gained_or_asked(play: Play, name: str) -> None:
    answerer = Known({})
    assert last(name, play([BLUE]), answerer) == 0.0
    assert answerer.asked == []


@pytest.mark.parametrize("name", ["confidence_gain", "information_gain"])
def test_what_cannot_be_known_is_unscored(play: Play, name: str) -> None:
    class Silent:
        def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
            return "B"

    known = Known({1: [0.2, 0.4, 0.4], 2: [0.2, 0.4, 0.4]})
    right = play([LOOK, BLUE])
    module = REWARDS.make(name)
    # An answerer without probabilities, none at all, unknown ones, an open question, a video error.
    assert make_reward(name).score_all(right, RewardContext(answerer=Silent()))[-1].terms[name].value is None
    assert make_reward(name).score_all(right, RewardContext())[-1].terms[name].value is None
    assert module.score(right, RewardContext(answerer=Known({1: [0.2, 0.4, 0.4]}))) is None
    assert module.score(play([LOOK, BLUE], options=()), RewardContext(answerer=known)) is None
    assert module.score(play([LOOK, Zoom(9.0, 10.0, 4.0)]), RewardContext(answerer=known)) is None


def test_the_limit_is_checked() -> None:
    with pytest.raises(InvalidSetting, match="limit"):
        REWARDS.make({"name": "confidence_gain", "limit": 0})
