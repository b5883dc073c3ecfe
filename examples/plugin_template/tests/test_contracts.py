"""Each rule of each contract as a test."""

from __future__ import annotations

from vzgym_plugin_template.modules import Eighths, MeanColors, OnTarget
from vzgym_plugin_template.policy import Guess
from vzgym_plugin_template.tasks import BigNeedle

from vzgym.testing import (
    ActionContract,
    FamilyContract,
    ObservationContract,
    PolicyContract,
    RewardContract,
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


class TestBigNeedle(FamilyContract):
    def make(self) -> BigNeedle:
        return BigNeedle()


def test_the_back_end() -> None:
    check_backend("vzgym_plugin_template.video:PatientPyAV").require()
