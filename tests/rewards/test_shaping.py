"""Potential-based shaping: its values, that they telescope, and that they change no optimal policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Interval, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode, EpisodeRecord
from vzgym.rewards import REWARDS, RewardContext
from vzgym.rewards.shaping import PotentialShaping

Play = Callable[..., EpisodeRecord]


def turns(module: PotentialShaping, record: EpisodeRecord) -> list[float]:
    values = [module.score(record.upto(count), RewardContext()) for count in range(1, len(record.turns) + 1)]
    return [value for value in values if value is not None]


def test_values_by_hand(play: Play) -> None:
    # Coverage of [4, 5): 0.5 after the first zoom, 0.75 after the second, then the end.
    record = play([Zoom(3.5, 4.5, 1.0), Zoom(4.0, 4.75, 1.0), Answer("red")])
    assert turns(PotentialShaping(), record) == [0.5, 0.25, -0.75]
    assert turns(PotentialShaping(gamma=0.5), record) == [0.25, 0.75 * 0.5 - 0.5, -0.75]


def test_iou_by_hand(play: Play) -> None:
    record = play([Zoom(4.0, 6.0, 1.0), Zoom(4.0, 5.0, 1.0), Answer("blue")])
    assert turns(PotentialShaping(potential="iou"), record) == [0.5, 0.0, -0.5]


def test_a_refused_zoom_changes_nothing(play: Play) -> None:
    record = play([Zoom(4.0, 5.0, 1.0), Zoom(5.0, 4.0, 1.0), Answer("red")])
    assert turns(PotentialShaping(), record) == [1.0, 0.0, -1.0]


@given(
    windows=st.lists(st.tuples(st.integers(0, 17), st.integers(1, 8)), max_size=4),
    gamma=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    answers=st.booleans(),
    potential=st.sampled_from(["coverage", "iou"]),
)
def test_the_discounted_sum_of_any_episode_is_zero(
    play: Play, windows: list[tuple[int, int]], gamma: float, answers: bool, potential: str
) -> None:
    zooms = [Zoom(a / 2, min(a + b, 18) / 2, 0.4) for a, b in windows]
    last = [Answer("blue")] if answers else [Zoom(5.0, 4.0, 1.0)] * (5 - len(zooms))
    record = play([*zooms, *last])
    assert record.end is not None
    shaped = turns(PotentialShaping(gamma, potential), record)
    assert math.fsum(gamma**turn * value for turn, value in enumerate(shaped)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("price", [0.0, 0.05, 0.4])
def test_optimal_policies_are_the_same_with_and_without(
    start: Callable[..., Episode], gamma: float, price: float
) -> None:
    """A small decision problem, solved by value iteration.

    Three places may be looked at, in any order; the evidence lies in two of them. An answer is right with a probability
    that grows with what was seen of it; each look has a price. The shaping comes from the module, scored on real
    episodes that stand for the states.
    """
    places = {"a": (3.0, 4.0), "b": (4.0, 4.5), "c": (4.5, 6.0)}
    states = [frozenset(chosen) for size in range(4) for chosen in combinations(places, size)]
    records = {state: _record(start, [places[place] for place in sorted(state)], answer=False) for state in states}
    answered = {state: _record(start, [places[place] for place in sorted(state)], answer=True) for state in states}
    module = PotentialShaping(gamma)
    phi = {state: module.phi(record) for state, record in records.items()}
    assert sorted(phi.values()) == [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    right = {state: 0.2 + 0.7 * phi[state] ** 2 for state in states}

    def solve(shaped: bool) -> tuple[dict[frozenset[str], float], dict[frozenset[str], set[str]]]:
        value = dict.fromkeys(states, 0.0)
        for _ in range(10):
            worth = {state: _worth(state, value, shaped) for state in states}
            value = {state: max(options.values()) for state, options in worth.items()}
        best = {
            state: {action for action, q in options.items() if math.isclose(q, value[state], abs_tol=1e-9)}
            for state, options in worth.items()
        }
        return value, best

    def _worth(state: frozenset[str], value: dict[frozenset[str], float], shaped: bool) -> dict[str, float]:
        worth = {"answer": right[state] + (_last(module, answered[state]) if shaped else 0.0)}
        for place in sorted(set(places) - state):
            after = state | {place}
            bonus = _step(module, start, places, state, place) if shaped else 0.0
            worth[place] = -price + bonus + gamma * value[after]
        return worth

    plain, plain_best = solve(shaped=False)
    shaped, shaped_best = solve(shaped=True)
    assert shaped_best == plain_best
    # What shaping does to the values is known, too: V' = V - Phi.
    assert all(shaped[state] == pytest.approx(plain[state] - phi[state]) for state in states)
    if price == 0.05:
        assert plain_best[frozenset()] == {"b", "c"}  # worth looking, and only where the evidence is
    if price == 0.4:
        assert plain_best[frozenset()] == {"answer"}


def _record(start: Callable[..., Episode], windows: list[tuple[float, float]], answer: bool) -> EpisodeRecord:
    episode = start(evidence=(Interval(4.0, 5.0),))
    for first, last in windows:
        episode.step(Zoom(first, last, 1.0))
    if answer:
        episode.step(Answer("blue"))
    return episode.record


def _last(module: PotentialShaping, record: EpisodeRecord) -> float:
    value = module.score(record, RewardContext())
    assert value is not None
    return value


def _step(
    module: PotentialShaping,
    start: Callable[..., Episode],
    places: dict[str, tuple[float, float]],
    state: frozenset[str],
    place: str,
) -> float:
    return _last(module, _record(start, [*(places[seen] for seen in sorted(state)), places[place]], answer=False))


def test_a_bonus_that_is_no_potential_does_change_the_policy(play: Play) -> None:
    # The control of the test above: paying for coverage outright makes looking worth its price where it is not.
    module = REWARDS.make("recall")
    looked, answered = play([Zoom(4.0, 5.0, 1.0), Answer("blue")]), play([Answer("blue")])
    totals = [math.fsum(module.score(r.upto(n), RewardContext()) or 0.0 for n in (1, 2)[: len(r.turns)])
              for r in (looked, answered)]  # fmt: skip
    assert totals == [1.0, 0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.1}, "gamma must be a finite number, >= 0, <= 1"),
        ({"potential": "recall"}, "potential must be one of coverage, iou, got 'recall'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        REWARDS.make({"name": "potential", **options})
