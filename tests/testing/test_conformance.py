"""Our own parts keep their contracts, through the very kit that others use."""

from __future__ import annotations

import importlib.util
from functools import partial

import pytest

from vzgym.core.actions import Answer, ToolCall, Zoom, Zooms
from vzgym.core.errors import InvalidSetting, PluginError, UnknownName
from vzgym.envs import VideoZoomEnv
from vzgym.testing import (
    KINDS,
    ActionContract,
    ObservationContract,
    check,
    check_environment,
    check_parity,
    kind_of,
    scripts,
)
from vzgym.testing.parity import INTERFACES
from vzgym.testing.parity.interfaces import EngineInterface, GymnasiumInterface

ALONE = {"openenv", "verifiers", "verl"}
"""Interfaces to packages that cannot be installed beside those of the other tests."""

OURS = {
    "policy": ("blind", "overview", "uniform", "random", "sliding", "oracle"),
    "selector": ("top-k", "aks", "q-frame", "mdp3", "tree", "uniform-linspace"),
    "observation": ("default", "compact", "dialogue", "flat"),
    "action": ("default", "text", "continuous", "discrete"),
    "reward": tuple(KINDS["reward"][0].names()),
    "scorer": ("frame-difference", "histogram", "hash", "evidence", "hsv-change"),
    # Every family runs through `vzgym tasks verify` in the families' own tests.
    "family": ("needle", "control"),
    "video": ("pyav",),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in OURS.items() for name in names])
def test_ours_keep_their_contract(kind: str, name: str) -> None:
    report = check(name, kind)
    assert report.require().ok
    assert any(result.status == "kept" for result in report.results)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"observation": "compact", "action": "text"},
        {"observation": "flat", "action": {"name": "discrete", "windows": 8}},
        {"observation": "flat", "action": "continuous"},
    ],
    ids=["default", "text", "masked", "continuous"],
)
def test_our_environments_keep_theirs(settings: dict[str, object]) -> None:
    report = check_environment(partial(VideoZoomEnv, "tiny/test", **settings))
    assert report.require().ok
    sb3 = report.results[-1]
    assert sb3.status == ("kept" if settings.get("observation") == "flat" else "left out")


def test_every_interface_plays_what_the_engine_plays() -> None:
    # Those that need an environment of their own are tested there: tests/interfaces/test_conformance.py.
    here = [interface for interface in INTERFACES if all(map(importlib.util.find_spec, interface.needs))]
    report = check_parity()
    assert report.require().ok
    assert [result.status for result in report.results].count("kept") == 2 * len(here)
    assert {interface.name for interface in INTERFACES} - {interface.name for interface in here} <= ALONE
    assert len(here) >= 15


def test_the_scripts_hold_every_kind_of_turn() -> None:
    records = [EngineInterface().play(script) for script in scripts()]
    assert {str(turn.outcome) for record in records for turn in record.turns} == {"executed", "refused", "answered"}
    assert {str(record.end) for record in records} == {"answered", "out_of_rounds"}
    assert {record.task.category for record in records} == {"needle", "count", "control"}
    assert {type(turn.action) for record in records for turn in record.turns} == {Zoom, Zooms, ToolCall, Answer}
    refusals = {str(turn.refusal) for record in records for turn in record.turns if turn.refusal}
    assert refusals == {
        "too_many_frames",
        "too_many_zooms",
        "reversed",
        "size_out_of_range",
        "tool_arguments",
        "unknown_tool",
        "last_round",
        "zoom_first",
    }


def test_an_interface_that_drops_a_frame_is_caught() -> None:
    class Dropping(GymnasiumInterface):
        name = "dropping"

        def play(self, script, seen=None):
            from dataclasses import replace

            fewer = replace(script.budget, overview_frames=script.budget.overview_frames - 1)
            return super().play(replace(script, budget=fewer), seen)

    report = check_parity([Dropping()], scripts()[:1])
    assert not report.ok
    assert "clips[0]" in report.broken[0].detail
    assert "dropping" in report.broken[0].detail


def test_an_interface_whose_package_is_missing_is_named() -> None:
    class Absent(GymnasiumInterface):
        name = "absent"
        needs = ("no_such_package_anywhere",)

    report = check_parity([Absent()], scripts()[:1])
    assert [(item.status, item.detail) for item in report.results] == [
        ("left out", "no_such_package_anywhere not installed")
    ]


class TestFlatAsAMixin(ObservationContract):
    def make(self):
        from vzgym.envs import FlatObservation

        return FlatObservation(frame_size=(4, 6), max_options=5)


class TestGridAsAMixin(ActionContract):
    def make(self):
        from vzgym.envs import DiscreteAction

        return DiscreteAction(windows=3, fps=(0.25, 1.0), max_options=4)


def test_a_mixin_has_a_test_for_each_rule() -> None:
    names = [name for name in dir(ObservationContract) if name.startswith("test_")]
    assert len(names) == 7
    assert "test_arrays_are_fresh_and_writeable" in names
    with pytest.raises(NotImplementedError, match="make"):
        ObservationContract().make()


def test_what_a_class_is_meant_to_be_is_told_by_its_methods() -> None:
    assert kind_of(VideoZoomEnvLikePolicy) == "policy"
    assert kind_of(KINDS["reward"][0].get("accuracy")) == "reward"
    assert kind_of(KINDS["scorer"][0].get("hash")) == "scorer"
    assert kind_of(KINDS["selector"][0].get("aks")) == "selector"
    assert kind_of(KINDS["observation"][0].get("flat")) == "observation"
    assert kind_of(KINDS["action"][0].get("continuous")) == "action"
    assert kind_of(KINDS["family"][0].get("needle")) == "family"
    assert kind_of(KINDS["video"][0].get("pyav")) == "video"
    with pytest.raises(InvalidSetting, match="give its kind, one of policy"):
        kind_of(object())


class VideoZoomEnvLikePolicy:
    def reset(self, seed: int) -> None: ...

    def act(self, observation, info): ...


def test_names_that_nothing_answers_to() -> None:
    with pytest.raises(UnknownName, match="unknown component 'nonsense'"):
        check("nonsense")
    with pytest.raises(InvalidSetting, match=r"several components .*--kind"):
        check("default")
    with pytest.raises(PluginError, match="no_such_module"):
        check("no_such_module:Thing")
    with pytest.raises(UnknownName, match="unknown kind of part 'colour'"):
        check("flat", "colour")
