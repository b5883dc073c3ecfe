"""Scripted experts: how a careful viewer searches, family by family. They are never told the answer.

An expert sees what an agent sees: the question, the frames and their times. It is told two further things, which an
agent must learn: how long the event that is asked about lasts, and how many frames a second it needs (`Hints`). Where
it lies the expert has to find out, and the answer it reads from the pixels (`vzgym.baselines.readers`). Only for a
family that has no search here is it told the place, too.

Each `Step` says what to do and why, in facts that can be put into words (`vzgym.baselines.thoughts`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.base import Baseline
from vzgym.baselines.policy import POLICIES
from vzgym.baselines.readers import AutoReader, FamilyReader, FrameReader
from vzgym.baselines.readers.anomaly import find_oddities
from vzgym.baselines.readers.decoy import find_discs
from vzgym.baselines.readers.look import bright_colors, near, picture, scene_hues
from vzgym.baselines.readers.twohop import find_card
from vzgym.core.actions import Answer, Zoom, frames_asked
from vzgym.core.budget import Budget
from vzgym.core.errors import TaskError
from vzgym.core.interval import Interval
from vzgym.core.registry import Registry
from vzgym.episode.clip import Clip
from vzgym.tasks import expert_zooms
from vzgym.tasks.palette import BALL, LAMP_LIT, LAMP_RING
from vzgym.tasks.task import VideoTask, option_letter
from vzgym.video.synthetic import letterbox

__all__ = [
    "NICE_FPS",
    "SEARCHES",
    "Expert",
    "Hints",
    "Search",
    "Step",
    "Viewer",
    "find_all",
    "find_burst",
    "find_flash",
    "find_two",
    "follow_hints",
    "look_once",
]

NICE_FPS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0, 12.5, 15.0, 20.0, 25.0, 30.0)
"""Rates that a person would choose; any other only where none of these fits."""
# Frames are those decoded: their distance may exceed the one asked for by a frame's length.
_GAP_SLACK = 1.2
_LEAST_AREA = 0.004


@dataclass(frozen=True, slots=True)
class Hints:
    """What an expert is told of an event, and an agent must learn.

    Args:
        seconds: How long it lasts; None if unknown, or if there is none.
        fps: Frames a second that it needs.
        zooms: For tasks of a family without a search alone: zooms that show the evidence, where it is known.
    """

    seconds: float | None = None
    fps: float = 1.0
    zooms: tuple[Zoom, ...] = ()

    @classmethod
    def of(cls, task: VideoTask, budget: Budget | None = None) -> Hints:
        """From a task's evidence (its length, not its place) and `metadata["needed_fps"]`.

        Args:
            task: The task.
            budget: What may be looked at; without it there are no `zooms`.
        """
        seconds = max((span.duration for span in task.evidence), default=None) if task.evidence else None
        needed = task.metadata.get("needed_fps")
        fps = float(needed) if isinstance(needed, (int, float)) else (1.0 / seconds if seconds else 1.0)
        zooms: tuple[Zoom, ...] = ()
        if budget is not None and task.metadata.get("family") not in SEARCHES:
            # Unknown evidence, or more than the budget can show: then there is nothing to be told.
            with suppress(TaskError):
                zooms = expert_zooms(task, budget)
        return cls(seconds, fps, zooms)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, and why.

    Attributes:
        action: The zoom or the answer.
        reason: A key of the phrase books in `vzgym.baselines.thoughts`.
        facts: What the phrase may name: `scene`, `start`, `end`, `fps`, `answer`, ...
    """

    action: Zoom | Answer
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Viewer:
    """What one episode has shown so far, as an expert remembers it.

    Args:
        question: The question.
        options: The choices, as text.
        duration: Length of the video in seconds.
        budget: What may be looked at.
        hints: What the expert is told.
        reader: Reads the answer from pixels.
        seed: Decides the order of a search that cannot cover everything, guesses and mistakes.

    Attributes:
        zooms_left: Zooms that may still be made; the caller keeps it up to date.
    """

    def __init__(
        self,
        question: str,
        options: Sequence[str],
        duration: float,
        budget: Budget,
        hints: Hints,
        reader: FrameReader | None = None,
        seed: int = 0,
    ) -> None:
        self.question, self.options = question, tuple(options)
        self.duration, self.budget, self.hints = duration, budget, hints
        self.reader: FrameReader = reader or _READER
        self.rng = np.random.default_rng(seed)
        self.zooms_left = budget.max_zooms
        family: FamilyReader | None = _READER.reader_for(question)
        self.family = family.family if family else None
        self.scene = family.scene_asked(question) if family else None
        self.asked: tuple[str, ...] = family.scenes_asked(question) if family else ()
        self._order = int(self.rng.integers(1 << 31))
        self._frames: list[NDArray[np.uint8]] = []
        self._times: list[NDArray[np.float64]] = []
        self._hues: list[list[str | None]] = []
        self._marked: list[NDArray[np.bool_]] = []
        self._zooms: list[Interval] = []

    def see(self, frames: NDArray[np.uint8], times: NDArray[np.float64], window: Interval | None = None) -> None:
        """Take in a clip.

        Args:
            frames: uint8, shape `(n, height, width, 3)`.
            times: Seconds, shape `(n,)`.
            window: The zoom's interval; None for the overview.
        """
        shown = picture(frames)
        hues: list[str | None] = [None] * len(frames)
        marks: NDArray[np.bool_] = np.zeros(len(frames), dtype=np.bool_)
        if shown.size:
            hues = scene_hues(shown)
            marks = _MARKS.get(self.family or "", _nothing)(shown)
        if self.asked:
            marks &= np.array([hue in self.asked for hue in hues], dtype=np.bool_)
        self._frames.append(frames)
        self._times.append(np.asarray(times, dtype=np.float64))
        self._hues.append(hues)
        self._marked.append(marks)
        if window is not None:
            self._zooms.append(window)

    def see_clip(self, clip: Clip) -> None:
        """Take in a clip of an episode. One of a part of the picture is fitted into frames as large as the first."""
        if clip.pixels is None:
            return
        pixels = clip.pixels
        if self._frames and pixels.shape[1:] != self._frames[0].shape[1:]:
            height, width = self._frames[0].shape[1:3]
            pixels = letterbox(pixels, (height, width))
        self.see(pixels, clip.times, clip.window)

    # What is known -----------------------------------------------------------------------------------------------

    @property
    def scenes(self) -> list[tuple[str, Interval]]:
        """The overview's scenes in order: hue, and from its first frame to the next scene's first."""
        if not self._times:
            return []
        times, hues = self._times[0], self._hues[0]
        firsts = [i for i, hue in enumerate(hues) if hue is not None and (i == 0 or hues[i - 1] != hue)]
        found = []
        for place, first in enumerate(firsts):
            end = float(times[firsts[place + 1]]) if place + 1 < len(firsts) else self.duration
            if end > times[first]:
                found.append((str(hues[first]), Interval(float(times[first]), end)))
        return found

    @property
    def span(self) -> Interval:
        """Where the event can lie: the scene that the question names, else the whole video."""
        for hue, where in self.scenes:
            if hue == self.scene:
                return where
        return Interval(0.0, self.duration)

    @property
    def spans(self) -> list[Interval]:
        """The same where the question names two scenes: both of them, in order of time."""
        found = [where for hue, where in self.scenes if hue in self.asked]
        return found if len(self.asked) > 1 and found else [self.span]

    @property
    def windows(self) -> list[Interval]:
        """The zooms made so far."""
        return list(self._zooms)

    def seen(self, where: Interval) -> NDArray[np.float64]:
        """Times of all frames seen in an interval, sorted."""
        times = np.unique(np.concatenate(self._times)) if self._times else np.empty(0)
        inside: NDArray[np.float64] = times[(times >= where.start - 1e-9) & (times < where.end)]
        return inside

    def marked(self) -> NDArray[np.float64]:
        """Times of the frames that show the event, sorted."""
        if not self._times:
            return np.empty(0)
        times: NDArray[np.float64] = np.sort(np.concatenate(self._times)[np.concatenate(self._marked)])
        return times

    def card(self) -> str | None:
        """The hue on the card that a marked frame shows (two-hop tasks)."""
        for frames, marks in zip(self._frames, self._marked, strict=True):
            found = find_card(picture(frames[marks])) if marks.any() else []
            if found:
                return found[0]
        return None

    def flashed(self, scene: str | None) -> bool:
        """Whether a frame of a scene shows a bright colour."""
        for frames, hues in zip(self._frames, self._hues, strict=True):
            there = np.array([hue == scene for hue in hues], dtype=np.bool_)
            if there.any() and _bright(picture(frames[there])).any():
                return True
        return False

    def gap(self, where: Interval, seconds: float) -> Interval | None:
        """The first stretch of an interval in which something of this length could hide from all frames seen."""
        places = [where.start, *self.seen(where).tolist(), where.end]
        for before, after in pairwise(places):
            if after - before > seconds * _GAP_SLACK + 1e-6:
                return Interval(before, after)
        return None

    # Making zooms ------------------------------------------------------------------------------------------------

    def rate(self, least: float, seconds: float, zooms: int) -> float:
        """A frame rate of at least `least`: a round number, unless `zooms` clips at it could not cover `seconds`."""
        budget = self.budget
        least = min(max(least, budget.min_fps), budget.max_fps)
        reach = budget.clip_frames * max(1, zooms)
        for fps in NICE_FPS:
            if least - 1e-6 <= fps <= budget.max_fps and seconds * fps <= reach + 1e-6:
                return fps
        return least

    def zoom(self, start: float, end: float, fps: float) -> Zoom | None:
        """A zoom that the episode will carry out: inside the video, at most a clip long; None if nothing is left."""
        start = math.floor(max(0.0, start) * 100 + 1e-6) / 100
        end = math.floor(min(end, self.duration, start + self.budget.clip_frames / fps) * 100 + 1e-6) / 100
        while end > start and frames_asked(end - start, fps) > self.budget.clip_frames:
            end = round(end - 0.01, 2)
        return Zoom(start, end, fps) if end > start else None

    def pieces(self, where: Interval, fps: float) -> list[Zoom]:
        """Full clips that cover an interval one after the other."""
        reach = self.budget.clip_frames / fps
        count = max(1, math.ceil(where.duration / reach - 1e-6))
        starts = [where.start + i * reach for i in range(count)]
        made = [self.zoom(start, min(start + reach, where.end), fps) for start in starts]
        zooms = [zoom for zoom in made if zoom is not None]
        if len(zooms) > self.budget.max_zooms:
            # Not all can be searched: any order is as good, and always the same one would be no search at all.
            order = np.random.default_rng(self._order).permutation(len(zooms))
            zooms = [zooms[i] for i in order]
        return zooms

    # Deciding ----------------------------------------------------------------------------------------------------

    def next(self) -> Step:
        """The next step of the family's search; the answer once it is done, or no zoom is left."""
        if self.zooms_left > 0:
            search = SEARCHES.get(self.family) if self.family is not None and self.family in SEARCHES else follow_hints
            step = search(self)
            if step is not None:
                return step
        return self.answer()

    def answer(self) -> Step:
        """What the reader reads from all frames seen; a guess among the options where it reads nothing."""
        read = self._read()
        if read is None:
            return self.guess()
        reason = "seen" if self._zooms else "overview"
        return Step(Answer(read), reason, {**self.facts(), "answer": read})

    def guess(self) -> Step:
        """One of the options, uniformly; an empty-handed answer to an open question."""
        text = self.options[int(self.rng.integers(len(self.options)))] if self.options else "unknown"
        return Step(Answer(text), "guess", {**self.facts(), "answer": text})

    def facts(self) -> dict[str, Any]:
        """What phrases may name of the place that is asked about."""
        where = self.span
        return {"scene": self.scene or "", "start": where.start, "end": where.end, "duration": self.duration}

    def _read(self) -> str | None:
        # Frames of other scenes cannot matter to a question that names one: leave them out, for speed.
        kept_frames, kept_times = [], []
        for frames, times, hues in zip(self._frames, self._times, self._hues, strict=True):
            keep = [not self.asked or self.family in _ELSEWHERE or hue in self.asked for hue in hues]
            if any(keep):
                kept_frames.append(frames[keep])
                kept_times.append(times[keep])
        if not kept_frames:
            return None
        pixels = kept_frames[0] if len(kept_frames) == 1 else np.concatenate(kept_frames)
        return self.reader.read(pixels, np.concatenate(kept_times), self.question, self.options).option

    # Mistakes ----------------------------------------------------------------------------------------------------

    def wrong_scene(self) -> Step | None:
        """A zoom into a scene that is not asked about, as a careless viewer makes it; None where there is none."""
        others = [(hue, where) for hue, where in self.scenes if hue != self.scene]
        if self.scene is None or not others or self.zooms_left == 0 or self.hints.seconds is None:
            return None
        hue, where = others[int(self.rng.integers(len(others)))]
        zoom = self.pieces(where, self.rate(self.hints.fps, where.duration, self.budget.max_zooms))[0]
        return self._mistake(zoom, "wrong_scene", other=hue)

    def too_coarse(self) -> Step | None:
        """A zoom over the right place that shows no more than the overview did; None where there is none."""
        if self.zooms_left == 0 or self.hints.seconds is None or not self._times or len(self._times[0]) < 2:
            return None
        step = float(np.diff(self._times[0]).min())
        fps = max(self.budget.min_fps, round(1.0 / step, 4))
        if fps * self.hints.seconds > 0.5:
            return None
        where = self.span
        # Only a whole number of the overview's own steps repeats the overview's own frames.
        zoom = self.zoom(where.start, where.end, fps)
        return None if zoom is None or zoom.num_frames < 2 else self._mistake(zoom, "too_coarse")

    def _mistake(self, zoom: Zoom, kind: str, **more: Any) -> Step:
        facts = {**self.facts(), **more, "from": zoom.start, "to": zoom.end, "fps": zoom.fps, "gap": 1.0 / zoom.fps}
        return Step(zoom, kind, facts)


Search: TypeAlias = Callable[[Viewer], Step | None]
"""One family's search: the next zoom, or None when nothing is left to look for. All it needs is in the viewer."""

SEARCHES: Registry[Step | None] = Registry("expert search", "vzgym.searches")
"""Searches by the name of their family; `SEARCHES.get(name)` is the `Search`."""


def look_once(viewer: Viewer) -> Step | None:
    """The overview shows it: no zoom."""
    return None


def follow_hints(viewer: Viewer) -> Step | None:
    """For families without a search: the zooms that the hints hold, one after the other."""
    for zoom in viewer.hints.zooms:
        if Interval(zoom.start, zoom.end) not in viewer.windows:
            return Step(zoom, "oracle", {**viewer.facts(), **_window(zoom)})
    return None


def find_flash(viewer: Viewer) -> Step | None:
    """Search the place named by the question, window by window, until the event has been seen once."""
    if len(viewer.marked()):
        return None
    return _search(viewer, viewer.spans, viewer.zooms_left)


def find_all(viewer: Viewer) -> Step | None:
    """Search the place named by the question to its end: there are several events to be seen."""
    return _search(viewer, viewer.spans, viewer.zooms_left)


def find_two(viewer: Viewer) -> Step | None:
    """Search for a card, then the scene of its hue for a flash."""
    spare = max(1, (viewer.zooms_left + 1) // 2)
    if len(viewer.marked()) == 0:
        return _search(viewer, viewer.spans, spare)
    goal = viewer.card()
    there = [where for hue, where in viewer.scenes if hue == goal]
    if not there or viewer.flashed(goal):
        return None
    return _search(viewer, there[:1], viewer.zooms_left)


def _search(viewer: Viewer, spans: Sequence[Interval], zooms: int) -> Step | None:
    """The next window of a search in several places, at the rate that cannot miss the event."""
    seconds = viewer.hints.seconds or 1.0 / viewer.hints.fps
    fps = viewer.rate(1.0 / seconds, math.fsum(where.duration for where in spans), zooms)
    for where in spans:
        step = _next_piece(viewer, where, fps, seconds)
        if step is not None:
            return step
    return None


def find_burst(viewer: Viewer) -> Step | None:
    """Search coarsely until one frame shows the burst, then look at all of it, at the rate that it needs."""
    seconds = viewer.hints.seconds or 1.0 / viewer.hints.fps
    marked = viewer.marked()
    if len(marked) == 0:
        # The finer look still to come needs a clip or two.
        return _search(viewer, viewer.spans, max(1, viewer.zooms_left - 2))
    where = next((span for span in viewer.spans if float(marked[0]) in span), viewer.span)
    first, last = float(marked[0]), float(marked[-1])
    seen = viewer.seen(where)
    before, after = seen[seen < first], seen[seen > last]
    start = max(float(before[-1]) if len(before) else where.start, last - seconds)
    end = min(float(after[0]) if len(after) else where.end, first + seconds)
    if end <= start:
        return None
    hidden = viewer.gap(Interval(start, end), 1.0 / viewer.hints.fps)
    if hidden is None:
        return None
    fps = viewer.rate(viewer.hints.fps, end - hidden.start, viewer.zooms_left)
    zoom = viewer.zoom(hidden.start, end, fps)
    if zoom is None:
        return None
    return Step(zoom, "closer", {**viewer.facts(), **_window(zoom), "at": first})


def _next_piece(viewer: Viewer, where: Interval, fps: float, seconds: float) -> Step | None:
    """The first window of a search in which something so long could still hide."""
    for zoom in viewer.pieces(where, fps):
        if viewer.gap(Interval(zoom.start, zoom.end), seconds) is not None:
            again = any(window.start < where.end and window.end > where.start for window in viewer.windows)
            return Step(zoom, "look_on" if again else "look", {**viewer.facts(), **_window(zoom)})
    return None


def _window(zoom: Zoom) -> dict[str, float]:
    return {"from": zoom.start, "to": zoom.end, "fps": zoom.fps}


SEARCHES.register("needle", find_flash)
SEARCHES.register("count", find_burst)
SEARCHES.register("control", look_once)
SEARCHES.register("order", find_all)
SEARCHES.register("state", find_flash)
SEARCHES.register("anomaly", find_flash)
SEARCHES.register("direction", find_burst)
SEARCHES.register("speed", find_burst)
SEARCHES.register("twohop", find_two)
SEARCHES.register("decoy", find_flash)


# What marks a frame of an event, family by family: bool, shape (n,). ---------------------------------------------


def _bright(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((bright_colors(frames) >= _LEAST_AREA).any(axis=1), dtype=np.bool_)


def _lamp(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(near(frames, LAMP_RING, 52) + near(frames, LAMP_LIT, 52) >= _LEAST_AREA, dtype=np.bool_)


def _nothing(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.zeros(len(frames), dtype=bool)


def _ball(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(near(frames, BALL, 48) >= 0.0015, dtype=np.bool_)


def _odd(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.array([oddity is not None for oddity in find_oddities(frames)], dtype=np.bool_)


def _card(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.array([hue is not None for hue in find_card(frames)], dtype=np.bool_)


def _full(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((find_discs(frames) > 0).any(axis=1), dtype=np.bool_)


_MARKS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.bool_]]] = {
    "needle": _bright,
    "count": _lamp,
    "order": _bright,
    "state": _ball,
    "anomaly": _odd,
    "direction": _bright,
    "speed": _bright,
    "twohop": _card,
    "decoy": _full,
}
# Families whose answer lies in another scene than the one asked about.
_ELSEWHERE = ("twohop",)
_READER = AutoReader()


class Expert(Baseline):
    """Searches as a careful viewer would, then reads the answer from the pixels.

    The ceiling that learners are measured against: it must find the place by itself, as they must. Privileged in one
    thing: it is told how long the event lasts and at what rate it must be seen (`Hints`); never the answer, nor, in a
    family that has a search (`SEARCHES`), where it lies.
    """

    name: ClassVar[str] = "expert"

    def __init__(self, reader: FrameReader | None = None) -> None:
        super().__init__(reader)
        self._hints = Hints()

    def reveal(self, task: VideoTask) -> None:
        """Be told the task; only its `Hints` are used."""
        self._hints = Hints.of(task, self.budget)

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        super().reset(seed)
        self._seed = seed
        self._viewer: Viewer | None = None
        self._taken = 0
        self._asked: Zoom | None = None

    def act(self, observation: Any, info: dict[str, Any]) -> Zoom | Answer:
        """The search's next zoom; the answer once it is done."""
        if self._viewer is None:
            self._viewer = Viewer(
                info["question"], info["options"], info["duration"], self.budget, self._hints, self.reader, self._seed
            )
        count = int(observation["num_frames"])
        window = Interval(self._asked.start, self._asked.end) if self._asked else None
        if count > self._taken or window is None:
            fresh = slice(self._taken, count)
            self._viewer.see(observation["frames"][fresh], observation["frame_times"][fresh], window)
        self._taken = count
        self._viewer.zooms_left = int(observation["budget_left"][0])
        action = self._viewer.next().action
        self._asked = action if isinstance(action, Zoom) else None
        if isinstance(action, Answer) and action.text in self._viewer.options:
            return Answer(option_letter(self._viewer.options.index(action.text)))
        return action


POLICIES.register(Expert.name, Expert)
