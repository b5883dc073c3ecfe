"""Families of procedural tasks, and their registry."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region, Zoom
from vzgym.core.budget import Budget, group_zooms
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.interval import Interval
from vzgym.core.text import known_names
from vzgym.tasks.evidence import EvidenceRequirements
from vzgym.tasks.procedural.difficulty import apply_difficulty, draw_distractors
from vzgym.tasks.procedural.families import FAMILIES
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.reader import FamilyReader, Reading
from vzgym.tasks.procedural.render.painter import Actor, ScenePainter
from vzgym.tasks.procedural.search import Search
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline, draw_timeline, stream
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.tasks.task import VideoTask
from vzgym.video.synthetic import ProceduralVideo

__all__ = [
    "WHOLE_PICTURE",
    "Draft",
    "Family",
    "expert_zooms",
    "family_of_question",
    "family_of_task",
    "make_family",
    "region_around",
    "zooms_over",
]

S = TypeVar("S", bound=SceneSettings)

WHOLE_PICTURE = Region(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Draft:
    """The drawn parts of one task; `Family.build` assembles the task.

    Args:
        actors: Objects in the scenes, each painted over those before it.
        question: The question; see `Family.draw_question`.
        options: The options in order, as text; also if the question is open.
        evidence: The interval of each event that must be seen; `()` if the overview suffices.
        requirements: Frame rate, region and placement of the evidence.
        metadata: Further facts, JSON values only.
    """

    actors: Sequence[Actor]
    question: str
    options: Sequence[str]
    evidence: Sequence[Interval]
    requirements: EvidenceRequirements
    metadata: Mapping[str, Any] = field(default_factory=dict)


def _narration(timeline: Timeline, evidence: Sequence[Interval], fps: float) -> tuple[Subtitle, ...]:
    """Lines that announce each scene, and the events. They depend on what the answer does not change only."""
    starts = [cut / fps for cut in timeline.cuts]
    lines = [
        Subtitle(start, start + 1.0, f"We come to {scene.hue}.")
        for start, scene in zip(starts, timeline.scenes, strict=True)
    ]
    for span in evidence:
        scene = max(place for place, start in enumerate(starts) if start <= span.start)
        lines.append(Subtitle(span.start, span.end, f"Watch now, in the {timeline.scenes[scene].hue} scene."))
    return tuple(sorted(lines, key=lambda line: (line.start, line.end)))


class Family(ABC, Generic[S]):
    """A kind of procedural task: its settings, drawing, reader and search.

    A subclass is generic in its settings (`class Needle(Family[NeedleSettings])`) and defines `name`, `Settings`,
    `wordings`, `num_options` and `draw`, usually also `reader` and `search`. Nothing that is visible without the event
    (question, options and their order, duration, number of frames, the overview) may depend on which option is right;
    `vzgym tasks verify` checks this.

    Args:
        settings: The family's settings; the defaults if not given.
        options: Single settings by name, in place of `settings`.

    Raises:
        InvalidSetting: If a setting is unknown or clashes with another; the message gives the numbers.
    """

    name: ClassVar[str]
    """The registered name."""
    Settings: ClassVar[type[SceneSettings]]
    """The settings class."""
    wordings: ClassVar[Mapping[str, Sequence[str]]]
    """The question's wordings by group: "visible" and "none" for the cues, others by name (`SceneSettings.question`).

    `{scene}` stands for the scene's hue, or "red or blue".
    """
    reader: ClassVar[FamilyReader | None] = None
    """Reads the answer from frames. Verification fails for a family without a reader."""
    search: ClassVar[Search | None] = None
    """How the expert searches for the event. Without one, the expert uses the evidence directly."""

    def __init__(self, settings: S | None = None, **options: Any) -> None:
        if settings is not None and options:
            raise InvalidSetting(f"family {self.name!r} takes settings or single options, not both")
        if settings is None:
            valid = sorted(field.name for field in fields(self.Settings))
            unknown = sorted(set(options) - set(valid))
            if unknown:
                raise InvalidSetting(
                    f"family {self.name!r} has no setting {', '.join(unknown)}; {known_names(unknown, valid)}"
                )
            settings = self.Settings(**options)  # type: ignore[assignment]
        if not isinstance(settings, self.Settings):
            raise InvalidSetting(f"family {self.name!r} takes {self.Settings.__name__}, got {type(settings).__name__}")
        if settings.question and settings.question not in self.wordings:
            raise InvalidSetting(
                f"family {self.name!r} has no wordings {settings.question!r}; valid: {', '.join(self.wordings)}"
            )
        self._difficulty = settings.difficulty
        self._settings: S = apply_difficulty(settings)

    @property
    def settings(self) -> S:
        """Settings that tasks are built with, after applying the difficulty."""
        return self._settings

    @property
    def difficulty(self) -> float | None:
        """The difficulty setting; None if the settings are used unchanged."""
        return self._difficulty

    @property
    @abstractmethod
    def num_options(self) -> int:
        """K, the number of options."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """Draw one task.

        Args:
            rng: The random generator. The draws made from it must not depend on `position`.
            timeline: The scenes, already drawn, and the scene that the question asks about.
            position: Index of the right option, 0 to K - 1.
        """

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """Build one task.

        Args:
            id: The task's id.
            seed: Determines everything except which option is right.
            position: Index of the right option, 0 to K - 1.

        Raises:
            InvalidSetting: If `position` is out of range.
        """
        if not 0 <= position < self.num_options:
            raise InvalidSetting(
                f"family {self.name!r} has {self.num_options} options: position must be 0 to "
                f"{self.num_options - 1}, got {position}"
            )
        s = self.settings
        rng = stream(seed)
        timeline = draw_timeline(rng, s)
        draft = self.draw(rng, timeline, position)
        actors = (*draw_distractors(seed, timeline, s), *draft.actors)
        painter = ScenePainter(timeline.scenes, timeline.cuts, actors, s.fps, s.aspect, s.noise, seed)
        options = tuple(draft.options)
        metadata: dict[str, Any] = {
            "family": self.name,
            "seed": seed,
            "cue": s.cue,
            "grid": list(s.layout.grid),
            "budget": s.budget.to_dict(),
            "difficulty": self._search_difficulty(draft),
        }
        if self.difficulty is not None:
            metadata["difficulty_setting"] = self.difficulty
        if s.open:
            metadata["choices"] = list(options)
        return VideoTask(
            id=id,
            video=ProceduralVideo(f"procedural:{id}", painter, timeline.num_frames, s.fps, s.height, s.width),
            question=draft.question,
            options=() if s.open else options,
            answer=options[position],
            evidence=tuple(draft.evidence),
            requirements=draft.requirements,
            category=self.name,
            subtitles=_narration(timeline, draft.evidence, s.fps) if s.narrated else (),
            source=id.partition("/")[0],
            metadata={**metadata, **draft.metadata},
        )

    def variants(self, id: str, seed: int) -> list[VideoTask]:
        """The same task with each of its K answers; their ids are `id~0`, `id~1`, ..."""
        return [self.build(f"{id}~{position}", seed, position) for position in range(self.num_options)]

    def draw_question(self, rng: np.random.Generator, timeline: Timeline) -> str:
        """Draw one of the wordings, filled in with the scenes."""
        group = self.settings.question or ("none" if self.settings.cue == "none" else "visible")
        choices = self.wordings[group][: self.settings.wordings]
        named = " or ".join(timeline.scenes[scene].hue for scene in timeline.asked)
        return choices[int(rng.integers(len(choices)))].format(scene=named)

    def _search_difficulty(self, draft: Draft) -> float:
        placement, min_fps = draft.requirements.placement, draft.requirements.min_fps
        if not draft.evidence or placement is None or min_fps is None:
            return 0.0
        return search_difficulty(placement, 1.0 / min_fps, self.settings.budget)

    @classmethod
    def expert(cls, task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
        """The cheapest zooms, valid in `budget`, that show the evidence at the required rate.

        Raises:
            TaskError: If the budget cannot show it; the message gives the numbers that clash.
        """
        return zooms_over(task, budget)

    @classmethod
    def matches(cls, question: str) -> bool:
        """Whether this is one of the family's questions."""
        return cls._match(question) is not None

    @classmethod
    def scenes_asked(cls, question: str) -> tuple[str, ...]:
        """The hues of the scenes that a question names, in order; empty if it names none."""
        found = cls._match(question)
        named = None if found is None else found.groupdict().get("scene")
        return () if named is None else tuple(named.lower().split(" or "))

    @classmethod
    def read(
        cls, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        """Answer a question of the family from frames; see `FrameReader.read`.

        Raises:
            InvalidSetting: If the family has no reader.
        """
        if cls.reader is None:
            raise InvalidSetting(f"family {cls.name!r} has no reader: set {cls.__name__}.reader to a FamilyReader")
        return cls.reader.read(frames, times, cls.scenes_asked(question), options)

    @classmethod
    def _match(cls, question: str) -> re.Match[str] | None:
        matches = (pattern.search(question) for pattern in _patterns(cls))
        return next((found for found in matches if found is not None), None)


@cache
def _patterns(family: type[Family[Any]]) -> tuple[re.Pattern[str], ...]:
    """Patterns that recognize a family's questions; the optional group `scene` is the queried scene.

    It is a scene's hue, or two of them: "red or blue".
    """
    patterns = []
    for template in (t for group in family.wordings.values() for t in group):
        before, slot, after = template.partition("{scene}")
        scene = r"(?P<scene>[a-z]+(?: or [a-z]+)?)" if slot else ""
        patterns.append(re.compile(re.escape(before) + scene + re.escape(after), re.IGNORECASE))
    return tuple(patterns)


def make_family(spec: str | Mapping[str, Any] | Family[Any]) -> Family[Any]:
    """Make the family for a spec: a name, a mapping `{"name": ..., **settings}`, or a family.

    Raises:
        UnknownName: If the name is not registered.
        InvalidSetting: If a setting is unknown or clashes with another.
    """
    made: Family[Any] = FAMILIES.make(spec)
    return made


def _classes() -> list[type[Family[Any]]]:
    """The classes of all families that can be imported."""
    return [made for made in FAMILIES.get_all().values() if isinstance(made, type) and issubclass(made, Family)]


def family_of_question(question: str) -> type[Family[Any]] | None:
    """The family that a question belongs to. Subclasses with the same wordings yield the base family."""
    found = [family for family in _classes() if family.matches(question)]
    return min(found, key=lambda family: len(family.__mro__), default=None)


def family_of_task(task: VideoTask) -> type[Family[Any]] | None:
    """The registered family of a task (metadata `family`); None if there is none."""
    name = task.metadata.get("family")
    family = FAMILIES.get(name) if isinstance(name, str) and name in FAMILIES else None
    return family if isinstance(family, type) and issubclass(family, Family) else None


def expert_zooms(task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
    """The zooms of the family's scripted expert; for other tasks, zooms over the evidence.

    Raises:
        TaskError: If the task has no known evidence and rate, or the budget cannot show it.
    """
    family = family_of_task(task)
    return zooms_over(task, budget) if family is None else family.expert(task, budget)


def zooms_over(task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
    """Zooms that cover a task's evidence at the required rate, with as few frames and zooms as possible.

    `vzgym.core.budget.group_zooms` distributes them over turns.

    Raises:
        TaskError: If the evidence is unknown, or the budget cannot show it.
    """
    needed = task.requirements.min_fps
    if task.evidence is None or needed is None:
        raise TaskError(f"task {task.id!r}: an expert needs known evidence and requirements.min_fps")
    if task.evidence and needed > budget.max_fps:
        raise TaskError(f"task {task.id!r}: needs {needed} fps, but the budget gives at most {budget.max_fps}")
    fps = max(needed, budget.min_fps)
    longest = budget.clip_frames / fps
    zooms: list[Zoom] = []
    for span in task.evidence:
        parts = max(1, math.ceil(span.duration / longest - 1e-6))
        starts = [span.start + i * longest for i in range(parts)]
        zooms += [Zoom(a, b, fps) for a, b in zip(starts, [*starts[1:], span.end], strict=True)]
    if len(group_zooms(zooms, budget)) > budget.max_zooms:
        raise TaskError(
            f"task {task.id!r}: the evidence needs {len(zooms)} zooms of {budget.clip_frames} frames at {fps} fps, "
            f"but the budget has {budget.max_zooms}"
        )
    return tuple(zooms)


def region_around(x: float, y: float, across: float, down: float, aspect: float) -> Region:
    """The region that an object covers, clipped to the picture.

    Args:
        x: Its center, in units of the picture's height.
        y: Its center, same units.
        across: Half its width, same units.
        down: Half its height, same units.
        aspect: Width of the picture in units of its height.
    """
    corners = ((x - across) / aspect, y - down, (x + across) / aspect, y + down)
    return Region(*(round(min(1.0, max(0.0, corner)), 6) for corner in corners))
