"""Tasks, episodes and comparisons that the contracts share."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from vzgym.core.actions import Action, Answer, Malformed, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.wording import Wording
from vzgym.tasks import VideoTask, expert_zooms, load_tasks
from vzgym.tasks.suite import ProceduralTasks

__all__ = [
    "BUDGETS",
    "SUITE",
    "arrays_in",
    "described",
    "differ",
    "episodes",
    "play",
    "records",
    "tasks",
    "twins",
    "variants",
]

SUITE = "tiny/test"
"""The suite that modules are checked on: alternating needle, count and control tasks."""

_TINY = load_tasks(SUITE).budget
BUDGETS: tuple[Budget, ...] = (
    _TINY,
    replace(_TINY, overview_frames=3, max_zooms=1, clip_frames=12),
    replace(_TINY, overview_frames=0),
    replace(_TINY, max_zooms=0),
    replace(_TINY, min_zooms=1),
    replace(_TINY, zooms_per_turn=3, zoom_max_pixels=2 * _TINY.max_pixels),
)
"""The suite's budget and edge cases: few frames, no overview, no zooms, a zoom required before an answer, several zooms
of any size in a turn."""


@cache
def tasks() -> tuple[VideoTask, ...]:
    """One task of each kind."""
    chosen = load_tasks(SUITE)
    return chosen[0], chosen[1], chosen[2]


@cache
def variants() -> tuple[VideoTask, ...]:
    """One task with each of its answers: the overview, the question and the options are the same."""
    chosen = load_tasks(SUITE)
    assert isinstance(chosen, ProceduralTasks)
    return tuple(chosen.variants(0))


def script(task: VideoTask, budget: Budget) -> list[Action]:
    """A refused zoom, text without an action, an executed zoom (or several in a turn), and then the right answer."""
    duration = task.video.duration
    actions: list[Action] = [Zoom(duration + 1, duration + 2, 1.0), Malformed("no action was found.")]
    actions = actions[: max(0, budget.max_rounds - 2)]
    if budget.max_zooms:
        zoom = Zoom(0.0, 1.0, budget.min_fps + 1.0)
        smaller = replace(zoom, start=2.0, end=3.0, max_pixels=budget.min_pixels)
        actions.append(Zooms((zoom, smaller)) if budget.zooms_per_turn > 1 else zoom)
    return [*actions, Answer(task.answer)]


def play(task: VideoTask, actions: list[Action], budget: Budget = _TINY, wording: Wording | None = None) -> Episode:
    """Play an episode with these actions; those after its end are ignored."""
    episode = Episode(task, budget, wording)
    for action in actions:
        if not episode.ended:
            episode.step(action)
    return episode


def episodes(budget: Budget = _TINY, wording: Wording | None = None) -> Iterator[Episode]:
    """Yield each task's live episode before every step; it continues when the next item is requested."""
    for task in tasks():
        episode = Episode(task, budget, wording)
        yield episode
        for action in script(task, budget):
            episode.step(action)
            yield episode


@cache
def records() -> tuple[EpisodeRecord, ...]:
    """Finished records of all kinds: right and wrong, with and without zooms, refused, silent, of unknown evidence."""
    made = []
    for task in tasks():
        wrong = next(option for option in task.options if option != task.answer)
        look: list[Action] = [*expert_zooms(task, _TINY)[:2]]
        made += [
            play(task, [*look, Answer(task.answer)]),
            play(task, [*look, Answer(wrong)]),
            play(task, [Answer(task.answer)]),
            play(task, script(task, _TINY)),
            play(task, script(task, BUDGETS[-1]), BUDGETS[-1]),
            play(task, [Zoom(0.0, 1.0, 4.0), Zoom(0.0, 1.0, 4.0), Answer(wrong)]),
            play(task, [Malformed("no action was found.")] * _TINY.max_rounds),
            play(replace(task, evidence=None), [*look, Answer(task.answer)]),
            play(replace(task, options=(), answer=""), [Answer("something")]),
        ]
    return tuple(episode.record for episode in made)


def arrays_in(value: Any) -> list[np.ndarray[Any, Any]]:
    """All arrays in nested dicts, lists and tuples."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        return [array for item in value.values() for array in arrays_in(item)]
    if isinstance(value, (list, tuple)):
        return [array for item in value for array in arrays_in(item)]
    return []


def differ(first: Any, second: Any, where: str = "") -> str | None:
    """Where two nested values differ, bit by bit; None if nowhere."""
    if type(first) is not type(second):
        return f"{where or 'the value'}: {type(first).__name__} and {type(second).__name__}"
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return f"{where or 'the value'}: keys {sorted(map(str, first.keys() ^ second.keys()))}"
        found = (differ(first[key], second[key], f"{where}[{key!r}]") for key in first)
        return next((item for item in found if item), None)
    if isinstance(first, (list, tuple)):
        if len(first) != len(second):
            return f"{where or 'the value'}: {len(first)} and {len(second)} items"
        found = (differ(a, b, f"{where}[{place}]") for place, (a, b) in enumerate(zip(first, second, strict=True)))
        return next((item for item in found if item), None)
    if isinstance(first, (np.ndarray, np.generic)):
        one, two = np.asarray(first), np.asarray(second)
        same = one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
        return None if same else (where or "the value")
    return None if first == second or first is second else f"{where or 'the value'}: {first!r} and {second!r}"


def frozen(record: EpisodeRecord) -> str:
    """A record's content as text, to detect changes."""
    return json.dumps(record.to_json(), sort_keys=True, default=str)


def copied(value: Any) -> Any:
    """A deep copy."""
    return copy.deepcopy(value)


def twins() -> tuple[Any, ...]:
    """Give variants that look the same before the first zoom the same id: an id holds the variant's number."""
    return tuple(replace(task, id="checked") for task in variants())


def described(value: Any) -> str:
    """A value as an error message describes it: an array by its type, shape and range."""
    if isinstance(value, np.ndarray):
        around = f" from {value.min()} to {value.max()}" if value.size else ""
        return f"{value.dtype} {value.shape}{around}"
    return f"{type(value).__name__} {value!r:.60}"
