"""The exercises of perception pre-training: find the time of a color, and name what happens on a frame.

Frames come from a suite's own videos, and labels from their painters. The suite's questions are not used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import overview_times
from vzgym.core.errors import InvalidSetting
from vzgym.tasks import TaskSet, VideoTask
from vzgym.tasks.procedural.render.painter import Balloon, Flash, ScenePainter
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

__all__ = ["Exercise", "LabelledFrames", "sample_frames"]

LOOK_UP = "When?"
NAME = "What is there?"
SPOT = "What flashes?"
NOTHING = "nothing"


@dataclass(frozen=True)
class Exercise:
    """One question with its answer.

    Attributes:
        frames: Indices of labeled frames, shape `(n,)`.
        times: The frames' times in seconds, as shown.
        question: The question.
        answer: The right answer in pieces of text, each with whether it is a target of the loss (the rest is given).
        scenes: The hue of each frame's scene.
        events: The color of what happens on each frame, or "nothing".
    """

    frames: NDArray[np.int64]
    times: tuple[int, ...]
    question: str
    answer: tuple[tuple[str, bool], ...]
    scenes: tuple[str, ...]
    events: tuple[str, ...]


@dataclass(frozen=True)
class LabelledFrames:
    """Frames with labels.

    Attributes:
        pixels: uint8, shape `(n, height, width, 3)`.
        plain: Indices of frames without an event, by scene hue.
        passing: Indices of frames with an event between two overview frames, by scene hue and event color.
        lasting: The same for events as long as their scene, which the overview shows.
        labels: For each frame, the hue of its scene and the color of its event, or None.
        grid: The overview's times in seconds.
        end: Last whole second of the videos.
        clip_frames: Largest number of frames of a clip.
    """

    pixels: NDArray[np.uint8]
    plain: dict[str, NDArray[np.int64]]
    passing: dict[tuple[str, str], NDArray[np.int64]]
    lasting: dict[tuple[str, str], NDArray[np.int64]]
    labels: tuple[tuple[str, str | None], ...]
    grid: tuple[int, ...]
    end: int
    clip_frames: int

    @property
    def questions(self) -> tuple[str, ...]:
        """The exercises that these frames allow; look-ups come first."""
        return (LOOK_UP, NAME, SPOT) if self.lasting else (LOOK_UP, SPOT)

    @property
    def texts(self) -> tuple[str, ...]:
        """The exercises' texts, for a tokenizer: each twice, since only repeated texts become tokens."""
        return (*self.questions, NOTHING) * 2

    def ask(self, question: str, rng: np.random.Generator) -> Exercise:
        """An exercise with one of the `questions`; an overview has the suite's number of frames."""
        if question == SPOT:
            return self.spot(rng)
        return self.name(rng, len(self.grid)) if question == NAME else self.look_up(rng, len(self.grid))

    def look_up(self, rng: np.random.Generator, count: int) -> Exercise:
        """An overview of `count` scenes; the answer gives the time of each, in random order."""
        # As in the suite's videos, all scenes have a lasting event or none has.
        pools = [pool for pool in (self.plain, self._lasting_by_hue) if pool]
        hues, times, frames = self._overview(rng, count, pools[int(rng.integers(2)) if len(pools) > 1 else 0])
        return self._ask_each(rng, hues, [str(time) for time in times], frames, times, LOOK_UP)

    def name(self, rng: np.random.Generator, count: int) -> Exercise:
        """An overview of `count` scenes; the answer gives the lasting event's color of each, in random order."""
        hues, times, frames = self._overview(rng, count, self._lasting_by_hue)
        return self._ask_each(rng, hues, [str(self.labels[i][1]) for i in frames.tolist()], frames, times, NAME)

    def spot(self, rng: np.random.Generator) -> Exercise:
        """A clip of one scene; the answer is the color of its event, or "nothing"."""
        pairs = [*self.passing, *self.lasting]
        hue, color = pairs[int(rng.integers(len(pairs)))]
        start = int(rng.integers(min(self.grid[-1] + self.clip_frames, self.end - self.clip_frames + 2)))
        times = tuple(range(start, start + self.clip_frames))
        if (hue, color) in self.lasting:
            # Every frame shows it.
            frames = rng.choice(self.lasting[hue, color], self.clip_frames)
            return self._exercise(frames, times, SPOT, [(color, True)])
        frames = rng.choice(self.plain[hue], self.clip_frames)
        if rng.random() < 0.4:
            return self._exercise(frames, times, SPOT, [(NOTHING, True)])
        place = int(rng.integers(self.clip_frames))
        frames[place] = rng.choice(self.passing[hue, color])
        return self._exercise(frames, times, SPOT, [(color, True)])

    def _overview(
        self, rng: np.random.Generator, count: int, pool: Mapping[str, NDArray[np.int64]]
    ) -> tuple[list[str], list[int], NDArray[np.int64]]:
        """Scenes in random order at increasing times: their hues, times in seconds, and frames."""
        count = min(count, len(self.grid), len(pool))
        hues = [list(pool)[i] for i in rng.permutation(len(pool))[:count]]
        times = [self.grid[i] for i in sorted(rng.choice(len(self.grid), count, replace=False).tolist())]
        return hues, times, np.array([rng.choice(pool[hue]) for hue in hues], dtype=np.int64)

    def _ask_each(
        self,
        rng: np.random.Generator,
        hues: Sequence[str],
        facts: Sequence[str],
        frames: NDArray[np.int64],
        times: Sequence[int],
        question: str,
    ) -> Exercise:
        """An exercise whose answer gives one fact about each scene of an overview, in random order."""
        answer: list[tuple[str, bool]] = []
        for i in rng.permutation(len(hues)).tolist():
            answer += [(hues[i], False), (facts[i], True)]
        return self._exercise(frames, times, question, answer)

    def _exercise(
        self, frames: NDArray[np.int64], times: Sequence[int], question: str, answer: Sequence[tuple[str, bool]]
    ) -> Exercise:
        scenes = tuple(self.labels[i][0] for i in frames.tolist())
        events = tuple(self.labels[i][1] or NOTHING for i in frames.tolist())
        return Exercise(frames, tuple(times), question, tuple(answer), scenes, events)

    @cached_property
    def _lasting_by_hue(self) -> dict[str, NDArray[np.int64]]:
        merged: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
        for (hue, _), frames in self.lasting.items():
            merged[hue].append(frames)
        return {hue: np.concatenate(frames) for hue, frames in sorted(merged.items())}


def sample_frames(tasks: TaskSet, videos: int, rng: np.random.Generator) -> LabelledFrames:
    """Sample labeled frames from the first videos of a set.

    Args:
        tasks: Procedural tasks whose events have a color: the needle and control families.
        videos: Number of videos.
        rng: Draws the times.

    Raises:
        InvalidSetting: If the videos are not procedural, show neither flashes nor balloons, or have overview times that
            are not whole seconds.
    """
    shots: list[NDArray[np.uint8]] = []
    plain: dict[str, list[int]] = defaultdict(list)
    passing: dict[tuple[str, str], list[int]] = defaultdict(list)
    lasting: dict[tuple[str, str], list[int]] = defaultdict(list)
    seen: list[tuple[str, str | None]] = []
    size = tasks.budget.fit(tasks[0].video.height, tasks[0].video.width)
    for index in range(min(videos, len(tasks))):
        task = tasks[index]
        times, labels = _moments(task, rng)
        shots.append(task.video.read(times, size=size).pixels)
        for hue, color, lasts in labels:
            if color is None:
                plain[hue].append(len(seen))
            else:
                (lasting if lasts else passing)[hue, color].append(len(seen))
            seen.append((hue, color))
    if not passing and not lasting:
        raise InvalidSetting(
            f"the exercises are about colored flashes and balloons: videos of {tasks.name!r} show neither. Pre-train "
            "on a suite that does (of the families needle, control, order, decoy or twohop)"
        )
    grid = overview_times(tasks[0].video.duration, tasks.budget)
    if not np.array_equal(grid, np.rint(grid)):
        raise InvalidSetting(f"the exercises need an overview at whole seconds; {tasks.name!r} has {grid.tolist()}")
    end = int(tasks[0].video.duration)
    return LabelledFrames(
        pixels=np.concatenate(shots),
        plain={hue: np.array(found, dtype=np.int64) for hue, found in sorted(plain.items())},
        passing={pair: np.array(found, dtype=np.int64) for pair, found in sorted(passing.items())},
        lasting={pair: np.array(found, dtype=np.int64) for pair, found in sorted(lasting.items())},
        labels=tuple(seen),
        grid=tuple(int(time) for time in grid),
        end=end,
        clip_frames=min(tasks.budget.clip_frames, end + 1),
    )


def _moments(
    task: VideoTask, rng: np.random.Generator
) -> tuple[NDArray[np.float64], list[tuple[str, str | None, bool]]]:
    """Times of frames; for each the scene's hue, the event's color, and whether the event fills the scene."""
    painter = getattr(task.video, "painter", None)
    if not isinstance(painter, ScenePainter):
        raise InvalidSetting(f"the exercises need painted videos; task {task.id!r} has none")
    names = {rgb: name for name, rgb in EVENT_COLORS.items()}
    actors = [actor for actor in painter.actors if isinstance(actor, (Flash, Balloon))]
    ends = [*painter.cuts[1:], round(task.video.duration * painter.fps)]
    frames: list[int] = []
    for first, end in zip(painter.cuts, ends, strict=True):
        frames += [first, *rng.integers(first, end, 2).tolist()]
    for actor in actors:
        frames += rng.integers(actor.first, actor.last, 2).tolist()
    labels: list[tuple[str, str | None, bool]] = []
    for frame in frames:
        place = int(np.searchsorted(painter.cuts, frame, side="right")) - 1
        shown = next((actor for actor in actors if actor.first <= frame < actor.last), None)
        lasts = shown is not None and shown.first <= painter.cuts[place] and shown.last >= ends[place]
        labels.append((painter.scenes[place].hue, None if shown is None else names[shown.color], lasts))
    # The middle of each frame's interval, so that rounding cannot select a neighbor.
    return (np.array(frames, dtype=np.float64) + 0.5) / painter.fps, labels
