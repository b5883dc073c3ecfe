"""pytest base classes: define `make`, and each rule of the contract becomes a test.

from vzgym.testing import ObservationContract

class TestMyObservation(ObservationContract):
def make(self):
return MyObservation(scale=2.0)
"""

from __future__ import annotations

from typing import Any, ClassVar

from vzgym.testing.contracts.actions import ACTION_RULES
from vzgym.testing.contracts.environments import ENVIRONMENT_RULES
from vzgym.testing.contracts.families import FAMILY_RULES
from vzgym.testing.contracts.observations import OBSERVATION_RULES
from vzgym.testing.contracts.policies import POLICY_RULES
from vzgym.testing.contracts.rewards import REWARD_RULES
from vzgym.testing.contracts.scorers import SCORER_RULES
from vzgym.testing.contracts.selectors import SELECTOR_RULES
from vzgym.testing.contracts.tools import TOOL_RULES
from vzgym.testing.report import Rule, apply_rules

__all__ = [
    "ActionContract",
    "EnvironmentContract",
    "FamilyContract",
    "ObservationContract",
    "PolicyContract",
    "RewardContract",
    "ScorerContract",
    "SelectorContract",
    "ToolContract",
]


class _Contract:
    """Base class that turns each rule into a test method."""

    kind: ClassVar[str]
    rules: ClassVar[tuple[Rule[Any], ...]] = ()

    def make(self) -> Any:
        """Create a new instance of the component."""
        raise NotImplementedError(f"{type(self).__name__} needs a method make(self) that returns the component")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for rule in cls.__dict__.get("rules", ()):
            setattr(cls, f"test_{_slug(rule.name)}", _test_of(rule))


def _slug(name: str) -> str:
    return "_".join("".join(mark if mark.isalnum() else " " for mark in name.lower()).split())


def _test_of(rule: Rule[Any]) -> Any:
    def test(self: _Contract) -> None:
        apply_rules(self.kind, type(self).__name__, [rule], self.make).require()

    test.__doc__ = rule.name
    return test


class PolicyContract(_Contract):
    """`make` returns a policy."""

    kind = "policy"
    rules = POLICY_RULES


class ObservationContract(_Contract):
    """`make` returns an observation module."""

    kind = "observation module"
    rules = OBSERVATION_RULES


class ActionContract(_Contract):
    """`make` returns an action module."""

    kind = "action module"
    rules = ACTION_RULES


class RewardContract(_Contract):
    """`make` returns a reward module."""

    kind = "reward module"
    rules = REWARD_RULES


class ScorerContract(_Contract):
    """`make` returns a scorer."""

    kind = "scorer"
    rules = SCORER_RULES


class ToolContract(_Contract):
    """`make` returns a tool."""

    kind = "tool"
    rules = TOOL_RULES


class FamilyContract(_Contract):
    """`make` returns a family of tasks."""

    kind = "task family"
    rules = FAMILY_RULES


class SelectorContract(_Contract):
    """`make` returns a frame selector."""

    kind = "selector"
    rules = SELECTOR_RULES


class EnvironmentContract(_Contract):
    """`make` returns a *factory* of environments, since several are needed at once."""

    kind = "environment"
    rules = ENVIRONMENT_RULES
