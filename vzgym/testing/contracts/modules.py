"""Contracts of the three kinds of module: observation, action, reward."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import Space

from vzgym.core.actions import Answer, Malformed, Zoom
from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.envs.actions import ActionModule, DecodedAction
from vzgym.envs.observations import ObservationModule
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord, Outcome
from vzgym.episode.wording import PlainWording, Wording
from vzgym.rewards.base import RewardContext, RewardModule
from vzgym.rewards.mix import RewardMix, Term
from vzgym.testing import scenes
from vzgym.testing.report import Broken, NotApplicable, Report, Rule, apply_rules, need

__all__ = ["check_action", "check_observation", "check_reward"]

_SAMPLES = 60


# Observation modules -----------------------------------------------------------------------------------------------


def _o_shape(module: ObservationModule) -> None:
    need(not isinstance(module, type), f"it is the class {module!r}: give an object, by calling it")
    need(isinstance(module, ObservationModule), "it needs the methods space(budget) and observe(episode)")


def _o_space(module: ObservationModule) -> None:
    for budget in scenes.BUDGETS:
        space = module.space(budget)
        need(isinstance(space, Space), f"space() must return a gymnasium Space, got {type(space).__name__}")
        need(
            space == module.space(budget),
            "space() gives another space when asked again for the same budget: derive it from the budget and the "
            "module's settings alone",
        )


def _o_inside(module: ObservationModule) -> None:
    for budget in scenes.BUDGETS:
        space = module.space(budget)
        for episode in scenes.episodes(budget):
            seen = module.observe(episode)
            # gymnasium takes float32 for float64; a vector environment would silently give another type.
            if space.contains(seen) and _same_types(space, seen):
                continue
            raise Broken(
                f"after {len(episode.record.turns)} turns of an episode with {budget.overview_frames} overview frames "
                f"and {budget.max_zooms} zooms the observation is not in {space}: {_outside(space, seen)}. Mind dtype, "
                "shape, bounds, and places that stay empty"
            )


def _same_types(space: Space[Any], seen: Any) -> bool:
    parts = getattr(space, "spaces", None)
    if isinstance(parts, dict):
        return all(_same_types(parts[key], seen[key]) for key in parts)
    return not isinstance(seen, np.ndarray) or seen.dtype == space.dtype


def _outside(space: Space[Any], seen: Any) -> str:
    """Which part of an observation is outside its space."""
    parts = getattr(space, "spaces", None)
    if isinstance(parts, dict) and isinstance(seen, dict):
        if set(parts) != set(seen):
            return f"the keys differ: {sorted(set(parts) ^ set(seen))}"
        wrong = (key for key in parts if not (parts[key].contains(seen[key]) and _same_types(parts[key], seen[key])))
        key = next(wrong, None)
        return "no single key is wrong" if key is None else f"{key!r} is {_described(seen[key])}, wanted {parts[key]}"
    return f"it is {_described(seen)}"


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        around = f" from {value.min()} to {value.max()}" if value.size else ""
        return f"{value.dtype} {value.shape}{around}"
    return f"{type(value).__name__} {value!r:.60}"


def _o_same(module: ObservationModule) -> None:
    for episode in scenes.episodes():
        place = scenes.differ(scenes.copied(module.observe(episode)), module.observe(episode))
        need(
            place is None,
            f"two observations of one moment differ at {place}: observe() must draw nothing at random and keep no "
            "state between calls",
        )


def _o_fresh(module: ObservationModule) -> None:
    for episode in scenes.episodes():
        first, second = scenes.arrays_in(module.observe(episode)), scenes.arrays_in(module.observe(episode))
        clips = episode.record.clips
        shown: list[Any] = [
            *(clip.pixels for clip in clips if clip.pixels is not None),
            *(clip.times for clip in clips),
        ]
        for array in first:
            need(array.flags.writeable, "an array is read-only: return a copy, users write to what they get")
            shared = any(np.shares_memory(array, other) for other in (*second, *shown))
            need(
                not shared,
                "an array shares memory with another observation or with the episode's own frames: make a fresh array "
                "each time (np.array(..., copy=True))",
            )


def _o_blind(module: ObservationModule) -> None:
    seen = [module.observe(Episode(task, wording=PlainWording(), budget=scenes.BUDGETS[0])) for task in _twins()]
    for other in seen[1:]:
        place = scenes.differ(seen[0], other)
        need(
            place is None,
            f"before the first zoom the observation depends on which option is right, at {place}: show frames, "
            "question and options, never episode.task.answer or what is derived from it",
        )
    hidden = [
        module.observe(Episode(replace(task, evidence=None, metadata={}), scenes.BUDGETS[0])) for task in _twins()
    ]
    place = scenes.differ(seen[0], hidden[0])
    need(place is None, f"the observation depends on the task's evidence or metadata, at {place}: agents must not know")


def _twins() -> tuple[Any, ...]:
    """Tasks that look the same before the first zoom. They share their id: it holds the number of the variant."""
    return tuple(replace(task, id="checked") for task in scenes.variants())


def _o_harmless(module: ObservationModule) -> None:
    for episode in scenes.episodes():
        before = scenes.frozen(episode.record)
        module.observe(episode)
        need(before == scenes.frozen(episode.record), "observe() changes the episode's record: only read from it")


OBSERVATION_RULES: tuple[Rule[ObservationModule], ...] = (
    Rule("has the methods of an observation module", _o_shape),
    Rule("gives a space, the same one for the same budget", _o_space),
    Rule("observations are in the space, at every stage and under other budgets", _o_inside),
    Rule("the same moment gives the same observation", _o_same),
    Rule("arrays are fresh and writeable", _o_fresh),
    Rule("shows nothing that an agent must not know", _o_blind),
    Rule("leaves the episode as it is", _o_harmless),
)


def check_observation(make: Callable[[], ObservationModule], subject: str = "") -> Report:
    """Check an observation module.

    Args:
        make: Makes the module (its class will do).
        subject: For the report; the factory's name if not given.
    """
    return apply_rules("observation module", subject or _name(make), OBSERVATION_RULES, make)


# Action modules ----------------------------------------------------------------------------------------------------


def _a_shape(module: ActionModule) -> None:
    need(not isinstance(module, type), f"it is the class {module!r}: give an object, by calling it")
    for part in ("space", "decode", "wording"):
        need(hasattr(module, part), f"it has no {part!r}: an action module has space(budget), decode(value, episode) "
             "and wording (PlainWording() will mostly do)")  # fmt: skip
    wording: Any = module.wording
    for part in ("opening", "said", "reply", "spec"):
        need(hasattr(wording, part), f"its wording {wording!r} has no {part!r}: take PlainWording() or a text protocol")


def _a_space(module: ActionModule) -> None:
    for budget in scenes.BUDGETS:
        space = module.space(budget)
        need(isinstance(space, Space), f"space() must return a gymnasium Space, got {type(space).__name__}")
        need(space == module.space(budget), "space() gives another space when asked again for the same budget")


def _values(module: ActionModule, seed: int = 0) -> list[Any]:
    space = module.space(scenes.BUDGETS[0])
    space.seed(seed)
    return [space.sample() for _ in range(_SAMPLES)]


def _start(module: ActionModule) -> Episode:
    return Episode(scenes.tasks()[0], scenes.BUDGETS[0], module.wording)


def _a_samples(module: ActionModule) -> None:
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
                isinstance(move.action, (Zoom, Answer, Malformed)),
                f"decode({value!r:.60}) gave the action {move.action!r}: it must be a Zoom, an Answer or Malformed",
            )
            episode.step(move.action, text=move.text, well_formed=move.well_formed)


def _a_senseless(module: ActionModule) -> None:
    episode = _start(module)
    for value in (object(), None, {"zoom": 1}):
        try:
            module.decode(value, episode)
        except ActionTypeError:
            continue
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise Broken(
                f"decode({value!r:.40}) raised {type(error).__name__} ({error}): raise "
                "vzgym.core.errors.ActionTypeError, with what would be right"
            ) from error
        raise Broken(f"decode({value!r:.40}) takes it for an action: raise ActionTypeError for what is none")


def _a_pure(module: ActionModule) -> None:
    for value in _values(module):
        episode = _start(module)
        before = scenes.frozen(episode.record)
        first = module.decode(scenes.copied(value), episode)
        need(
            before == scenes.frozen(episode.record), "decode() changes the episode: return a DecodedAction, do not step"
        )
        need(
            first == module.decode(value, episode),
            f"decode({value!r:.60}) gives two different moves at one moment: draw nothing at random, keep no state",
        )


def _a_blind(module: ActionModule) -> None:
    values = _values(module)
    moves = []
    for task in _twins():
        episode = Episode(task, scenes.BUDGETS[0], module.wording)
        moves.append([module.decode(value, episode) for value in values])
    need(
        all(move == moves[0] for move in moves[1:]),
        "what a value means depends on which option is right: decode() must not read episode.task.answer",
    )


def _a_mask(module: ActionModule) -> None:
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
            f"mask() must return bool of shape ({size},), got {_described(allowed)}",
        )
        need(allowed.any(), "mask() allows nothing: a learner would have no action left")
        allowed = allowed.copy()
        for value in range(0, len(allowed), max(1, len(allowed) // 40)):
            move = module.decode(value, stage)
            trial = scenes.play(stage.task, [turn.action for turn in stage.record.turns], stage.budget, module.wording)
            came = trial.step(move.action, text=move.text, well_formed=move.well_formed).outcome
            if allowed[value]:
                need(came is not Outcome.REFUSED, f"mask() allows {value} ({move.action}), but the episode refuses it")


ACTION_RULES: tuple[Rule[ActionModule], ...] = (
    Rule("has the methods of an action module", _a_shape),
    Rule("gives a space, the same one for the same budget", _a_space),
    Rule("every sample of the space can be played", _a_samples),
    Rule("what is no action raises ActionTypeError", _a_senseless),
    Rule("decoding changes nothing and always says the same", _a_pure),
    Rule("means the same whichever option is right", _a_blind),
    Rule("the mask allows what the episode accepts", _a_mask),
)


def check_action(make: Callable[[], ActionModule], subject: str = "") -> Report:
    """Check an action module. See `check_observation` for the arguments."""
    return apply_rules("action module", subject or _name(make), ACTION_RULES, make)


# Reward modules ----------------------------------------------------------------------------------------------------


def _r_shape(module: RewardModule) -> None:
    try:
        Term(module, 1.0)
    except InvalidSetting as error:
        raise Broken(
            f"{error}. A reward module has name (text), needs (frozenset) and score(record, context)"
        ) from error


def _context(record: EpisodeRecord) -> RewardContext:
    return RewardContext(group=[item for item in scenes.records() if item.task.id == record.task.id], progress=0.5)


def _scores(module: RewardModule, record: EpisodeRecord) -> list[float | None]:
    """The raw value of each turn."""
    mix = RewardMix({module.name: Term(module, 1.0)})
    return [step.terms[module.name].value for step in mix.score_all(record, _context(record))]


def _r_numbers(module: RewardModule) -> None:
    for record in scenes.records():
        for count in range(1, len(record.turns) + 1):
            upto = record.upto(count)
            if "evidence" in module.needs and upto.task.evidence is None:
                continue
            if module.needs - {"evidence", "group"}:
                continue
            value = module.score(upto, _context(record))
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            need(
                value is None or (number and math.isfinite(float(value))),
                f"score() of task {record.task.id!r} after turn {count} is {value!r}: return a finite number, or None "
                "where it cannot be judged",
            )


def _r_stateless(module: RewardModule) -> None:
    records = scenes.records()
    first = [_scores(module, record) for record in records]
    again = [_scores(module, record) for record in reversed(records)][::-1]
    need(
        first == again,
        "scored again in another order, the records get other values: keep no state between calls; what a value "
        "depends on is in the record",
    )


def _r_saved(module: RewardModule) -> None:
    for record in scenes.records():
        saved = EpisodeRecord.from_json(record.to_json())
        live, later = _scores(module, record), _scores(module, saved)
        need(
            live == later,
            f"the saved record of task {record.task.id!r} is scored {later}, the live one {live}: read times, windows "
            "and hashes, never pixels or objects, which a file does not keep",
        )


def _r_harmless(module: RewardModule) -> None:
    for record in scenes.records():
        before = scenes.frozen(record)
        _scores(module, record)
        need(before == scenes.frozen(record), "score() changes the record: only read from it")


REWARD_RULES: tuple[Rule[RewardModule], ...] = (
    Rule("has the parts of a reward module", _r_shape),
    Rule("scores are finite numbers or None", _r_numbers),
    Rule("keeps no state", _r_stateless),
    Rule("scores a saved record as it scored the live one", _r_saved),
    Rule("leaves the record as it is", _r_harmless),
)


def check_reward(make: Callable[[], RewardModule], subject: str = "") -> Report:
    """Check a reward module. See `check_observation` for the arguments."""
    return apply_rules("reward module", subject or _name(make), REWARD_RULES, make)


def _name(make: Callable[[], Any]) -> str:
    return str(getattr(make, "__name__", make))
