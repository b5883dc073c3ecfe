"""The difficulty setting: how it changes the other settings, and the distractors that it adds to a video."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np

from vzgym.tasks.procedural.render.painter import Flash
from vzgym.tasks.procedural.render.shapes import SHAPES
from vzgym.tasks.procedural.timeline import MOST_NOISE, SceneSettings, Timeline

__all__ = ["apply_difficulty", "draw_distractors"]

S = TypeVar("S", bound=SceneSettings)

# The range of each setting for difficulties from 0 to 1, relative to the stated value.
_SHORTEST_VIDEO = 0.4
_LONGEST_EVENT = 1.6
_MOST_DISTRACTORS = 8
_NOISE = 8.0

_DIM = ((148, 148, 154), (26, 26, 32))
_EVENT = "event_seconds"
_DISTRACTOR_STREAM = 7  # separates their random numbers from the task's own


def apply_difficulty(settings: S) -> S:
    """Resolve a difficulty into concrete settings, with `difficulty` None; unchanged if it is None already.

    At 1 the video is as long and the event as short as stated. At 0 it has 40 % of the scenes, each as long as before,
    and the event lasts 160 %, at most what can hide in the shortest video. Distractors grow by up to 8, grain by up to
    8 levels. So the difficulty of the search (metadata `difficulty`) never falls as the setting rises.

    Raises:
        InvalidSetting: If the result cannot work; the message gives the numbers that clash.
    """
    difficulty = settings.difficulty
    if difficulty is None:
        return settings
    stated = replace(settings, difficulty=None)
    changes: dict[str, float | int] = {
        "distractors": stated.distractors + round(_MOST_DISTRACTORS * difficulty),
        "noise": min(MOST_NOISE, round(stated.noise + _NOISE * difficulty, 3)),
    }
    if difficulty < 1.0:
        shorter = _shortened(stated, _SHORTEST_VIDEO + (1 - _SHORTEST_VIDEO) * difficulty)
        changes |= {"duration": shorter.duration, "scenes": shorter.scenes}
        event = next((float(getattr(stated, field.name)) for field in fields(stated) if field.name == _EVENT), None)
        if event is not None:
            # An event that hides at every difficulty: it must not grow with the gaps of a longer video.
            longest = _shortened(stated, _SHORTEST_VIDEO).longest_event / stated.fps
            longer = event * (_LONGEST_EVENT + (1 - _LONGEST_EVENT) * difficulty)
            changes[_EVENT] = max(event, min(longer, longest))
    return replace(stated, **changes)  # type: ignore[arg-type]


def _shortened(stated: SceneSettings, share: float) -> SceneSettings:
    """The settings to change for a video with about `share` of the scenes."""
    scenes = max(stated.fewest_scenes, round(stated.scenes * share))
    duration = stated.duration
    # Whole steps of the overview, so that the last gap is long enough for an event.
    step = 1.0 / stated.budget.overview_fps
    if stated.scenes <= stated.fewest_scenes:
        scenes = stated.scenes
        duration = max(1, int(duration * share / step)) * step if step else duration * share
    elif scenes < stated.scenes:
        duration = scenes * duration / stated.scenes
        if step:
            # As many gaps per scene as before, or the next smaller number, for any number of scenes: the gaps of a
            # scene determine how long its search takes.
            least = stated.least_gaps if stated.even_scenes else math.ceil(stated.least_gaps / 0.6 - 1e-9)
            duration = scenes * max(least, int(stated.duration / stated.scenes / step + 1e-9)) * step
    return SceneSettings(
        budget=stated.budget,
        duration=min(duration, stated.duration),
        fps=stated.fps,
        scenes=min(scenes, stated.scenes),
        guard=stated.guard,
    )


def draw_distractors(seed: int, timeline: Timeline, settings: SceneSettings) -> tuple[Flash, ...]:
    """Dim shapes that flash for half a second each, anywhere in the video except on overview frames."""
    if settings.distractors == 0:
        return ()
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _DISTRACTOR_STREAM))))
    length = max(1, min(round(0.5 * settings.fps), settings.longest_event))
    gaps = [gap for scene in timeline.gaps for gap in scene]
    made = []
    for _ in range(settings.distractors):
        start = timeline.draw_start_in(rng, gaps, length)
        shape = tuple(SHAPES)[int(rng.integers(len(SHAPES)))]
        x, y, size = rng.random(3).tolist()
        radius = (0.06 + 0.08 * size) * min(1.0, settings.aspect)
        margin = radius + 0.08 * min(1.0, settings.aspect)
        made.append(
            Flash(
                start,
                start + length,
                shape,
                _DIM[int(rng.integers(len(_DIM)))],
                margin + x * (settings.aspect - 2 * margin),
                margin + y * (1.0 - 2 * margin),
                radius,
            )
        )
    return tuple(made)
