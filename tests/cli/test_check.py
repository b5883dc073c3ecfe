"""`vzgym check`."""

from __future__ import annotations

import importlib.metadata
import json
import sys

import pytest
from typer.testing import CliRunner

from vzgym.cli import app
from vzgym.testing import GROUPS, installed_plugins

runner = CliRunner()


class NotSeeded:
    """A broken policy."""

    count = 0

    def reset(self, seed): ...

    def act(self, observation, info):
        from vzgym import Answer

        NotSeeded.count += 1
        return Answer("ABCD"[NotSeeded.count % 4])


def test_a_whole_part_is_ok() -> None:
    done = runner.invoke(app, ["check", "recall"])
    assert done.exit_code == 0, done.output
    assert "reward module: recall" in done.output
    assert "ok" in done.output
    assert "broken" not in done.output


class FirstZoom:
    """A reward that needs the evidence, as a user writes it."""

    name = "first_zoom"
    needs = frozenset({"evidence"})

    def score(self, record, context):
        return float(record.zooms == 1)


def test_a_reward_that_some_episodes_cannot_have_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "somebodys_module", sys.modules[__name__])
    done = runner.invoke(app, ["check", "somebodys_module:FirstZoom"])
    assert done.exit_code == 0, done.output
    assert "left out" not in done.output
    assert not caplog.records


def test_a_broken_component_is_reported_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "somebodys_module", sys.modules[__name__])
    done = runner.invoke(app, ["check", "somebodys_module:NotSeeded", "--json"])
    assert done.exit_code == 1
    report = json.loads(done.output)["reports"][0]
    assert (report["kind"], report["ok"]) == ("policy", False)
    details = [result["detail"] for result in report["results"] if result["status"] == "broken"]
    assert any("reset(seed) creates" in detail for detail in details)


class _Entry:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value, self.dist = name, value, None


def test_a_plug_in_that_cannot_be_imported_is_named_and_the_others_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    announced = {
        "vzgym.policies": [_Entry("lost", "no_such_module:Policy"), _Entry("good", "vzgym.baselines:Blind")],
        "vzgym.rewards": [_Entry("gone", "vzgym.rewards:NoSuchReward")],
    }
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: announced.get(group, []))
    found = {plugin.name: plugin for plugin in installed_plugins()}
    assert list(found) == ["good", "lost", "gone"]
    assert found["good"].fault == ""
    assert "no_such_module" in found["lost"].fault
    assert "NoSuchReward" in found["gone"].fault
    assert set(GROUPS) >= {"vzgym.policies", "vzgym.observations", "vzgym.actions", "vzgym.rewards", "vzgym.videos"}


@pytest.mark.parametrize("sigma", ["3.0", "3e0"])
def test_options_of_the_part(sigma: str) -> None:
    done = runner.invoke(app, ["check", "time_proximity", "--set", f"sigma={sigma}"])
    assert done.exit_code == 0, done.output
