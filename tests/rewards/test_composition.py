"""Composition as data: gates, clips, annealing, weights by category; and that the ledger adds up."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vzgym.core import Action, Answer, Malformed, Zoom
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode import EpisodeRecord
from vzgym.rewards import (
    PREDICATES,
    PRESETS,
    REWARDS,
    AllOf,
    Anneal,
    Compare,
    Is,
    Need,
    RewardContext,
    RewardMix,
    Term,
    make_condition,
    make_reward,
)
from vzgym.rewards.cost import CallCost, FrameCost
from vzgym.rewards.evidence import IouUnion
from vzgym.rewards.mix import TERM_KEYS
from vzgym.rewards.outcome import Accuracy, Format

Play = Callable[..., EpisodeRecord]

BLUE, RED = Answer("blue"), Answer("red")
LOOK = Zoom(4.0, 5.0, 2.0)  # two frames


def totals(spec: Any, record: EpisodeRecord, context: RewardContext | None = None) -> list[float | None]:
    return [step.total for step in make_reward(spec).score_all(record, context)]


# Gates ---------------------------------------------------------------------------------------------------------


def test_a_gated_term_is_settled_at_the_end(play: Play) -> None:
    spec = {"frame_cost": {"weight": 0.25, "when": "correct"}}
    assert totals(spec, play([LOOK, LOOK, BLUE])) == [0.0, 0.0, -1.0]
    steps = make_reward(spec).score_all(play([LOOK, LOOK, RED]))
    assert [step.total for step in steps] == [0.0, 0.0, 0.0]
    assert steps[-1].terms["frame_cost"].to_json() == {"value": -4.0, "weight": 0.25, "status": "gated"}
    assert steps[0].terms["frame_cost"].to_json() == {"value": 0.0, "weight": 0.25, "status": "scored"}


@pytest.mark.parametrize(
    ("condition", "actions", "holds"),
    [
        ("correct", [BLUE], True),
        ("correct", [RED], False),
        ("not correct", [RED], True),
        ("answered", [RED], True),
        ("answered", [LOOK] * 5, False),
        ("zoomed", [LOOK, RED], True),
        ("zoomed", [Zoom(5.0, 4.0, 1.0), RED], False),
        ("consistent", [LOOK, Zoom(4.0, 5.0, 4.0), RED], False),
        ("consistent", [LOOK, RED], True),
        ("unrefused", [Zoom(5.0, 4.0, 1.0), RED], False),
        ("unrefused", [LOOK, RED], True),
        ("well_formed", [(LOOK, False), RED], False),
        ("well_formed", [LOOK, RED], True),
        ("evidence_seen", [RED], True),  # the overview has a frame at 4 s
        ({"module": "iou_union", "at_least": 0.5}, [Zoom(4.0, 6.0, 1.0), RED], True),
        ({"module": "iou_union", "above": 0.5}, [Zoom(4.0, 6.0, 1.0), RED], False),
        ({"module": "call_cost", "at_most": -2}, [LOOK, LOOK, RED], True),
        ({"module": "call_cost", "below": -2}, [LOOK, LOOK, RED], False),
        ({"module": "call_cost", "above": -3, "below": -1}, [LOOK, LOOK, RED], True),
        (["correct", "zoomed"], [LOOK, BLUE], True),
        (["correct", "zoomed"], [BLUE], False),
        (["correct", "not zoomed", {"module": "format", "at_least": 1}], [BLUE], True),
    ],
)
def test_conditions(play: Play, condition: Any, actions: list[Any], holds: bool) -> None:
    record = play(actions)
    assert make_condition(condition).holds(record, RewardContext()) is holds
    steps = make_reward({"call_cost": 1.0, "bonus": {"module": "format", "when": condition}}).score_all(record)
    assert steps[-1].terms["bonus"].status == ("scored" if holds else "gated")


def test_evidence_seen_needs_a_frame_in_every_interval(play: Play) -> None:
    from vzgym.core import Interval

    between = (Interval(4.5, 5.0),)
    condition = make_condition("evidence_seen")
    assert condition.holds(play([RED], evidence=between), RewardContext()) is False
    assert condition.holds(play([Zoom(4.5, 5.0, 2.0), RED], evidence=between), RewardContext()) is True
    assert condition.holds(play([RED], evidence=None), RewardContext()) is None
    assert condition.holds(play([RED], evidence=()), RewardContext()) is True


@pytest.mark.parametrize("condition", ["correct", "not correct", ["zoomed", "correct"]])
def test_what_cannot_be_said_leaves_the_term_unscored(play: Play, condition: Any) -> None:
    record = play([LOOK, RED], answer="", options=())
    steps = make_reward({"frame_cost": {"when": condition}}).score_all(record)
    assert [step.terms["frame_cost"].status for step in steps] == ["scored", "unscored"]


def test_a_condition_s_needs_are_the_term_s(play: Play) -> None:
    mix = make_reward({"accuracy": {"when": {"module": "curiosity", "above": 0}}})
    assert mix.needs == {"group"}
    assert mix.later
    # Accuracy is essential: while it cannot be settled, nothing is.
    assert [step.status for step in mix.score_all(play([BLUE]))] == ["unscored"]
    assert not make_reward({"accuracy": {"when": {"module": "iou", "above": 0}}}).later


def test_an_unscored_module_stays_so_behind_a_gate(play: Play) -> None:
    record = play([LOOK, BLUE], answer="", options=())
    assert totals({"accuracy": {"when": "zoomed"}}, record) == [None, None]


def test_framethinker_s_gate_on_the_whole_reward(play: Play) -> None:
    spec = {name: {"weight": 1.0, "when": "consistent"} for name in ("accuracy", "conditional_tool")}
    assert totals(spec, play([LOOK, BLUE]))[-1] == 2.0
    assert totals(spec, play([LOOK, LOOK, BLUE]))[-1] == 0.0


@pytest.mark.parametrize("nothing", [None, "", {}, [], ()])
def test_a_gate_without_a_condition_is_refused(nothing: Any) -> None:
    with pytest.raises(InvalidSetting, match="a gate needs a condition"):
        make_reward({"accuracy": {"weight": 1.0, "when": nothing}})


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        (
            "corect",
            UnknownName,
            "unknown condition 'corect'; did you mean 'correct'. Valid: answered.*not correct",
        ),
        ("not corect", UnknownName, "unknown condition 'corect'"),
        ({"module": "iou"}, InvalidSetting, "needs a bound: at_least, above, at_most, below"),
        ({"at_least": 1}, InvalidSetting, "needs the key 'module'"),
        ({"module": "io", "at_least": 1}, UnknownName, "unknown reward module 'io'"),
        ({"module": "iou", "at_least": math.nan}, InvalidSetting, "at_least must be a finite number, got nan"),
        ({"module": "iou", "at_least": "1"}, InvalidSetting, "at_least must be a finite number, got '1'"),
        (3, InvalidSetting, "a condition is a predicate's name"),
        (["correct", None], InvalidSetting, "a gate needs a condition"),
    ],
)
def test_bad_conditions(condition: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_reward({"accuracy": {"when": condition}})


def test_every_predicate_has_a_meaning(play: Play) -> None:
    record = play([LOOK, BLUE])
    for name, (_, meaning) in PREDICATES.items():
        assert len(meaning) > 10
        assert make_condition(name).holds(record, RewardContext()) in (True, False)


# Clips, annealing, categories ----------------------------------------------------------------------------------


def test_clip_bounds_each_turn(play: Play) -> None:
    record = play([Zoom(3.0, 5.0, 2.0), LOOK, BLUE])  # 4 frames, 2 frames
    spec = {"frame_cost": {"weight": 0.5, "clip": [-3, 0]}}
    assert totals(spec, record) == [-1.5, -1.0, 0.0]
    first, second, _ = make_reward(spec).score_all(record)
    # The raw value stays visible beside the one that counted.
    assert first.terms["frame_cost"].to_json() == {"value": -4.0, "weight": 0.5, "status": "scored", "counted": -3.0}
    assert second.terms["frame_cost"].to_json() == {"value": -2.0, "weight": 0.5, "status": "scored"}


def test_clip_comes_before_the_gate(play: Play) -> None:
    record = play([Zoom(3.0, 5.0, 2.0), LOOK, BLUE])
    steps = make_reward({"frame_cost": {"clip": [-3, 0], "when": "correct"}}).score_all(record)
    assert [step.total for step in steps] == [0.0, 0.0, -5.0]
    assert steps[-1].terms["frame_cost"].to_json() == {
        "value": -6.0, "weight": 1.0, "status": "scored", "counted": -5.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.5), (0.2, 0.5), (0.5, 0.3), (0.8, 0.1), (1.0, 0.1)]
)  # 0.5 * (1 - 0.8 * (p - 0.2) / 0.6)
def test_anneal(play: Play, progress: float, weight: float) -> None:
    spec = {"conditional_tool": {"weight": 0.5, "anneal": {"to": 0.2, "start": 0.2, "end": 0.8}}}
    record = play([LOOK, BLUE])
    assert totals(spec, record, RewardContext(progress=progress))[-1] == pytest.approx(weight)
    assert make_reward(spec).with_context(progress=progress).score_all(record)[-1].total == pytest.approx(weight)


def test_anneal_upwards(play: Play) -> None:
    spec = {"accuracy": {"anneal": {"from": 0, "to": 1}}}
    assert totals(spec, play([BLUE]), RewardContext(progress=0.25)) == [0.25]


def test_an_annealed_term_without_progress_is_unscored_and_says_so_once(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    mix = make_reward({"format": 1.0, "call_cost": {"anneal": {"to": 0}}})
    with caplog.at_level(logging.INFO, "vzgym.rewards"):
        for _ in range(3):
            steps = mix.score_all(play([LOOK, BLUE]))
    assert [step.terms["call_cost"].status for step in steps] == ["unscored"] * 2
    assert steps[-1].total == 1.0
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "reward term 'call_cost' is unscored for task 'flash/1': it needs the training progress")
    ]


def test_weights_by_category(play: Play) -> None:
    spec = {"conditional_tool": {"weight": 0.5, "by_category": {"control": -0.25, "count": 0}}}
    for category, weight in {"needle": 0.5, "control": -0.25, "count": 0.0, "": 0.5}.items():
        assert totals(spec, play([LOOK, BLUE], category=category))[-1] == weight


def test_category_and_anneal_multiply(play: Play) -> None:
    spec = {"accuracy": {"by_category": {"control": 0.5}, "anneal": {"to": 0}}}
    assert totals(spec, play([BLUE], category="control"), RewardContext(progress=0.5)) == [0.25]


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"weight": math.nan}, "reward term 'accuracy': weight must be a finite number, got nan"),
        ({"weight": math.inf}, "must be a finite number, got inf"),
        ({"weight": None}, "weight must be a number, got nothing"),
        ({"weight": True}, "weight must be a number, got True"),
        ({"weight": "1"}, "weight must be a number, got '1'"),
        ({"clip": [0]}, "clip must be a list of more values"),
        ({"clip": [1, 0]}, "low <= high"),
        ({"clip": [0, math.nan]}, r"clip\[1\] must be a finite number"),
        ({"clip": 1}, "clip must be a list, got 1"),
        ({"clip": "01"}, "clip must be a list"),
        ({"clip": None}, "clip must be a list, got nothing"),
        ({"anneal": {"from": 1}}, "anneal needs a value for 'to'"),
        ({"anneal": {"to": math.nan}}, "anneal.to must be a finite number"),
        ({"anneal": {"to": 0, "start": 0.5, "end": 0.5}}, "0 <= start < end <= 1"),
        ({"anneal": {"to": 0, "steps": 10}}, "anneal has no setting 'steps'; .*alid: from, to, start, end"),
        ({"anneal": 0.5}, "anneal must be a mapping"),
        ({"by_category": {}}, "by_category must be"),
        ({"by_category": {"needle": math.nan}}, "by_category.needle must be a finite number, got nan"),
        ({"by_category": [1]}, "by_category must be a mapping"),
        ({"module": 3}, "module must be text, got 3"),
    ],
)
def test_bad_terms(term: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        make_reward({"accuracy": term})


def test_bad_objects() -> None:
    with pytest.raises(InvalidSetting, match="when of 'accuracy' must be a Condition"):
        Term(Accuracy(), 1.0, when="correct")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="anneal of 'accuracy' must be an Anneal"):
        Term(Accuracy(), 1.0, anneal={"to": 0})  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="the name of a reward term must be text, got 3"):
        make_reward({"accuracy": 1.0, 3: 1.0})  # type: ignore[dict-item]


# The ledger ----------------------------------------------------------------------------------------------------

FINITE = st.floats(-1e3, 1e3, allow_nan=False)
CONDITION = st.sampled_from(["correct", "not correct", "zoomed", {"module": "iou_union", "above": 0.3}])
TERM = st.fixed_dictionaries(
    {"module": st.sampled_from(["accuracy", "format", "conditional_tool", "call_cost", "frame_cost", "iou_union",
                                "potential", "repeat", "curiosity", "tool_ladder", "time_proximity"]),
     "weight": FINITE},
    optional={
        "when": st.one_of(CONDITION, st.lists(CONDITION, min_size=1, max_size=2)),
        "clip": st.tuples(FINITE, FINITE).map(sorted),
        "anneal": st.fixed_dictionaries({"to": FINITE}, optional={"from": FINITE}),
        "by_category": st.dictionaries(st.sampled_from(["needle", "control"]), FINITE, min_size=1),
    },
)  # fmt: skip
ACTIONS = st.lists(
    st.sampled_from([LOOK, Zoom(3.0, 7.0, 1.0), Zoom(0.0, 1.0, 4.0), Zoom(5.0, 4.0, 1.0), Malformed("no action.")]),
    max_size=4,
)


@settings(max_examples=60)
@given(
    spec=st.dictionaries(st.text(min_size=1, max_size=8), TERM, min_size=1, max_size=6),
    actions=ACTIONS,
    answer=st.sampled_from([BLUE, RED]),
    category=st.sampled_from(["needle", "control", ""]),
    known=st.booleans(),
    progress=st.one_of(st.none(), st.floats(0, 1)),
)
def test_the_ledger_adds_up(
    play: Play,
    spec: dict[str, dict[str, Any]],
    actions: list[Action],
    answer: Answer,
    category: str,
    known: bool,
    progress: float | None,
) -> None:
    """From the saved JSON alone: each turn's total is the exact sum of weight times what counted."""
    facts: dict[str, Any] = {"category": category} if known else {"category": category, "evidence": None}
    record = play([*actions, answer], **facts)
    mix = make_reward(spec)
    context = RewardContext(progress=progress)
    live = [mix.score(record.upto(count), context).to_json() for count in range(1, len(record.turns) + 1)]
    for entry in json.loads(json.dumps(live)):
        assert set(entry["terms"]) == set(spec)
        paid = []
        for name, term in entry["terms"].items():
            assert (term["value"] is None) == (term["status"] == "unscored")
            if term["status"] == "gated":
                assert "when" in spec[name]
            if term["status"] == "scored":
                paid.append(term["weight"] * term.get("counted", term["value"]))
        # Without accuracy's verdict there is none at all.
        voided = any(
            term["status"] == "unscored" and spec[name]["module"] == "accuracy" for name, term in entry["terms"].items()
        )
        assert entry["total"] == (None if voided else math.fsum(paid))
    # And so from the saved record, under the spec that the mix says of itself.
    again = make_reward(json.loads(json.dumps(mix.to_spec())))
    assert again == mix
    saved = EpisodeRecord.from_line(record.to_line())
    assert [step.to_json() for step in again.score_all(saved, context)] == live


# Data and objects ----------------------------------------------------------------------------------------------


def test_python_and_data_give_the_same_object() -> None:
    data = {
        "accuracy": 0.9,
        "thrift": {
            "module": "frame_cost",
            "free": 8,
            "weight": 0.01,
            "when": ["correct", {"module": "iou_union", "at_least": 0.2}],
            "clip": [-8, 0],
            "anneal": {"from": 0, "to": 1, "start": 0.1, "end": 0.9},
            "by_category": {"control": 0.05},
        },
    }
    python = RewardMix(
        {
            "accuracy": Term(Accuracy(), 0.9),
            "thrift": Term(
                FrameCost(free=8),
                0.01,
                when=AllOf((Is("correct"), Compare(IouUnion(), at_least=0.2))),
                clip=(-8, 0),
                anneal=Anneal(1, first=0, start=0.1, end=0.9),
                by_category={"control": 0.05},
            ),
        }
    )
    assert make_reward(data) == python
    assert make_reward(python.to_spec()) == python
    assert make_reward([Accuracy(), (FrameCost(), 0.5)]) == make_reward({"accuracy": 1, "frame_cost": 0.5})
    assert make_reward([Term(Accuracy(), 0.9, when=Is("zoomed"))]) == make_reward(
        {"accuracy": {"weight": 0.9, "when": "zoomed"}}
    )
    assert python != make_reward({**data, "accuracy": 0.8})


@pytest.mark.parametrize("name", [*PRESETS, *REWARDS.names()])
def test_every_preset_and_module_can_say_what_it_is(name: str) -> None:
    mix = make_reward(name)
    assert make_reward(json.loads(json.dumps(mix.to_spec()))) == mix


def test_the_shortest_data_is_kept_short() -> None:
    assert make_reward("videozoomer").to_spec() == {"accuracy": 0.9, "format": 0.1, "conditional_tool": 0.5}
    assert make_reward({"call_cost": {"free": 2}}).to_spec() == {"call_cost": {"free": 2, "weight": 1.0}}


@pytest.mark.parametrize("name", REWARDS.names())
def test_no_option_is_called_like_a_word_of_the_composition(name: str) -> None:
    from vzgym.rewards.describe import describe

    words = {*TERM_KEYS, "at_least", "above", "at_most", "below"}
    assert not words & set(describe(name).options)


@dataclass(frozen=True)
class Own:
    """A module of a user's, at the top of a module."""

    bonus: float = 1.0

    name: ClassVar[str] = "own"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        return self.bonus


def test_a_module_that_is_registered_nowhere_is_named_by_its_path() -> None:
    mix = make_reward([Own(2.0)])
    assert mix.to_spec() == {"own": {"module": f"{__name__}:Own", "bonus": 2.0, "weight": 1.0}}


def test_a_module_that_cannot_be_named_says_why() -> None:
    class Hidden(Own):
        pass

    with pytest.raises(InvalidSetting, match="cannot be named in data: register it"):
        make_reward([Hidden()]).to_spec()

    with pytest.raises(InvalidSetting, match="options that JSON cannot hold"):
        make_reward([CallCost(free=3), Own(bonus=math.inf)]).to_spec()


def test_mixes_say_what_they_wait_for() -> None:
    assert not make_reward("videozoomer").later
    assert not make_reward("iou").later
    assert make_reward("revisor").later
    assert make_reward({"accuracy": 1, "ledger_cost": {"item": "wall_seconds"}}).later
    assert make_reward([Accuracy(), Format()]).needs == frozenset()
