"""The expert's memory of an episode, and its choice of the next step.

The expert sees what an agent sees: the question, the frames and their times. It knows two further things, which an
agent must learn: how long the event lasts, and at what frame rate it must be seen (`Hints`). Only for a family without
a search does it know the place, too.

Each `Step` contains an action and its reason, with facts for phrases (`vzgym.agents.data.phrases`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers import FrameReader, ReaderSpec, make_reader
from vzgym.core.actions import Answer, Zoom, frames_asked
from vzgym.core.budget import Budget
from vzgym.core.errors import TaskError
from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.tasks.procedural.family import Family, expert_zooms, family_of_question, family_of_task
from vzgym.tasks.procedural.pixels import crop_bars, scene_hues
from vzgym.tasks.procedural.search import Hints, Search, SearchState, Step, zoom_facts
from vzgym.tasks.task import VideoTask
from vzgym.video.synthetic import letterbox

__all__ = ["ROUND_FPS", "ExpertMemory", "hints_for"]

ROUND_FPS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0, 12.5, 15.0, 20.0, 25.0, 30.0)
"""Round frame rates, which the expert prefers."""
# Decoded frames may be farther apart than requested by one frame length.
_GAP_SLACK = 1.2


def hints_for(task: VideoTask, budget: Budget | None = None) -> Hints:
    """What the expert knows of a task: how long its event lasts (not where it is), and the frame rate that it needs.

    Args:
        task: The task.
        budget: The budget; without it there are no `zooms`.
    """
    seconds = max((span.duration for span in task.evidence), default=None) if task.evidence else None
    fps = task.requirements.min_fps or (1.0 / seconds if seconds else 1.0)
    family = family_of_task(task)
    zooms: tuple[Zoom, ...] = ()
    if budget is not None and (family is None or family.search is None):
        # Unknown evidence, or more than the budget can show: then there are no hints.
        with suppress(TaskError):
            zooms = expert_zooms(task, budget)
    return Hints(seconds, fps, zooms)


def _follow_hints(state: SearchState) -> Step | None:
    """For families without a search: the zooms of the hints, one after the other."""
    for zoom in state.hints.zooms:
        if Interval(zoom.start, zoom.end) not in state.windows:
            return Step(zoom, "oracle", {**state.facts(), **zoom_facts(zoom)})
    return None


_FOLLOW_HINTS = Search(_follow_hints)


class ExpertMemory:
    """The expert's memory of an episode (a `SearchState`).

    Args:
        question: The question.
        options: The choices, as text.
        duration: Length of the video in seconds.
        budget: The budget of the episode.
        hints: What the expert knows of the event.
        reader: Reads the answer from pixels; see `Baseline`.
        seed: Decides the order of a search that cannot cover everything, guesses and mistakes.
        family: The family whose search is used; if not given, the one that asks such questions.

    Attributes:
        zooms_left: Number of remaining zooms; updated by the caller.
    """

    def __init__(
        self,
        question: str,
        options: Sequence[str],
        duration: float,
        budget: Budget,
        hints: Hints,
        reader: ReaderSpec | None = None,
        seed: int = 0,
        family: type[Family[Any]] | None = None,
    ) -> None:
        self.question, self.options = question, tuple(options)
        self.duration, self.budget, self.hints = duration, budget, hints
        self.reader: FrameReader = make_reader(reader)
        self.rng = np.random.default_rng(seed)
        self.zooms_left = budget.max_zooms
        family = family or family_of_question(question)
        self.asked: tuple[str, ...] = family.scenes_asked(question) if family else ()
        self.scene = self.asked[0] if len(self.asked) == 1 else None
        self._search = (family and family.search) or _FOLLOW_HINTS
        self._order = int(self.rng.integers(1 << 31))
        self._frames: list[NDArray[np.uint8]] = []
        self._times: list[NDArray[np.float64]] = []
        self._hues: list[list[str | None]] = []
        self._shows_event: list[NDArray[np.bool_]] = []
        self._zooms: list[Interval] = []

    def see(self, frames: NDArray[np.uint8], times: NDArray[np.float64], window: Interval | None = None) -> None:
        """Add a clip.

        Args:
            frames: uint8, shape `(n, height, width, 3)`.
            times: Seconds, shape `(n,)`.
            window: The zoom's interval; None for the overview.
        """
        shown = crop_bars(frames)
        hues: list[str | None] = [None] * len(frames)
        event: NDArray[np.bool_] = np.zeros(len(frames), dtype=np.bool_)
        if shown.size:
            hues = scene_hues(shown)
            event = self._search.shows_event(shown)
        if self.asked:
            event &= np.array([hue in self.asked for hue in hues], dtype=np.bool_)
        self._frames.append(frames)
        self._times.append(np.asarray(times, dtype=np.float64))
        self._hues.append(hues)
        self._shows_event.append(event)
        if window is not None:
            self._zooms.append(window)

    def see_clip(self, clip: Clip) -> None:
        """Add a clip of an episode. A crop is fitted into frames of the first clip's size."""
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

    def event_times(self) -> NDArray[np.float64]:
        """Times of the frames that show the event in a scene asked about, sorted."""
        if not self._times:
            return np.empty(0)
        times: NDArray[np.float64] = np.sort(np.concatenate(self._times)[np.concatenate(self._shows_event)])
        return times

    def event_clips(self) -> Iterator[NDArray[np.uint8]]:
        """The frames that show the event, clip by clip: uint8, `(n, height, width, 3)`, n >= 1."""
        return (frames[event] for frames, event in zip(self._frames, self._shows_event, strict=True) if event.any())

    def scene_clips(self, hue: str | None) -> Iterator[NDArray[np.uint8]]:
        """The frames of a scene, clip by clip: uint8, `(n, height, width, 3)`, n >= 1."""
        for frames, hues in zip(self._frames, self._hues, strict=True):
            there = np.array([found == hue for found in hues], dtype=np.bool_)
            if there.any():
                yield frames[there]

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
        for fps in ROUND_FPS:
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
            # Not everything can be searched, so the order is random rather than always the same.
            order = np.random.default_rng(self._order).permutation(len(zooms))
            zooms = [zooms[i] for i in order]
        return zooms

    # Deciding ----------------------------------------------------------------------------------------------------

    def next(self) -> Step:
        """The next step of the family's search; the answer once it is done or no zoom is left.

        If the search needs fewer zooms than the budget requires before an answer, the expert looks where the question
        asks.
        """
        if self.zooms_left > 0:
            step = self._search.next_step(self)
            if step is not None:
                return step
            if len(self._zooms) < self.budget.min_zooms:
                return self._look_around()
        return self.answer()

    def answer(self) -> Step:
        """The reader's answer from all frames; a guess among the options if it finds none."""
        read = self._read()
        if read is None:
            return self.guess()
        reason = "seen" if self._zooms else "overview"
        facts = self.facts()
        if self._search.in_other_scenes:
            # The scene that the question names need not be the one that shows the answer.
            facts["scene"] = ""
        return Step(Answer(read), reason, {**facts, "answer": read})

    def guess(self) -> Step:
        """One of the options, uniformly; "unknown" for an open question."""
        text = self.options[int(self.rng.integers(len(self.options)))] if self.options else "unknown"
        return Step(Answer(text), "guess", {**self.facts(), "answer": text})

    def facts(self) -> dict[str, Any]:
        """What phrases may name of the place that is asked about."""
        where = self.span
        return {"scene": self.scene or "", "start": where.start, "end": where.end, "duration": self.duration}

    def _read(self) -> str | None:
        # Frames of other scenes are irrelevant to a question that names one: skip them for speed.
        kept_frames, kept_times = [], []
        for frames, times, hues in zip(self._frames, self._times, self._hues, strict=True):
            keep = [not self.asked or self._search.in_other_scenes or hue in self.asked for hue in hues]
            if any(keep):
                kept_frames.append(frames[keep])
                kept_times.append(times[keep])
        if not kept_frames:
            return None
        pixels = kept_frames[0] if len(kept_frames) == 1 else np.concatenate(kept_frames)
        return self.reader.read(pixels, np.concatenate(kept_times), self.question, self.options).option

    # Mistakes ----------------------------------------------------------------------------------------------------

    def wrong_scene(self) -> Step | None:
        """A zoom into a scene that is not asked about, a mistake; None if there is no such scene."""
        others = [(hue, where) for hue, where in self.scenes if hue != self.scene]
        if self.scene is None or not others or self.zooms_left == 0 or self.hints.seconds is None:
            return None
        hue, where = others[int(self.rng.integers(len(others)))]
        zoom = self.pieces(where, self.rate(self.hints.fps, where.duration, self.budget.max_zooms))[0]
        return self._mistake(zoom, "wrong_scene", other=hue)

    def too_coarse(self) -> Step | None:
        """A zoom over the right place that shows no more than the overview, a mistake; None if not possible."""
        if self.zooms_left == 0 or self.hints.seconds is None or not self._times or len(self._times[0]) < 2:
            return None
        step = float(np.diff(self._times[0]).min())
        fps = max(self.budget.min_fps, round(1.0 / step, 4))
        if fps * self.hints.seconds > 0.5:
            return None
        where = self.span
        # Only multiples of the overview's step repeat the overview's frames.
        zoom = self.zoom(where.start, where.end, fps)
        return None if zoom is None or zoom.num_frames < 2 else self._mistake(zoom, "too_coarse")

    def wide(self) -> Step | None:
        """A zoom over the whole place at the highest round rate of a clip, a mistake; None if it cannot miss the event.

        Its window covers the evidence, but its frames may not show it.
        """
        where = self.span
        most = self.budget.clip_frames / where.duration
        rates = [fps for fps in ROUND_FPS if self.budget.min_fps <= fps <= min(most, self.budget.max_fps)]
        if self.zooms_left == 0 or self.hints.seconds is None or not rates or rates[-1] * self.hints.seconds >= 1:
            return None
        zoom = self.zoom(where.start, where.end, rates[-1])
        return None if zoom is None else self._mistake(zoom, "wide")

    def needless(self) -> Step | None:
        """A zoom into the interval asked about although the overview shows it; None if it does not."""
        if self.zooms_left == 0 or self.next().reason != "overview":
            return None
        return self._look_around()

    def _look_around(self) -> Step:
        """A zoom into the interval asked about, which the search does not need; a further one shows its next part."""
        where = self.span
        pieces = self.pieces(where, self.rate(1.0, where.duration, self.budget.max_zooms))
        return self._mistake(pieces[len(self._zooms) % len(pieces)], "needless")

    def _mistake(self, zoom: Zoom, kind: str, **more: Any) -> Step:
        facts = {**self.facts(), **more, "from": zoom.start, "to": zoom.end, "fps": zoom.fps, "gap": 1.0 / zoom.fps}
        return Step(zoom, kind, facts)
