"""Each rule of each contract as a test."""

from __future__ import annotations

from vzgym_plugin_template.corner import Corner
from vzgym_plugin_template.modules import Eighths, MeanColors, OnTarget, Sharpness
from vzgym_plugin_template.policy import Guess
from vzgym_plugin_template.selector import Apart
from vzgym_plugin_template.tool import Brightness

import vzgym
from vzgym.tasks import Suite
from vzgym.tasks.procedural.verify import verify
from vzgym.testing import (
    ActionContract,
    FamilyContract,
    ObservationContract,
    PolicyContract,
    RewardContract,
    ScorerContract,
    SelectorContract,
    ToolContract,
    check_backend,
)


class TestGuess(PolicyContract):
    def make(self) -> Guess:
        return Guess()


class TestMeanColors(ObservationContract):
    def make(self) -> MeanColors:
        return MeanColors(scale=1 / 255)


class TestEighths(ActionContract):
    def make(self) -> Eighths:
        return Eighths()


class TestOnTarget(RewardContract):
    def make(self) -> OnTarget:
        return OnTarget()


class TestSharpness(ScorerContract):
    def make(self) -> Sharpness:
        return Sharpness()


class TestBrightness(ToolContract):
    def make(self) -> Brightness:
        return Brightness()


class TestApart(SelectorContract):
    def make(self) -> Apart:
        return Apart(seconds=3.0)


class TestCorner(FamilyContract):
    def make(self) -> Corner:
        return Corner()


def test_zooming_is_provably_needed() -> None:
    suite = Suite("corners", ({"name": "template_corner", "duration": 32.0, "scenes": 4},))
    assert verify(suite, count=8).failures == []


def test_the_expert_finds_the_corner() -> None:
    suite = Suite("corners", ({"name": "template_corner", "duration": 32.0, "scenes": 4},))
    assert vzgym.evaluate("expert", suite("test"), episodes=8).accuracy.value == 1.0
    assert vzgym.evaluate("overview", suite("test"), episodes=8).accuracy.value < 1.0


def test_the_back_end() -> None:
    check_backend("vzgym_plugin_template.video:PatientPyAV").require()
