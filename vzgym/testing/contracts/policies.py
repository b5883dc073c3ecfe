"""Contract of policies, those that act and those that speak."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from vzgym.core.budget import Budget
from vzgym.core.errors import ActionTypeError
from vzgym.envs.actions import Move
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.policies.policy import AnyPolicy, Policy, TextPolicy
from vzgym.protocols.base import PROTOCOLS, TextProtocol
from vzgym.tasks import VideoTask
from vzgym.testing import scenes
from vzgym.testing.report import Broken, Report, Rule, apply_rules, need

__all__ = ["check_policy"]


@dataclass
class _Played:
    """What a policy did in one episode."""

    moves: list[Any] = field(default_factory=list)
    touched: str | None = None


def _p_shape(policy: AnyPolicy) -> None:
    need(not isinstance(policy, type), f"it is the class {policy!r}: give an object, by calling it")
    need(
        isinstance(policy, (Policy, TextPolicy)),
        "it needs reset(seed) and act(observation, info), or reset(seeds) and respond(dialogues)",
    )
    name = getattr(policy, "name", "")
    need(isinstance(name, str), f"its name is a text, got {name!r}")


def _budget(policy: AnyPolicy) -> Budget:
    given = scenes.BUDGETS[0]
    prepare = getattr(policy, "prepare", None)
    if prepare is None:
        return given
    budget = prepare(given)
    need(isinstance(budget, Budget), f"prepare() must return the Budget to play with, got {budget!r}")
    return budget if isinstance(budget, Budget) else given


def _play(policy: AnyPolicy, task: VideoTask, seed: int) -> _Played:
    """One episode, through the modules that the policy wants."""
    budget = _budget(policy)
    if isinstance(policy, TextPolicy):
        return _speak(policy, task, seed, budget)
    assert isinstance(policy, Policy)
    env = VideoZoomEnv(
        [task],
        observation=getattr(policy, "observation", "default"),
        action=getattr(policy, "action", "default"),
        budget=budget,
    )
    played = _Played()
    with closing(env):
        observation, info = env.reset(seed=seed)
        if hasattr(policy, "reveal"):
            policy.reveal(task)
        policy.reset(seed)
        ended = False
        while not ended:
            before = scenes.copied(observation)
            action = policy.act(observation, info)
            played.touched = played.touched or scenes.differ(before, observation)
            try:
                observation, _, terminated, truncated, info = env.step(action)
            except ActionTypeError as error:
                raise Broken(f"act() returned no action of its action module: {error}") from error
            played.moves.append(env.record.turns[-1].action)
            ended = terminated or truncated
    return played


def _speak(policy: TextPolicy, task: VideoTask, seed: int, budget: Budget) -> _Played:
    protocol: TextProtocol = PROTOCOLS.make(getattr(policy, "protocol", "tags"))
    env = VideoZoomEnv([task], observation="dialogue", action={"name": "text", "protocol": protocol}, budget=budget)
    played = _Played()
    with closing(env):
        env.reset(seed=seed)
        if hasattr(policy, "reveal"):
            policy.reveal([task])
        policy.reset([seed])
        while not env.episode.ended:
            texts = policy.respond([tuple(env.episode.messages)])
            fits = isinstance(texts, list) and len(texts) == 1 and isinstance(texts[0], str)
            need(fits, f"respond() must return a list with one text for each dialogue, got {texts!r:.100}")
            env.step(texts[0])
            played.moves.append(texts[0])
    return played


def _p_plays(policy: AnyPolicy) -> None:
    for task in scenes.tasks():
        _play(policy, task, 0)


def _p_seeded(policy: AnyPolicy) -> None:
    task = scenes.tasks()[0]
    first, second = _play(policy, task, 3).moves, _play(policy, task, 3).moves
    need(
        first == second,
        f"with the same seed it plays the same task differently ({_shown(first)}, then {_shown(second)}): draw from a "
        "generator that reset(seed) makes anew",
    )


def _p_forgets(policy: AnyPolicy) -> None:
    task, other = scenes.tasks()[0], scenes.tasks()[1]
    first = _play(policy, task, 5).moves
    _play(policy, other, 6)
    again = _play(policy, task, 5).moves
    need(
        first == again,
        f"after another episode it plays the same task and seed differently ({_shown(first)}, then {_shown(again)}): "
        "reset() must forget everything that an episode left",
    )


def _p_harmless(policy: AnyPolicy) -> None:
    if isinstance(policy, TextPolicy):
        return  # its frames are read-only arrays
    for task in scenes.tasks():
        place = _play(policy, task, 1).touched
        need(place is None, f"act() writes to the observation, at {place}: users keep what they got; copy it first")


def _shown(moves: list[Any]) -> str:
    return ", ".join(str(move.action if isinstance(move, Move) else move) for move in moves)[:120]


POLICY_RULES: tuple[Rule[AnyPolicy], ...] = (
    Rule("has the methods of a policy", _p_shape),
    Rule("plays whole episodes", _p_plays),
    Rule("the same seed gives the same actions", _p_seeded),
    Rule("an episode leaves nothing behind", _p_forgets),
    Rule("leaves observations as they are", _p_harmless),
)


def check_policy(make: Callable[[], AnyPolicy], subject: str = "") -> Report:
    """Check a policy: it plays three tiny tasks several times.

    Args:
        make: Makes the policy (its class will do).
        subject: For the report; the factory's name if not given.
    """
    return apply_rules("policy", subject or str(getattr(make, "__name__", make)), POLICY_RULES, make)
