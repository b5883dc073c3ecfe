"""The exercises of perception pre-training: find the time of a color, name what happens on a frame, follow a card.

Frames come from a suite's own videos, and labels from their painters. The suite's questions are not used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import overview_times
from vzgym.core.errors import InvalidSetting
from vzgym.tasks import TaskSet, VideoTask
from vzgym.tasks.procedural.render.actors import Card
from vzgym.tasks.procedural.render.painter import Balloon, Flash, ScenePainter
from vzgym.tasks.procedural.render.palette import EVENT_COLORS, SCENE_HUES

__all__ = ["Exercise", "LabelledFrames", "sample_frames"]

LOOK_UP = "When?"
NAME = "What is there?"
SPOT = "What flashes?"
FOLLOW = "Which scene is on the card?"
NOTHING = "nothing"
_KINDS = ("passing", "lasting", "cards")


@dataclass(frozen=True)
class Exercise:
    """One question with its answer.

    Attributes:
        frames: Indices of labeled frames, shape `(n,)`.
        times: The frames' times in seconds, as shown.
        question: The question.
        answer: The right answer in pieces of text, each with whether it is a target of the loss (the rest is given).
        scenes: The hue of each frame's scene.
        events: The color of what happens on each frame, the hue on its card, or "nothing".
        overview: The number of frames that come with the question; the others are a clip, shown one turn later. None
            if all come with the question.
    """

    frames: NDArray[np.int64]
    times: tuple[int, ...]
    question: str
    answer: tuple[tuple[str, bool], ...]
    scenes: tuple[str, ...]
    events: tuple[str, ...]
    overview: int | None = None


@dataclass(frozen=True)
class LabelledFrames:
    """Frames with labels.

    Attributes:
        pixels: uint8, shape `(n, height, width, 3)`.
        plain: Indices of frames without an event, by scene hue.
        passing: Indices of frames with an event between two overview frames, by scene hue and event color.
        lasting: The same for events as long as their scene, which the overview shows.
        cards: Indices of frames with a card, by scene hue and the hue on the card.
        labels: For each frame, the hue of its scene, and the color of its event or the hue on its card, or None.
        grid: The overview's times in seconds.
        end: Last whole second of the videos.
        clip_frames: Largest number of frames of a clip.
    """

    pixels: NDArray[np.uint8]
    plain: dict[str, NDArray[np.int64]]
    passing: dict[tuple[str, str], NDArray[np.int64]]
    lasting: dict[tuple[str, str], NDArray[np.int64]]
    cards: dict[tuple[str, str], NDArray[np.int64]]
    labels: tuple[tuple[str, str | None], ...]
    grid: tuple[int, ...]
    end: int
    clip_frames: int

    @property
    def questions(self) -> tuple[str, ...]:
        """The exercises that these frames allow; look-ups come first."""
        return (LOOK_UP, *((NAME,) if self.lasting else ()), SPOT, *((FOLLOW,) if self.cards else ()))

    @property
    def texts(self) -> tuple[str, ...]:
        """The exercises' texts, for a tokenizer: each twice, since only repeated texts become tokens."""
        return (*self.questions, NOTHING) * 2

    def ask(self, question: str, rng: np.random.Generator) -> Exercise:
        """An exercise with one of the `questions`; an overview has the suite's number of frames."""
        if question == SPOT:
            return self.spot(rng)
        if question == FOLLOW:
            return self.follow(rng)
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
            cards = self._events_in(hue, self.cards)
            if cards and rng.random() < 0.5:
                self._insert(rng, frames, self.cards[hue, cards[int(rng.integers(len(cards)))]])
            return self._exercise(frames, times, SPOT, [(NOTHING, True)])
        self._insert(rng, frames, self.passing[hue, color])
        return self._exercise(frames, times, SPOT, [(color, True)])

    def follow(self, rng: np.random.Generator) -> Exercise:
        """An overview, then a clip of one of its scenes.

        The answer is the hue on the clip's card, and when the scene of that hue begins; "nothing" if there is no card.
        Then it gives the times of other scenes, in random order: a look-up after a clip is harder than one before it,
        and needs as many examples.
        """
        hues, times, frames = self._overview(rng, len(self.grid), self.plain)
        place = int(rng.integers(len(hues)))
        hue, last = hues[place], [*self.grid, self.end][self.grid.index(times[place]) + 1] - self.clip_frames
        start = int(rng.integers(times[place], max(times[place], last) + 1))
        clip = rng.choice(self.plain[hue], self.clip_frames)
        answer = [(NOTHING, True)]
        draw = rng.random()
        cards = [other for other in self._events_in(hue, self.cards) if other in hues]
        flashes = self._events_in(hue, self.passing)
        if cards and draw < 0.6:
            other = cards[int(rng.integers(len(cards)))]
            self._insert(rng, clip, self.cards[hue, other])
            answer = [(other, True), (str(times[hues.index(other)]), True)]
        elif flashes and draw < 0.8:
            self._insert(rng, clip, self.passing[hue, flashes[int(rng.integers(len(flashes)))]])
        asked = {piece for piece, _ in answer}
        for i in rng.permutation(len(hues)).tolist():
            if hues[i] not in asked:
                answer += [(hues[i], False), (str(times[i]), True)]
        shown = np.concatenate([frames, clip])
        row = self._exercise(shown, [*times, *range(start, start + self.clip_frames)], FOLLOW, answer)
        return replace(row, overview=len(hues))

    def _events_in(self, hue: str, pool: Mapping[tuple[str, str], NDArray[np.int64]]) -> list[str]:
        """What happens in scenes of a hue."""
        return [event for scene, event in pool if scene == hue]

    def _insert(self, rng: np.random.Generator, clip: NDArray[np.int64], pool: NDArray[np.int64]) -> None:
        """Replace one frame of a clip by one of a pool, in place."""
        place = int(rng.integers(self.clip_frames))
        clip[place] = rng.choice(pool)

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
        tasks: Procedural tasks whose events have a color, such as those of the needle and control families.
        videos: Number of videos.
        rng: Draws the times.

    Raises:
        InvalidSetting: If the videos are not procedural, show neither flashes nor balloons, or have overview times that
            are not whole seconds.
    """
    shots: list[NDArray[np.uint8]] = []
    plain: dict[str, list[int]] = defaultdict(list)
    pools: dict[str, dict[tuple[str, str], list[int]]] = {kind: defaultdict(list) for kind in _KINDS}
    seen: list[tuple[str, str | None]] = []
    size = tasks.budget.fit(tasks[0].video.height, tasks[0].video.width)
    for index in range(min(videos, len(tasks))):
        task = tasks[index]
        times, labels = _moments(task, rng)
        shots.append(task.video.read(times, size=size).pixels)
        for hue, event, kind in labels:
            if event is None:
                plain[hue].append(len(seen))
            else:
                pools[kind][hue, event].append(len(seen))
            seen.append((hue, event))
    if not pools["passing"] and not pools["lasting"]:
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
        **{
            kind: {pair: np.array(found, dtype=np.int64) for pair, found in sorted(pool.items())}
            for kind, pool in pools.items()
        },
        labels=tuple(seen),
        grid=tuple(int(time) for time in grid),
        end=end,
        clip_frames=min(tasks.budget.clip_frames, end + 1),
    )


def _moments(
    task: VideoTask, rng: np.random.Generator
) -> tuple[NDArray[np.float64], list[tuple[str, str | None, str]]]:
    """Times of frames; for each the scene's hue, the event's color or the card's hue, and the event's kind.

    The kind is one of `_KINDS`; "" where nothing happens.
    """
    painter = getattr(task.video, "painter", None)
    if not isinstance(painter, ScenePainter):
        raise InvalidSetting(f"the exercises need painted videos; task {task.id!r} has none")
    names = {rgb: name for name, rgb in (*EVENT_COLORS.items(), *SCENE_HUES.items())}
    actors = [actor for actor in painter.actors if isinstance(actor, (Flash, Balloon, Card))]
    ends = [*painter.cuts[1:], round(task.video.duration * painter.fps)]
    frames: list[int] = []
    for first, end in zip(painter.cuts, ends, strict=True):
        frames += [first, *rng.integers(first, end, 2).tolist()]
    for actor in actors:
        frames += rng.integers(actor.first, actor.last, 2).tolist()
    labels: list[tuple[str, str | None, str]] = []
    for frame in frames:
        place = int(np.searchsorted(painter.cuts, frame, side="right")) - 1
        shown = next((actor for actor in actors if actor.first <= frame < actor.last), None)
        hue = painter.scenes[place].hue
        if shown is None:
            labels.append((hue, None, ""))
            continue
        lasts = shown.first <= painter.cuts[place] and shown.last >= ends[place]
        kind = "cards" if isinstance(shown, Card) else "lasting" if lasts else "passing"
        labels.append((hue, names[shown.color], kind))
    # The middle of each frame's interval, so that rounding cannot select a neighbor.
    return (np.array(frames, dtype=np.float64) + 0.5) / painter.fps, labels
