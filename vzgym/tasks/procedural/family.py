"""What a family of procedural tasks is, and the registry of families."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from vzgym.core.actions import Region, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.interval import Interval
from vzgym.core.registry import Registry
from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.difficulty import dialled, passers_by
from vzgym.tasks.procedural.render.painter import Actor, ScenePainter
from vzgym.tasks.procedural.timeline import SceneSettings, Stage
from vzgym.tasks.task import VideoTask
from vzgym.video.synthetic import ProceduralVideo

__all__ = ["FAMILIES", "Family", "expert_zooms", "make_family", "region_of", "wording_patterns", "zooms_over"]


class Family(ABC):
    """A kind of procedural task.

    A subclass gives its `name`, its `Settings`, its `wordings` and `build`. Nothing that can be seen without the
    event (question, options and their order, duration, number of frames, the overview) may depend on which option
    is right: `vzgym tasks verify` checks it.

    Args:
        settings: The family's settings; the defaults if not given.
        options: Single settings by name, in place of `settings`.

    Raises:
        InvalidSetting: If a setting is unknown or clashes with another; the message gives the numbers.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[SceneSettings]]
    wordings: ClassVar[Mapping[str, Sequence[str]]]
    """The question's wordings, "visible" and "none". `{scene}` stands for the scene's hue, or "red or blue"."""

    def __init__(self, settings: SceneSettings | None = None, **options: Any) -> None:
        if settings is not None and options:
            raise InvalidSetting(f"family {self.name!r} takes settings or single options, not both")
        if settings is None:
            valid = sorted(field.name for field in fields(self.Settings))
            unknown = sorted(set(options) - set(valid))
            if unknown:
                raise InvalidSetting(
                    f"family {self.name!r} has no setting {', '.join(unknown)}; valid: {', '.join(valid)}"
                )
            settings = self.Settings(**options)
        if not isinstance(settings, self.Settings):
            raise InvalidSetting(f"family {self.name!r} takes {self.Settings.__name__}, got {type(settings).__name__}")
        self._dial = settings.difficulty
        self._settings = dialled(settings)

    @property
    def settings(self) -> SceneSettings:
        """What tasks are built with; a dial is turned already."""
        return self._settings

    @property
    def dial(self) -> float | None:
        """The difficulty that was set; None if all settings were taken as they are."""
        return self._dial

    @property
    @abstractmethod
    def num_options(self) -> int:
        """K, the number of options."""

    @abstractmethod
    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """One task.

        Args:
            id: The task's id.
            seed: Decides everything but which option is right.
            position: The right option's place, 0 to K - 1.

        Raises:
            InvalidSetting: If `position` is out of range.
        """

    def variants(self, id: str, seed: int) -> list[VideoTask]:
        """The same task with each of its K answers; their ids are `id~0`, `id~1`, ..."""
        return [self.build(f"{id}~{position}", seed, position) for position in range(self.num_options)]

    @classmethod
    def expert(cls, task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
        """The cheapest zooms, valid in `budget`, that show the evidence at the rate it needs.

        Raises:
            TaskError: If the budget cannot show it; the message gives the numbers that clash.
        """
        return zooms_over(task, budget)

    def _check_position(self, position: int) -> None:
        if not 0 <= position < self.num_options:
            raise InvalidSetting(
                f"family {self.name!r} has {self.num_options} options: position must be 0 to "
                f"{self.num_options - 1}, got {position}"
            )

    def _question(self, rng: np.random.Generator, stage: Stage) -> str:
        cue = "none" if self.settings.cue == "none" else "visible"
        choices = self.wordings[cue][: self.settings.wordings]
        named = " or ".join(stage.scenes[scene].hue for scene in stage.asked)
        return choices[int(rng.integers(len(choices)))].format(scene=named)

    def _task(
        self,
        id: str,
        seed: int,
        stage: Stage,
        actors: tuple[Actor, ...],
        question: str,
        options: tuple[str, ...],
        position: int,
        evidence: tuple[Interval, ...],
        metadata: Mapping[str, Any],
    ) -> VideoTask:
        s = self.settings
        metadata = dict(metadata)
        varies = tuple(Interval(*pair) for pair in metadata.pop("varies"))
        requirements = EvidenceRequirements(
            metadata.pop("needed_fps"),
            regions=tuple(Region(*part) for part in metadata.pop("regions")),
            placement=Placement.from_dict(metadata.pop("placement")),
            varies=None if varies == evidence else varies,
        )
        passers = passers_by(seed, stage, s)
        painter = ScenePainter(stage.scenes, stage.cuts, (*passers, *actors), s.fps, s.aspect, s.noise, seed)
        extra: dict[str, Any] = {} if self.dial is None else {"dial": self.dial}
        if s.open:
            extra["choices"] = list(options)
        return VideoTask(
            id=id,
            video=ProceduralVideo(f"procedural:{id}", painter, stage.num_frames, s.fps, s.height, s.width),
            question=question,
            options=() if s.open else options,
            answer=options[position],
            evidence=evidence,
            requirements=requirements,
            category=self.name,
            source=id.partition("/")[0],
            metadata={
                "family": self.name,
                "seed": seed,
                "cue": s.cue,
                "grid": list(s.layout.grid),
                "budget": s.budget.to_dict(),
                **extra,
                **metadata,
            },
        )


FAMILIES: Registry[Family] = Registry("task family", "vzgym.task_families", "vzgym.tasks.procedural.families")
"""Families by name: factories that take a family's settings by name."""


def make_family(spec: str | Mapping[str, Any] | Family) -> Family:
    """The family that `spec` means: a name, a mapping `{"name": ..., **settings}`, or a family.

    Raises:
        UnknownName: If the name is not registered.
        InvalidSetting: If a setting is unknown or clashes with another.
    """
    return FAMILIES.make(spec)


def zooms_over(task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
    """Zooms that cover a task's evidence at the rate that it needs, as few frames and zooms as possible.

    Raises:
        TaskError: If the evidence is unknown, or the budget cannot show it.
    """
    needed = task.requirements.min_fps
    if task.evidence is None or needed is None:
        raise TaskError(f"task {task.id!r}: no expert without known evidence and requirements.min_fps")
    if task.evidence and needed > budget.max_fps:
        raise TaskError(f"task {task.id!r}: needs {needed} fps, but the budget gives at most {budget.max_fps}")
    fps = max(needed, budget.min_fps)
    longest = budget.clip_frames / fps
    zooms: list[Zoom] = []
    for span in task.evidence:
        parts = max(1, math.ceil(span.duration / longest - 1e-6))
        starts = [span.start + i * longest for i in range(parts)]
        zooms += [Zoom(a, b, fps) for a, b in zip(starts, [*starts[1:], span.end], strict=True)]
    if len(zooms) > budget.max_zooms:
        raise TaskError(
            f"task {task.id!r}: the evidence needs {len(zooms)} zooms of {budget.clip_frames} frames at {fps} fps, "
            f"but the budget has {budget.max_zooms}"
        )
    return tuple(zooms)


def region_of(x: float, y: float, across: float, down: float, aspect: float) -> list[float]:
    """The part of the picture that something covers: `[left, top, right, bottom]` in shares, clipped to the picture.

    Args:
        x: Its centre, in units of the picture's height.
        y: Its centre, same units.
        across: How far it reaches to each side, same units.
        down: How far it reaches up and down, same units.
        aspect: Width of the picture in units of its height.
    """
    corners = ((x - across) / aspect, y - down, (x + across) / aspect, y + down)
    return [round(min(1.0, max(0.0, corner)), 6) for corner in corners]


def expert_zooms(task: VideoTask, budget: Budget) -> tuple[Zoom, ...]:
    """The scripted expert of the task's own family; for other tasks, zooms over the evidence.

    Raises:
        TaskError: If the task has no known evidence and rate, or the budget cannot show it.
    """
    name = task.metadata.get("family")
    if isinstance(name, str) and name in FAMILIES:
        factory = FAMILIES.get(name)
        if isinstance(factory, type) and issubclass(factory, Family):
            return factory.expert(task, budget)
    return zooms_over(task, budget)


def wording_patterns(wordings: Mapping[str, Sequence[str]]) -> tuple[re.Pattern[str], ...]:
    """Patterns that recognise a family's questions; the group `scene`, where there is one, is what is asked about.

    It is a scene's hue, or two of them: "red or blue".
    """
    patterns = []
    for template in (t for group in wordings.values() for t in group):
        before, mark, after = template.partition("{scene}")
        scene = r"(?P<scene>[a-z]+(?: or [a-z]+)?)" if mark else ""
        patterns.append(re.compile(re.escape(before) + scene + re.escape(after), re.IGNORECASE))
    return tuple(patterns)
