"""The contract of action modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Space

from vzgym.core.actions import Answer, Malformed, ToolCall, Zoom, Zooms
from vzgym.core.errors import ActionTypeError
from vzgym.envs.actions import ActionModule, DecodedAction
from vzgym.episode.episode import Episode
from vzgym.episode.turn import Outcome
from vzgym.episode.wording import Wording
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, NotApplicable, Rule, apply_rules, name_of, need

__all__ = ["ACTION_RULES", "check_action"]

_SAMPLES = 60


def _shape(module: ActionModule) -> None:
    need(not isinstance(module, type), f"it is the class {module!r}: pass an instance")
    for part in ("space", "decode", "wording"):
        need(hasattr(module, part), f"it has no {part!r}: an action module has space(budget), decode(value, episode) "
             "and wording (usually PlainWording())")  # fmt: skip
    wording: Any = module.wording
    for part in ("opening", "text_of", "reply", "spec"):
        need(hasattr(wording, part), f"its wording {wording!r} has no {part!r}: use PlainWording() or a text protocol")


def _space(module: ActionModule) -> None:
    for budget in scenes.BUDGETS:
        space = module.space(budget)
        need(isinstance(space, Space), f"space() must return a gymnasium Space, got {type(space).__name__}")
        need(space == module.space(budget), "space() returns a different space when called again with the same budget")


def _values(module: ActionModule, seed: int = 0) -> list[Any]:
    space = module.space(scenes.BUDGETS[0])
    space.seed(seed)
    return [space.sample() for _ in range(_SAMPLES)]


def _start(module: ActionModule) -> Episode:
    return Episode(scenes.tasks()[0], scenes.BUDGETS[0], module.wording)


def _samples(module: ActionModule) -> None:
    wording: Wording = module.wording
    for value in _values(module):
        for task in scenes.tasks():
            episode = Episode(task, scenes.BUDGETS[0], wording)
            move = module.decode(value, episode)
            need(
                isinstance(move, DecodedAction),
                f"decode({value!r:.60}) must return a DecodedAction, got {type(move).__name__}",
            )
            need(
                isinstance(move.action, (Zoom, Zooms, ToolCall, Answer, Malformed)),
                f"decode({value!r:.60}) gave the action {move.action!r}: it must be a Zoom, Zooms, a ToolCall, an "
                "Answer or Malformed",
            )
            episode.step(move.action, text=move.text, well_formed=move.well_formed)


def _senseless(module: ActionModule) -> None:
    episode = _start(module)
    for value in (object(), None, {"zoom": 1}):
        try:
            module.decode(value, episode)
        except ActionTypeError:
            continue
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise ContractViolation(
                f"decode({value!r:.40}) raised {type(error).__name__} ({error}): raise "
                "vzgym.core.errors.ActionTypeError and name the valid values"
            ) from error
        raise ContractViolation(
            f"decode({value!r:.40}) accepts it as an action: raise ActionTypeError for values that are not actions"
        )


def _pure(module: ActionModule) -> None:
    for value in _values(module):
        episode = _start(module)
        before = scenes.frozen(episode.record)
        first = module.decode(scenes.copied(value), episode)
        need(
            before == scenes.frozen(episode.record), "decode() changes the episode: return a DecodedAction, do not step"
        )
        need(
            first == module.decode(value, episode),
            f"decode({value!r:.60}) is not deterministic: use no randomness and keep no state",
        )


def _blind(module: ActionModule) -> None:
    values = _values(module)
    moves = []
    for task in scenes.twins():
        episode = Episode(task, scenes.BUDGETS[0], module.wording)
        moves.append([module.decode(value, episode) for value in values])
    need(
        all(move == moves[0] for move in moves[1:]),
        "the decoded action depends on which option is right: decode() must not read episode.task.answer",
    )


def _mask(module: ActionModule) -> None:
    mask: Any = getattr(module, "mask", None)
    if mask is None:
        raise NotApplicable("it has no mask(episode)")
    size = getattr(module.space(scenes.BUDGETS[0]), "n", None)
    need(size is not None, "mask(episode) is for Discrete spaces")
    for stage in scenes.episodes(scenes.BUDGETS[0], module.wording):
        if stage.ended:
            continue
        allowed = mask(stage)
        need(
            isinstance(allowed, np.ndarray) and allowed.dtype == np.bool_ and allowed.shape == (size,),
            f"mask() must return bool of shape ({size},), got {scenes.described(allowed)}",
        )
        need(allowed.any(), "mask() allows no action")
        allowed = allowed.copy()
        for value in range(0, len(allowed), max(1, len(allowed) // 40)):
            move = module.decode(value, stage)
            trial = scenes.play(stage.task, [turn.action for turn in stage.record.turns], stage.budget, module.wording)
            came = trial.step(move.action, text=move.text, well_formed=move.well_formed).outcome
            if allowed[value]:
                need(came is not Outcome.REFUSED, f"mask() allows {value} ({move.action}), but the episode refuses it")


ACTION_RULES: tuple[Rule[ActionModule], ...] = (
    Rule("has the methods of an action module", _shape),
    Rule("gives a space, the same one for the same budget", _space),
    Rule("every sample of the space decodes to an action", _samples),
    Rule("invalid values raise ActionTypeError", _senseless),
    Rule("decoding is deterministic and leaves the episode unchanged", _pure),
    Rule("decoding does not depend on which option is right", _blind),
    Rule("the mask allows only what the episode accepts", _mask),
)


def check_action(make: Callable[[], ActionModule], subject: str = "") -> ConformanceReport:
    """Check an action module. See `check_observation` for the arguments."""
    return apply_rules("action module", subject or name_of(make), ACTION_RULES, make)
