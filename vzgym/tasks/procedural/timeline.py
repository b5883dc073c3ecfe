"""Common parts of procedural families: settings, gaps of the overview, scenes, and event positions.

An event is shorter than the distance D between two overview frames and lies strictly between them, so that the overview
never shows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.procedural.render.palette import SCENE_HUES
from vzgym.tasks.procedural.render.scenery import SceneSpec, make_scene
from vzgym.video.base import FRAME_SLACK

__all__ = ["CUES", "MOST_NOISE", "Layout", "SceneSettings", "Timeline", "draw_timeline", "stream"]

CUES = ("visible", "partial", "none")
"""The number of scenes that the question names: one, two or none."""

MOST_NOISE = 12.0
"""Largest amplitude of film grain; beyond it, scene pixels could be as bright as event pixels."""


@dataclass(frozen=True)
class SceneSettings:
    """Settings of every family.

    Args:
        budget: Budget that the task is built for; its overview determines where events can hide.
        duration: Seconds; rounded to whole frames.
        fps: Frames per second.
        height: Native rows of pixels, even.
        width: Native columns of pixels, even.
        scenes: Number of scenes, each of a different hue.
        even_scenes: Whether all scenes are equally long; otherwise lengths are random (at least 60 % of the mean).
        cue: One of `CUES`. "visible": an event in every scene, and the question names the scene by its hue.
            "partial": the question names two scenes, and only one of them has an event. "none": one event in the
            whole video, and no hint.
        question: Name of the family's group of wordings (`Family.wordings`); "" for the group of the cue.
        wordings: Number of wordings of the group in use, >= 1.
        guard: Free frames between an event and an overview frame.
        open: Whether the question has no options. The possible answers and their balance stay the same.
        distractors: Number of irrelevant dim shapes that flash, also between overview frames.
        noise: Amplitude of film grain, 0 to 12 of 255.
        narrated: Whether the tasks have subtitles: a line at the start of each scene, and one while each event is to be
            seen. They say where to look, not what is seen there.
        difficulty: None uses the settings unchanged. A number in [0, 1] adjusts them: see
            `vzgym.tasks.procedural.difficulty`.

    Raises:
        InvalidSetting: If values clash; the message gives the numbers.
    """

    budget: Budget = field(default_factory=Budget)
    duration: float = 189.0
    fps: float = 25.0
    height: int = 144
    width: int = 256
    scenes: int = 7
    even_scenes: bool = False
    cue: str = "visible"
    question: str = ""
    wordings: int = 3
    guard: int = 1
    open: bool = False
    distractors: int = 0
    noise: float = 0.0
    narrated: bool = False
    difficulty: float | None = None

    def __post_init__(self) -> None:
        need = self.need
        need(math.isfinite(self.duration) and self.duration > 0, "duration", "finite and > 0 seconds")
        need(math.isfinite(self.fps) and self.fps > 0, "fps", "finite and > 0")
        for name in ("height", "width"):
            need(getattr(self, name) >= 16 and getattr(self, name) % 2 == 0, name, "even and >= 16 pixels")
        need(1 <= self.scenes <= len(SCENE_HUES), "scenes", f"1 to {len(SCENE_HUES)} (one for each hue)")
        need(self.cue in CUES, "cue", f"one of {', '.join(CUES)}")
        need(isinstance(self.question, str), "question", "a text")
        need(self.wordings >= 1, "wordings", ">= 1")
        need(self.guard >= 0, "guard", ">= 0")
        need(isinstance(self.open, bool), "open", "True or False")
        need(isinstance(self.narrated, bool), "narrated", "True or False")
        need(self.distractors >= 0, "distractors", ">= 0")
        need(0 <= self.noise <= MOST_NOISE, "noise", f"0 to {MOST_NOISE:g}")
        need(self.difficulty is None or 0 <= self.difficulty <= 1, "difficulty", "None or in [0, 1]")
        if self.cue == "partial" and self.scenes < 2:
            raise InvalidSetting(f"cue 'partial' names two scenes, but there are {self.scenes}")
        gaps = self.layout.num_gaps
        if self.scenes > gaps:
            raise InvalidSetting(
                f"{self.scenes} scenes do not fit: the overview of {self.duration} s has {len(self.layout.grid)} "
                f"frames, hence {gaps} gaps, and each scene needs one"
            )

    def need(self, ok: bool, name: str, rule: str) -> None:
        """Check a setting.

        Args:
            ok: Whether it is valid.
            name: Its name.
            rule: What it must be, for the message.

        Raises:
            InvalidSetting: If it is not valid; names the setting, the rule and the value.
        """
        if not ok:
            raise InvalidSetting(f"{type(self).__name__}.{name} must be {rule}, got {getattr(self, name)!r}")

    @property
    def layout(self) -> Layout:
        """The video's frames and the overview's gaps."""
        return _layout(self.budget, self.duration, self.fps)

    @property
    def aspect(self) -> float:
        """Width in units of height."""
        return self.width / self.height

    def interval(self, first: int, last: int) -> Interval:
        """Frames `first` to `last - 1` as an interval of time."""
        return Interval(first / self.fps, last / self.fps)

    @property
    def fewest_scenes(self) -> int:
        """Smallest number of scenes for this cue."""
        return 2 if self.cue == "partial" else 1

    @property
    def least_gaps(self) -> int:
        """Smallest number of overview gaps per scene."""
        gaps = self.layout.num_gaps
        return gaps // self.scenes if self.even_scenes else max(1, int(0.6 * gaps / self.scenes))

    @property
    def longest_event(self) -> int:
        """Longest event in frames that fits strictly between any two overview frames."""
        return min(end - start for start, end in self.layout.gaps) - 1 - 2 * self.guard

    def needs_gaps(self, gaps: int, what: str) -> None:
        """Check that every scene has at least this many overview gaps, one for each event.

        Raises:
            InvalidSetting: If not; the message gives the numbers that clash.
        """
        if self.least_gaps < gaps:
            raise InvalidSetting(
                f"{what} in each of {self.scenes} scenes need {gaps} gaps of the overview a scene, but its "
                f"{len(self.layout.grid)} frames leave a scene as few as {self.least_gaps}"
            )

    def needs_zooms(self, zooms: int, what: str) -> None:
        """Check that the budget has at least this many zooms.

        Raises:
            InvalidSetting: If not; the message gives the numbers that clash.
        """
        if zooms > self.budget.max_zooms:
            raise InvalidSetting(f"{what} need {zooms} zooms, but the budget has {self.budget.max_zooms}")

    def event_frames(self, seconds: float) -> int:
        """Convert an event's length to whole frames, and check that it fits strictly between two overview frames.

        Raises:
            InvalidSetting: If it does not; the message gives the numbers that clash.
        """
        frames = round(seconds * self.fps)
        layout = self.layout
        if frames < 1:
            raise InvalidSetting(f"an event of {seconds} s is shorter than a frame at {self.fps} fps")
        room = self.longest_event
        if frames > room:
            raise InvalidSetting(
                f"an event of {seconds} s ({frames} frames at {self.fps} fps) cannot hide from the overview: its "
                f"{len(layout.grid)} frames over {layout.num_frames / self.fps} s leave gaps of {room} free frames"
            )
        return frames

    def needs_rate(self, fps: float, seconds: float) -> None:
        """Check that the budget can show `seconds` of evidence at `fps`.

        Raises:
            InvalidSetting: If it cannot; the message gives the numbers that clash.
        """
        budget = self.budget
        if fps > min(budget.max_fps, self.fps) + 1e-9:
            raise InvalidSetting(
                f"the evidence needs {fps:.3f} fps, but a zoom gives at most {budget.max_fps} and the video has "
                f"{self.fps}"
            )
        asked, most = math.ceil(seconds * fps - 1e-6), budget.clip_frames * budget.max_zooms
        if asked > most:
            raise InvalidSetting(
                f"{seconds} s of evidence at {fps:.3f} fps need {asked} frames, but the budget's {budget.max_zooms} "
                f"zooms of {budget.clip_frames} frames show {most}"
            )


@dataclass(frozen=True, slots=True)
class Layout:
    """A video's frames and the overview's gaps.

    Attributes:
        num_frames: Frames of the video.
        grid: Overview times in seconds.
        gaps: For each gap, the overview frame at its start and the next overview frame (or the end of the
            video).
    """

    num_frames: int
    grid: tuple[float, ...]
    gaps: tuple[tuple[int, int], ...]

    @property
    def num_gaps(self) -> int:
        """Number of gaps."""
        return len(self.gaps)


@cache
def _layout(budget: Budget, duration: float, fps: float) -> Layout:
    num_frames = max(1, round(duration * fps))
    grid = overview_times(num_frames / fps, budget)
    if len(grid) < 2:
        raise InvalidSetting(
            f"a procedural task needs an overview of at least 2 frames, but {budget.overview_frames} frames at "
            f"{budget.overview_fps} fps give {len(grid)} of {duration} s"
        )
    shown = np.minimum(np.floor((grid + FRAME_SLACK) * fps).astype(np.int64), num_frames - 1)
    bounds = np.unique(shown).tolist()
    if bounds[-1] < num_frames - 1:
        bounds.append(num_frames)
    return Layout(num_frames, tuple(grid.tolist()), tuple(pairwise(bounds)))


def stream(seed: int) -> np.random.Generator:
    """The random generator of a seed; the same in every process."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


@dataclass(frozen=True, slots=True)
class Timeline:
    """The scenes of a video, and the scene that the question asks about.

    Attributes:
        scenes: Backgrounds in order.
        cuts: First frame of each scene, which is an overview frame.
        gaps: The gaps of each scene (see `Layout`).
        target: Index of the scene that the question asks about.
        asked: The scenes in which the event can lie according to the question, in the order in which it names them.
        idle: The scenes without an event.
        num_frames: Frames of the video.
        guard: See `SceneSettings`.
    """

    scenes: tuple[SceneSpec, ...]
    cuts: tuple[int, ...]
    gaps: tuple[tuple[tuple[int, int], ...], ...]
    target: int
    asked: tuple[int, ...]
    idle: tuple[int, ...]
    num_frames: int
    guard: int

    def frames_of(self, scene: int) -> tuple[int, int]:
        """First frame of a scene, and first frame after it."""
        end = self.cuts[scene + 1] if scene + 1 < len(self.cuts) else self.num_frames
        return self.cuts[scene], end

    def starts(self, scenes: tuple[int, ...], event_frames: int) -> tuple[tuple[int, int], ...]:
        """Possible start frames of an event of this length in these scenes: half-open ranges."""
        return self.starts_in([gap for scene in scenes for gap in self.gaps[scene]], event_frames)

    def starts_in(self, gaps: Sequence[tuple[int, int]], event_frames: int) -> tuple[tuple[int, int], ...]:
        """Possible start frames of an event of this length in these gaps: half-open ranges."""
        ranges = [(begin + 1 + self.guard, end - self.guard - event_frames + 1) for begin, end in gaps]
        return tuple((low, high) for low, high in ranges if low < high)

    def draw_start(self, rng: np.random.Generator, scene: int, event_frames: int) -> int:
        """Draw a start frame, uniform over all that are allowed in a scene."""
        return self.draw_start_in(rng, self.gaps[scene], event_frames)

    def draw_start_in(self, rng: np.random.Generator, gaps: Sequence[tuple[int, int]], event_frames: int) -> int:
        """Draw a start frame, uniform over all that are allowed in these gaps."""
        ranges = self.starts_in(gaps, event_frames)
        pick = int(rng.integers(sum(high - low for low, high in ranges)))
        for low, high in ranges:
            if pick < high - low:
                return low + pick
            pick -= high - low
        raise AssertionError("a start lies in one of the ranges")


def draw_timeline(rng: np.random.Generator, settings: SceneSettings) -> Timeline:
    """Draw the scenes of a video and the queried scene.

    If the question does not name a single scene, the event's scene is drawn in proportion to its number of gaps, so
    that the event is distributed evenly over all possible positions.
    """
    layout = settings.layout
    asked: tuple[int, ...]
    idle: tuple[int, ...]
    counts = _scene_lengths(rng, layout.num_gaps, settings.scenes, settings.even_scenes)
    ends = np.cumsum(counts).tolist()
    hues = [tuple(SCENE_HUES)[i] for i in rng.permutation(settings.scenes)]
    scenes = tuple(make_scene(rng, hue) for hue in hues)
    gaps = tuple(layout.gaps[end - count : end] for end, count in zip(ends, counts, strict=True))
    cuts = tuple(group[0][0] for group in gaps)
    if settings.cue == "visible":
        target = int(rng.integers(settings.scenes))
        asked, idle = (target,), ()
    elif settings.cue == "partial":
        one, other = (int(i) for i in rng.permutation(settings.scenes)[:2])
        asked = (one, other)
        target = one if int(rng.integers(counts[one] + counts[other])) < counts[one] else other
        idle = (one + other - target,)
    else:
        target = int(np.searchsorted(ends, int(rng.integers(layout.num_gaps)), side="right"))
        asked = tuple(range(settings.scenes))
        idle = tuple(scene for scene in asked if scene != target)
    return Timeline(scenes, cuts, gaps, target, asked, idle, layout.num_frames, settings.guard)


def _scene_lengths(rng: np.random.Generator, gaps: int, scenes: int, even: bool) -> list[int]:
    """Number of gaps of each scene."""
    if even:
        bounds: NDArray[np.int64] = np.rint(np.linspace(0, gaps, scenes + 1)).astype(np.int64)
        return [int(n) for n in np.diff(bounds)]
    least = max(1, int(0.6 * gaps / scenes))
    spare = rng.multinomial(gaps - least * scenes, [1.0 / scenes] * scenes)
    return [least + int(n) for n in spare]
