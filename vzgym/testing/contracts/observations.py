"""The contract of observation modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import Space

from vzgym.envs.observations import ObservationModule
from vzgym.episode.episode import Episode
from vzgym.episode.wording import PlainWording
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, Rule, apply_rules, name_of, need

__all__ = ["OBSERVATION_RULES", "check_observation"]


def _shape(module: ObservationModule) -> None:
    need(not isinstance(module, type), f"it is the class {module!r}: pass an instance")
    need(isinstance(module, ObservationModule), "it needs the methods space(budget) and observe(episode)")


def _space(module: ObservationModule) -> None:
    for budget in scenes.BUDGETS:
        space = module.space(budget)
        need(isinstance(space, Space), f"space() must return a gymnasium Space, got {type(space).__name__}")
        need(
            space == module.space(budget),
            "space() returns a different space when called again with the same budget: derive it from the budget and "
            "the module's settings only",
        )


def _inside(module: ObservationModule) -> None:
    for budget in scenes.BUDGETS:
        space = module.space(budget)
        for episode in scenes.episodes(budget):
            seen = module.observe(episode)
            # gymnasium accepts float32 for float64; a vector environment would silently change the dtype.
            if space.contains(seen) and _same_types(space, seen):
                continue
            raise ContractViolation(
                f"after {len(episode.record.turns)} turns of an episode with {budget.overview_frames} overview frames "
                f"and {budget.max_zooms} zooms the observation is not in {space}: {_outside(space, seen)}. Check "
                "dtype, shape, bounds, and unused places"
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
        return (
            "every key by itself is valid"
            if key is None
            else f"{key!r} is {scenes.described(seen[key])}, expected {parts[key]}"
        )
    return f"it is {scenes.described(seen)}"


def _same(module: ObservationModule) -> None:
    for episode in scenes.episodes():
        place = scenes.differ(scenes.copied(module.observe(episode)), module.observe(episode))
        need(
            place is None,
            f"two observations of the same state differ at {place}: observe() must use no randomness and keep no "
            "state between calls",
        )


def _fresh(module: ObservationModule) -> None:
    for episode in scenes.episodes():
        first, second = scenes.arrays_in(module.observe(episode)), scenes.arrays_in(module.observe(episode))
        clips = episode.record.clips
        shown: list[Any] = [
            *(clip.pixels for clip in clips if clip.pixels is not None),
            *(clip.times for clip in clips),
        ]
        for array in first:
            need(array.flags.writeable, "an array is read-only: return a copy, users may write to it")
            shared = any(np.shares_memory(array, other) for other in (*second, *shown))
            need(
                not shared,
                "an array shares memory with another observation or with the episode's own frames: make a fresh array "
                "each time (np.array(..., copy=True))",
            )


def _blind(module: ObservationModule) -> None:
    seen = [module.observe(Episode(task, wording=PlainWording(), budget=scenes.BUDGETS[0])) for task in scenes.twins()]
    for other in seen[1:]:
        place = scenes.differ(seen[0], other)
        need(
            place is None,
            f"before the first zoom the observation depends on which option is right, at {place}: show frames, "
            "question and options, never episode.task.answer or what is derived from it",
        )
    hidden = [
        module.observe(Episode(replace(task, evidence=None, metadata={}), scenes.BUDGETS[0])) for task in scenes.twins()
    ]
    place = scenes.differ(seen[0], hidden[0])
    need(
        place is None,
        f"the observation depends on the task's evidence or metadata, at {place}: agents must not see them",
    )


def _harmless(module: ObservationModule) -> None:
    for episode in scenes.episodes():
        before = scenes.frozen(episode.record)
        module.observe(episode)
        need(before == scenes.frozen(episode.record), "observe() changes the episode's record: only read from it")


OBSERVATION_RULES: tuple[Rule[ObservationModule], ...] = (
    Rule("has the methods of an observation module", _shape),
    Rule("gives a space, the same one for the same budget", _space),
    Rule("observations are in the space, at every step and under other budgets", _inside),
    Rule("the same state gives the same observation", _same),
    Rule("arrays are fresh and writeable", _fresh),
    Rule("does not reveal the answer, evidence or metadata", _blind),
    Rule("leaves the episode unchanged", _harmless),
)


def check_observation(make: Callable[[], ObservationModule], subject: str = "") -> ConformanceReport:
    """Check an observation module.

    Args:
        make: Factory of the module, or its class.
        subject: For the report; the factory's name if not given.
    """
    return apply_rules("observation module", subject or name_of(make), OBSERVATION_RULES, make)
