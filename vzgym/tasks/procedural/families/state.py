"""State change: into which box something was put, when the boxes look the same before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.actors import Boxes
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["BOX_COLORS", "State", "StateSettings"]

BOX_COLORS = tuple(name for name in EVENT_COLORS if name not in ("white", "yellow", "cyan"))
"""Colours of boxes: none that could be taken for the ball's white."""

_BOX_HEIGHT = 0.8


@dataclass(frozen=True)
class StateSettings(SceneSettings):
    """Settings of the state family; see `SceneSettings` for the others.

    Args:
        boxes: Number of boxes, and of options: 2 to 5.
        event_seconds: How long a box is open.
    """

    boxes: int = 4
    event_seconds: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.boxes <= len(BOX_COLORS):
            raise InvalidSetting(f"StateSettings.boxes must be 2 to {len(BOX_COLORS)}, got {self.boxes}")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)


class State(Family):
    """Closed boxes stand in each scene; once a crane lowers a ball into one of them. Chance is 1 / boxes.

    The overview shows the boxes, always shut: what is inside must have been seen going in.
    """

    name: ClassVar[str] = "state"
    Settings = StateSettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "Into which box is the ball put in the {scene} scene?",
            "In which box is the ball at the end of the {scene} scene?",
            "A crane hides a ball in the {scene} scene. Which box is it in?",
        ),
        "none": (
            "Into which box is the ball put in this video?",
            "In which box is the ball at the end of this video?",
            "A crane hides a ball in this video. Which box is it in?",
        ),
    }

    @property
    def num_options(self) -> int:
        """One option for each box."""
        s = self.settings
        assert isinstance(s, StateSettings)
        return s.boxes

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`. Options are the boxes' colours."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, StateSettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        used = BOX_COLORS[: s.boxes]
        options = tuple(used[i] for i in rng.permutation(s.boxes))
        question = self._question(rng, stage)
        radius = min(0.13 * min(1.0, s.aspect), 0.38 * s.aspect / s.boxes)
        rows: list[Boxes] = []
        for scene in range(s.scenes):
            first, last = stage.frames_of(scene)
            start = stage.draw_start(rng, scene, length)
            names = [used[i] for i in rng.permutation(s.boxes)]
            chosen = int(rng.integers(s.boxes))
            if scene == stage.target:
                chosen, event = names.index(options[position]), (start, start + length)
            rows.append(
                Boxes(
                    first,
                    last,
                    tuple(EVENT_COLORS[name] for name in names),
                    tuple(s.aspect * (place + 0.5) / s.boxes for place in range(s.boxes)),
                    _BOX_HEIGHT,
                    radius,
                    None if scene in stage.idle else (start, start + length),
                    chosen,
                )
            )
        placement = Placement(tuple(stage.starts(stage.asked, length)), ((0, length),), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(rows),
            question,
            options,
            position,
            (Interval(event[0] / s.fps, event[1] / s.fps),),
            {
                "needed_fps": s.fps / length,
                "difficulty": search_difficulty(placement, length / s.fps, s.budget),
                "placement": placement.to_dict(),
                # The ball may come down anywhere across the picture.
                "regions": [[0.0, 0.0, 1.0, 1.0]],
                "varies": [[event[0] / s.fps, event[1] / s.fps]],
            },
        )


FAMILIES.register(State.name, State)
