"""The difficulty setting: how it changes the other settings, and the distractors that it adds to a video."""

from __future__ import annotations

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
    """Settings that a difficulty stands for, with `difficulty` None; the same ones if it is None already.

    At 1 the video is as long and the event as short as stated; at 0 the video lasts 40 % of it, and the event 160 %
    (at most what the overview's gaps hide). Distractors grow by up to 8, grain by up to 8 levels. Scenes are left out
    where a shorter video has too few of the overview's gaps for them.

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
        share = _SHORTEST_VIDEO + (1 - _SHORTEST_VIDEO) * difficulty
        # Whole steps of the overview, so that no gap at the end is too short for an event.
        step = 1.0 / stated.budget.overview_fps
        seconds = stated.duration * share
        if 0 < step < seconds:
            seconds = min(round(seconds / step) * step, stated.duration)
        short = SceneSettings(budget=stated.budget, duration=seconds, fps=stated.fps, scenes=1)
        # A scene keeps as many gaps as it has in the stated video.
        fewest = 2 if stated.cue == "partial" else 1
        gaps = max(1, stated.least_gaps)
        scenes = max(
            fewest, min(stated.scenes, int(short.layout.num_gaps / (gaps if stated.even_scenes else gaps / 0.6)))
        )
        changes |= {"duration": short.duration, "scenes": scenes}
        event = next((float(getattr(stated, field.name)) for field in fields(stated) if field.name == _EVENT), None)
        if event is not None:
            longer = event * (_LONGEST_EVENT + (1 - _LONGEST_EVENT) * difficulty)
            guarded = replace(short, guard=stated.guard)
            changes[_EVENT] = max(min(longer, guarded.longest_event / stated.fps), min(event, longer))
    return replace(stated, **changes)  # type: ignore[arg-type]


def draw_distractors(seed: int, timeline: Timeline, settings: SceneSettings) -> tuple[Flash, ...]:
    """Dim shapes that flash up for half a second each, anywhere in the video but on overview frames."""
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
