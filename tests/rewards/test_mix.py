"""How modules become one reward: weights, names, unscored terms, and a ledger that adds up."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Action, Answer, Malformed, Zoom
from vzgym.core.errors import InvalidSetting, PluginError, UnknownName
from vzgym.episode import Episode, EpisodeRecord
from vzgym.rewards import PRESETS, REWARDS, Need, RewardContext, RewardMix, Term, TermScore, make_reward

Play = Callable[..., EpisodeRecord]
LOOK = Zoom(4.0, 5.0, 4.0)
RIGHT = Answer("B")


@dataclass(frozen=True)
class Constant:
    """Gives the same value each turn."""

    value: float | None
    needs: frozenset[Need] = frozenset()

    name: ClassVar[str] = "constant"

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        return self.value


class Other(Constant):
    """The same under another name."""

    name: ClassVar[str] = "other"


class Hungry:
    """Cannot do without the group."""

    name: ClassVar[str] = "hungry"
    needs: ClassVar[frozenset[Need]] = frozenset({"group", "answerer"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        assert context.group is not None
        return float(len(context.group))


def weights(mix: RewardMix) -> dict[str, float]:
    return {name: term.weight for name, term in mix.terms.items()}


def test_presets_are_the_papers_formulas() -> None:
    assert weights(make_reward("videozoomer")) == {"accuracy": 0.9, "format": 0.1, "conditional_tool": 0.5}
    assert weights(make_reward("videozoomer_no_bonus")) == {"accuracy": 0.9, "format": 0.1}


@pytest.mark.parametrize("name", ["videozoomer", "videozoomer_no_bonus"])
def test_a_preset_is_data_like_any_other(name: str) -> None:
    assert weights(make_reward(PRESETS[name])) == weights(make_reward(name))


def test_ways_to_name_a_reward() -> None:
    assert weights(make_reward("accuracy")) == {"accuracy": 1.0}
    assert weights(make_reward({"accuracy": 1, "frame_cost": 0.001})) == {"accuracy": 1.0, "frame_cost": 0.001}
    assert weights(make_reward({"accuracy": {"weight": 0.5}, "format": {}})) == {"accuracy": 0.5, "format": 1.0}
    assert weights(make_reward("vzgym.rewards.outcome:Accuracy")) == {"vzgym.rewards.outcome:Accuracy": 1.0}
    assert weights(make_reward(Constant(1.0))) == {"constant": 1.0}
    assert weights(make_reward([Constant(1.0), (Other(2.0), 0.25)])) == {"constant": 1.0, "other": 0.25}
    mix = make_reward("accuracy")
    assert make_reward(mix) is mix


def test_a_module_may_stand_twice_under_two_names(play: Play) -> None:
    mix = make_reward(
        {"last": {"module": "iou_last", "weight": 0.2}, "all": {"module": "iou_union", "weight": 0.4}, "accuracy": 1}
    )
    step = mix.score(play([Zoom(4.0, 6.0, 2.0), LOOK, RIGHT]))
    assert {name: term.value for name, term in step.terms.items()} == {"last": 1.0, "all": 0.5, "accuracy": 1.0}
    assert step.total == pytest.approx(0.2 + 0.2 + 1.0)


def test_options_reach_the_module_and_unknown_ones_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vzgym_test_reward.py").write_text(
        "class Fixed:\n"
        "    name, needs = 'fixed', frozenset()\n"
        "    def __init__(self, value=1.0):\n"
        "        self.value = value\n"
        "    def score(self, record, context):\n"
        "        return self.value\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = "vzgym_test_reward:Fixed"
    mix = make_reward({"mine": {"module": path, "weight": 0.5, "value": 3.0}})
    assert mix.terms["mine"].module.value == 3.0  # type: ignore[attr-defined]
    with pytest.raises(
        InvalidSetting, match=r"vzgym_test_reward:Fixed' has no option 'gain'; valid: value, module, weight"
    ):
        make_reward({"mine": {"module": path, "gain": 3.0}})
    with pytest.raises(
        InvalidSetting, match=r"no option 'wieght'; did you mean 'weight'\? Valid: value, module, weight"
    ):
        make_reward({"mine": {"module": path, "wieght": 3.0}})
    with pytest.raises(
        InvalidSetting, match=r"reward term 'mine' has no key 'modul'; did you mean 'module'\? Valid: mod"
    ):
        make_reward({"mine": {"modul": path, "weight": 3.0}})
    with pytest.raises(InvalidSetting, match=r"no option 'at_lest'; did you mean 'at_least'\? Valid: value, at_least"):
        make_reward({"mine": {"module": path, "when": {"module": path, "at_lest": 3.0}}})
    with pytest.raises(PluginError, match="module 'vzgym_test_reward' has no 'Floating'"):
        make_reward("vzgym_test_reward:Floating")
    with pytest.raises(PluginError, match="cannot import module 'vzgym_test_no_reward'"):
        make_reward("vzgym_test_no_reward:Fixed")


def test_an_unknown_name_lists_presets_and_modules() -> None:
    with pytest.raises(UnknownName) as raised:
        make_reward("videozoom")
    assert "unknown reward 'videozoom'; did you mean 'videozoomer'? Valid: " in str(raised.value)
    assert {"accuracy", "iou_union", "videozoomer"} <= set(raised.value.valid)
    with pytest.raises(UnknownName) as inside:
        make_reward({"accuracy": 1.0, "acuracy": 1.0})
    assert "unknown reward module 'acuracy'" in str(inside.value)
    assert set(REWARDS.names()) <= set(inside.value.valid)


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, True, "0.9", None, [1.0]])
def test_a_weight_is_a_finite_number(weight: Any) -> None:
    for spec in ({"accuracy": weight}, {"accuracy": {"weight": weight}}, [(REWARDS.make("accuracy"), weight)]):
        with pytest.raises(InvalidSetting, match=r"(weight of )?'accuracy'(: weight)? must be a (finite )?number, got"):
            make_reward(spec)


def test_weights_of_numpy_are_weights() -> None:
    mix = make_reward({"accuracy": np.float32(0.5), "format": np.int64(2)})
    assert weights(mix) == {"accuracy": 0.5, "format": 2.0}
    assert {type(weight) for weight in weights(mix).values()} == {float}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "a reward needs at least one term"),
        ([], "a reward needs at least one term"),
        ([("accuracy", 1.0, 2)], r"holds modules and \(module, weight\) pairs, got \('accuracy', 1.0, 2\)"),
        ([Constant(1.0), Constant(2.0)], "two reward terms are called 'constant'"),
        ([Constant], "got the class Constant"),
        (Constant, "got the class Constant"),
        (3.0, "a reward module has a name, a set of needs and a score method, got 3.0"),
        ([object()], "a reward module has a name"),
        ([Constant(1.0, frozenset({"luck"}))], "module 'constant' needs 'luck'; known needs: evidence, group"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_reward_is_named(spec: Any, says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        make_reward(spec)


def test_an_unscored_term_adds_nothing_and_weights_stay(play: Play) -> None:
    mix = make_reward({"accuracy": 0.9, "iou": 0.5})
    known, unknown = play([LOOK, RIGHT]), play([LOOK, RIGHT], evidence=None)
    assert mix.score(known).total == pytest.approx(1.4)
    step = mix.score(unknown)
    assert step.total == pytest.approx(0.9)
    assert step.status == "scored"
    assert step.terms["iou"] == TermScore(None, 0.5)
    assert step.terms["iou"].status == "unscored"
    assert step.terms["iou"].contribution == 0.0
    assert step.terms["accuracy"].status == "scored"


def test_unscored_accuracy_makes_the_whole_unscored(play: Play) -> None:
    mix = make_reward({"accuracy": 0.9, "format": 0.1, "call_cost": 0.1})
    for record, expected in (
        (play([LOOK, RIGHT], options=(), answer=""), [None, None]),
        (play([LOOK, Zoom(8.5, 9.5, 4.0)]), [-0.1, None]),
    ):
        steps = mix.score_all(record)
        assert [step.total for step in steps] == expected
        assert steps[-1].status == "unscored"
        assert steps[-1].to_json()["total"] is None
        assert steps[-1].terms["accuracy"].status == "unscored"
        # What the others found is told all the same.
        assert steps[-1].terms["call_cost"].value is not None
    # Without an essential term nothing makes the whole unscored.
    assert make_reward("iou").score(play([RIGHT], evidence=None)).total == 0.0


def test_a_module_without_what_it_needs_is_unscored_and_says_so_once(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    mix = make_reward([Hungry(), Constant(None)])
    record = play([LOOK, RIGHT])
    with caplog.at_level(logging.INFO, logger="vzgym.rewards"):
        mix.score_all(record)
        mix.score_all(record)
    messages = [entry.getMessage() for entry in caplog.records]
    assert messages == [
        "reward term 'hungry' is unscored for task 'flash/1': it needs answerer and group",
        "reward term 'constant' is unscored for task 'flash/1': it cannot score this episode",
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(value: float, play: Play) -> None:
    with pytest.raises(InvalidSetting, match=f"reward module 'constant' returned {value} for task 'flash/1'"):
        make_reward(Constant(value)).score(play([RIGHT]))


@pytest.mark.parametrize("value", ["high", "1.0", [1.0], np.array([1.0, 2.0]), np.array(1.0), 1j, b"1"])
def test_a_value_that_is_no_number_is_refused_by_the_name_of_its_module(value: Any, play: Play) -> None:
    with pytest.raises(
        InvalidSetting, match=r"reward module 'constant' returned .* for task 'flash/1': score\(\) must"
    ):
        make_reward(Constant(value)).score(play([RIGHT]))


@pytest.mark.parametrize("value", [True, np.bool_(True), np.float32(1.0), np.int64(1)])
def test_numpy_numbers_and_conditions_are_values(value: Any, play: Play) -> None:
    assert make_reward(Constant(value)).score(play([RIGHT])).total == 1.0


FINITE = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(st.none() | FINITE, FINITE), min_size=1, max_size=8))
def test_the_ledger_adds_up_exactly(play: Play, parts: list[tuple[float | None, float]]) -> None:
    mix = RewardMix({f"term{i}": Term(Constant(value), weight) for i, (value, weight) in enumerate(parts)})
    ledger = mix.score(play([RIGHT])).to_json()
    rows = ledger["terms"].values()
    assert [(row["value"], row["weight"]) for row in rows] == parts
    assert ledger["total"] == math.fsum(row["weight"] * row["value"] for row in rows if row["value"] is not None)
    assert [row["status"] for row in rows] == ["unscored" if value is None else "scored" for value, _ in parts]


ACTIONS = st.one_of(
    st.builds(Zoom, st.floats(-1, 10.5), st.floats(-1, 10.5), st.floats(0, 5)),
    st.builds(lambda start: Zoom(start, start + 1, 4.0), st.floats(0, 9)),
    st.just(Malformed("no tag")),
    st.sampled_from([Answer("B"), Answer("A"), Answer("A man")]),
)
EVERYTHING = {
    "accuracy": 0.9,
    "format": 0.1,
    "conditional_tool": 0.5,
    "call_cost": 0.01,
    "frame_cost": 0.001,
    "iou_last": 0.2,
    "iou_union": 0.3,
}


@given(st.lists(ACTIONS, min_size=1, max_size=5), st.booleans())
def test_a_saved_run_is_scored_as_the_live_one(
    start: Callable[..., Episode], actions: list[Action], known: bool
) -> None:
    mix = make_reward(EVERYTHING)
    episode = start() if known else start(evidence=None)
    live = []
    for action in actions:
        if not episode.ended:
            episode.step(action)
            live.append(mix.score(episode.record).to_json())
    episode.record.rewards = live
    saved = EpisodeRecord.from_line(episode.record.to_line())
    again = [step.to_json() for step in mix.score_all(saved)]
    assert again == live
    assert saved.rewards == live
    assert [step.to_json() for step in mix.score_all(episode.record)] == live
    for entry in live:
        rows = entry["terms"].values()
        terms = [row["weight"] * row["value"] for row in rows if row["value"] is not None]
        assert entry["total"] is None or entry["total"] == math.fsum(terms)


def test_a_sequence_of_names_and_weights_is_a_reward() -> None:
    mix = make_reward([("accuracy", 0.9), ("format", 0.1), "call_cost"])
    assert {name: term.weight for name, term in mix.terms.items()} == {"accuracy": 0.9, "format": 0.1, "call_cost": 1.0}
    with pytest.raises(UnknownName, match="'gold'"):
        make_reward([("gold", 1.0)])
