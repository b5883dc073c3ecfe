"""What the tiny model practises before it meets a question: to find a time for a colour, and a flash among frames.

Frames come from a suite's own videos, and their labels from the painters of those videos, so nothing is learned here
that the suite's pictures do not show. The suite's questions are never asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import overview_times
from vzgym.core.errors import InvalidSetting
from vzgym.tasks import TaskSet, VideoTask
from vzgym.tasks.painter import Balloon, Flash, ScenePainter
from vzgym.tasks.palette import EVENT_COLORS

__all__ = ["Album", "Exercise", "make_album"]

LOOK_UP = "When?"
SPOT = "What flashes?"
NOTHING = "nothing"


@dataclass(frozen=True)
class Exercise:
    """One question with its answer.

    Attributes:
        frames: Positions in the album, shape `(n,)`.
        times: The frames' times in seconds, as shown.
        question: What is asked.
        answer: The right answer, in pieces of text, each with whether it is to be learned (the rest is given).
        scenes: The hue of each frame's scene.
        events: The colour of what happens on each frame, or "nothing".
    """

    frames: NDArray[np.int64]
    times: tuple[int, ...]
    question: str
    answer: tuple[tuple[str, bool], ...]
    scenes: tuple[str, ...]
    events: tuple[str, ...]


@dataclass(frozen=True)
class Album:
    """Frames with labels.

    Attributes:
        pixels: uint8, shape `(n, height, width, 3)`.
        plain: By scene hue, positions of frames on which nothing happens.
        event: By scene hue and event colour, positions of frames that show the event.
        labels: Of each frame, the hue of its scene, and the colour of what happens on it or None.
        grid: The overview's times in seconds.
        clip_frames: Most frames of a clip.
    """

    pixels: NDArray[np.uint8]
    plain: dict[str, NDArray[np.int64]]
    event: dict[tuple[str, str], NDArray[np.int64]]
    labels: tuple[tuple[str, str | None], ...]
    grid: tuple[int, ...]
    clip_frames: int

    def look_up(self, rng: np.random.Generator, count: int) -> Exercise:
        """An overview of `count` scenes; asked for the time of each, in random order."""
        count = min(count, len(self.grid))
        hues = [list(self._seen)[i] for i in rng.permutation(len(self._seen))[:count]]
        times = [self.grid[i] for i in sorted(rng.choice(len(self.grid), count, replace=False).tolist())]
        frames = np.array([rng.choice(self._seen[hue]) for hue in hues], dtype=np.int64)
        answer: list[tuple[str, bool]] = []
        for i in rng.permutation(count).tolist():
            answer += [(hues[i], False), (str(times[i]), True)]
        return self._exercise(frames, times, LOOK_UP, answer)

    def spot(self, rng: np.random.Generator) -> Exercise:
        """A clip of one scene; asked for the colour of the event in it, if there is one."""
        pairs = list(self.event)
        hue, color = pairs[int(rng.integers(len(pairs)))]
        start = int(rng.integers(self.grid[-1] + self.clip_frames))
        times = tuple(range(start, start + self.clip_frames))
        if hue not in self.plain:
            # The event never pauses (as in the control family): every frame shows it.
            frames = rng.choice(self.event[hue, color], self.clip_frames)
            return self._exercise(frames, times, SPOT, [(color, True)])
        frames = rng.choice(self.plain[hue], self.clip_frames)
        if rng.random() < 0.4:
            return self._exercise(frames, times, SPOT, [(NOTHING, True)])
        place = int(rng.integers(self.clip_frames))
        frames[place] = rng.choice(self.event[hue, color])
        return self._exercise(frames, times, SPOT, [(color, True)])

    def _exercise(
        self, frames: NDArray[np.int64], times: Sequence[int], question: str, answer: Sequence[tuple[str, bool]]
    ) -> Exercise:
        scenes = tuple(self.labels[i][0] for i in frames.tolist())
        events = tuple(self.labels[i][1] or NOTHING for i in frames.tolist())
        return Exercise(frames, tuple(times), question, tuple(answer), scenes, events)

    @property
    def _seen(self) -> dict[str, NDArray[np.int64]]:
        """By hue, frames as an overview may show them."""
        if self.plain:
            return self.plain
        merged: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
        for (hue, _), frames in self.event.items():
            merged[hue].append(frames)
        return {hue: np.concatenate(frames) for hue, frames in merged.items()}


def make_album(tasks: TaskSet, videos: int, rng: np.random.Generator) -> Album:
    """Take labelled frames from the first videos of a set.

    Args:
        tasks: Procedural tasks whose events have a colour: the needle and control families.
        videos: How many videos.
        rng: Which moments are taken.

    Raises:
        InvalidSetting: If the tasks' videos are not painted, or their overview times are no whole seconds.
    """
    shots: list[NDArray[np.uint8]] = []
    plain: dict[str, list[int]] = defaultdict(list)
    event: dict[tuple[str, str], list[int]] = defaultdict(list)
    seen: list[tuple[str, str | None]] = []
    size = tasks.budget.fit(tasks[0].video.height, tasks[0].video.width)
    for index in range(min(videos, len(tasks))):
        task = tasks[index]
        times, labels = _moments(task, rng)
        shots.append(task.video.read(times, size=size).pixels)
        for hue, color in labels:
            if color is None:
                plain[hue].append(len(seen))
            else:
                event[hue, color].append(len(seen))
            seen.append((hue, color))
    grid = overview_times(tasks[0].video.duration, tasks.budget)
    if not np.array_equal(grid, np.rint(grid)):
        raise InvalidSetting(f"the exercises need an overview at whole seconds; {tasks.name!r} has {grid.tolist()}")
    return Album(
        pixels=np.concatenate(shots),
        plain={hue: np.array(found, dtype=np.int64) for hue, found in sorted(plain.items())},
        event={pair: np.array(found, dtype=np.int64) for pair, found in sorted(event.items())},
        labels=tuple(seen),
        grid=tuple(int(time) for time in grid),
        clip_frames=tasks.budget.clip_frames,
    )


def _moments(task: VideoTask, rng: np.random.Generator) -> tuple[NDArray[np.float64], list[tuple[str, str | None]]]:
    """Times to take frames at, and for each the scene's hue and the colour of what happens."""
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
    labels: list[tuple[str, str | None]] = []
    for frame in frames:
        scene = painter.scenes[int(np.searchsorted(painter.cuts, frame, side="right")) - 1]
        color = next((names[actor.color] for actor in actors if actor.first <= frame < actor.last), None)
        labels.append((scene.hue, color))
    # Half a frame later: the frame is surely the one that is shown.
    return (np.array(frames, dtype=np.float64) + 0.5) / painter.fps, labels
