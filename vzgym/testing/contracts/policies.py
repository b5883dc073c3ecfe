"""Contract of policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vzgym.core.budget import Budget
from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.envs.observations import OBSERVATIONS
from vzgym.episode.episode import Episode
from vzgym.policies.policy import AnyPolicy, Policy, TextPolicy
from vzgym.policies.traits import PolicyTraits
from vzgym.rollout.rollout import EpisodeStart, Rollout
from vzgym.tasks import VideoTask
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, Rule, apply_rules, need

__all__ = ["check_policy"]


class _WatchedObservation:
    """An observation module that detects whether the policy changes its observations."""

    def __init__(self, observation: Any) -> None:
        self._inner = OBSERVATIONS.make(observation)
        self._given: tuple[Any, Any] | None = None
        self.changed: str | None = None

    def space(self, budget: Budget) -> Any:
        return self._inner.space(budget)

    def observe(self, episode: Episode) -> Any:
        if self._given is not None:
            given, before = self._given
            self.changed = self.changed or scenes.differ(before, given)
        observation = self._inner.observe(episode)
        self._given = observation, scenes.copied(observation)
        return observation


def _p_shape(policy: AnyPolicy) -> None:
    need(not isinstance(policy, type), f"it is the class {policy!r}: pass an instance")
    need(
        isinstance(policy, (Policy, TextPolicy)),
        "it needs reset(seed) and act(observation, info), or reset(seeds) and respond(dialogues)",
    )
    try:
        PolicyTraits.of(policy).prepare(scenes.BUDGETS[0])
    except InvalidSetting as error:
        raise ContractViolation(str(error)) from error


def _play(policy: AnyPolicy, task: VideoTask, seed: int) -> tuple[list[Any], str | None]:
    """Play one episode with the modules that the policy needs.

    Returns:
        The policy's actions or texts, and where it changed an observation, if anywhere.
    """
    traits = PolicyTraits.of(policy)
    watched = _WatchedObservation(traits.observation)
    rollout = Rollout(policy, [task], traits.prepare(scenes.BUDGETS[0]), observation=watched)
    try:
        (played,) = rollout.play([EpisodeStart(task, seed)])
    except ActionTypeError as error:
        raise ContractViolation(f"act() returned an invalid action for its action module: {error}") from error
    assert played is not None  # the test tasks can be opened
    turns = played.record.turns
    return [turn.text if isinstance(policy, TextPolicy) else turn.action for turn in turns], watched.changed


def _p_plays(policy: AnyPolicy) -> None:
    for task in scenes.tasks():
        _play(policy, task, 0)


def _p_seeded(policy: AnyPolicy) -> None:
    task = scenes.tasks()[0]
    first, second = _play(policy, task, 3)[0], _play(policy, task, 3)[0]
    need(
        first == second,
        f"with the same seed it plays the same task differently ({_shown(first)}, then {_shown(second)}): draw from a "
        "generator that reset(seed) creates",
    )


def _p_forgets(policy: AnyPolicy) -> None:
    task, other = scenes.tasks()[0], scenes.tasks()[1]
    first, _ = _play(policy, task, 5)
    _play(policy, other, 6)
    again, _ = _play(policy, task, 5)
    need(
        first == again,
        f"after another episode it plays the same task and seed differently ({_shown(first)}, then {_shown(again)}): "
        "reset() must clear all state of earlier episodes",
    )


def _p_harmless(policy: AnyPolicy) -> None:
    if isinstance(policy, TextPolicy):
        return  # its frames are read-only arrays
    for task in scenes.tasks():
        _, place = _play(policy, task, 1)
        need(place is None, f"act() writes to the observation, at {place}: copy it first")


def _shown(actions: list[Any]) -> str:
    return ", ".join(map(str, actions))[:120]


POLICY_RULES: tuple[Rule[AnyPolicy], ...] = (
    Rule("has the methods of a policy", _p_shape),
    Rule("plays whole episodes", _p_plays),
    Rule("the same seed gives the same actions", _p_seeded),
    Rule("keeps no state across episodes", _p_forgets),
    Rule("leaves observations unchanged", _p_harmless),
)


def check_policy(make: Callable[[], AnyPolicy], subject: str = "") -> ConformanceReport:
    """Check a policy by playing three tiny tasks several times.

    Args:
        make: Factory of the policy, or its class.
        subject: For the report; the factory's name if not given.
    """
    return apply_rules("policy", subject or str(getattr(make, "__name__", make)), POLICY_RULES, make)
