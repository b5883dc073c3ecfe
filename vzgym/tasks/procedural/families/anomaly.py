"""Anomaly: whether something odd happens, and what. Often nothing does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import Placement
from vzgym.tasks.procedural.family import FAMILIES, Family
from vzgym.tasks.procedural.placement import search_difficulty
from vzgym.tasks.procedural.render.actors import Ball
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.timeline import SceneSettings, set_stage, stream
from vzgym.tasks.task import VideoTask

__all__ = ["BALL_COLORS", "NORMAL", "ODDITIES", "Anomaly", "AnomalySettings"]

NORMAL = "nothing unusual"
"""The answer where the ball behaves."""

ODDITIES: dict[str, str] = {"it vanishes": "vanishes", "it turns white": "whitens", "it splits in two": "splits"}
"""What may happen instead, as an option says it, and the actor's name for it."""

BALL_COLORS = tuple(name for name in EVENT_COLORS if name not in ("white", "cyan"))


@dataclass(frozen=True)
class AnomalySettings(SceneSettings):
    """Settings of the anomaly family; see `SceneSettings` for the others.

    Args:
        oddities: How many kinds of oddity there are: 1 to 3. Nothing unusual is one more option.
        event_seconds: How long an oddity lasts.
        ball_size: Diameter of the ball, as a share of the shorter side, in (0, 0.4].
    """

    oddities: int = 3
    event_seconds: float = 1.2
    ball_size: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.oddities <= len(ODDITIES):
            raise InvalidSetting(f"AnomalySettings.oddities must be 1 to {len(ODDITIES)}, got {self.oddities}")
        if not 0 < self.ball_size <= 0.4:
            raise InvalidSetting(f"AnomalySettings.ball_size must be in (0, 0.4], got {self.ball_size}")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)


class Anomaly(Family):
    """A ball drifts through each scene; for a moment it may vanish, turn white or split. Chance is 1 / options.

    One option is that nothing unusual happens, and it is right as often as any other. Seeing nothing odd in a few
    frames is no proof: the evidence of such a task is the moment at which the others would show. With `cue="none"` one
    scene of the video may hold an oddity, and all others are normal.
    """

    name: ClassVar[str] = "anomaly"
    Settings = AnomalySettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "What unusual thing happens to the ball in the {scene} scene, if any?",
            "Does the ball of the {scene} scene do anything odd? What?",
            "Watch the ball in the {scene} scene. What is strange about it, if anything?",
        ),
        "none": (
            "What unusual thing happens to a ball in this video, if any?",
            "Does a ball in this video do anything odd? What?",
            "Watch the balls in this video. What is strange about them, if anything?",
        ),
    }

    @property
    def num_options(self) -> int:
        """Nothing unusual, and one option for each oddity."""
        s = self.settings
        assert isinstance(s, AnomalySettings)
        return s.oddities + 1

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        """See `Family.build`."""
        self._check_position(position)
        s = self.settings
        assert isinstance(s, AnomalySettings)
        rng = stream(seed)
        stage = set_stage(rng, s)
        length = s.event_frames(s.event_seconds)
        kinds = (NORMAL, *tuple(ODDITIES)[: s.oddities])
        options = tuple(kinds[i] for i in rng.permutation(len(kinds)))
        question = self._question(rng, stage)
        radius = s.ball_size / 2 * min(1.0, s.aspect)
        side, sway = 2.0 * radius, 0.6 * radius
        balls = []
        for scene in range(s.scenes):
            first, last = stage.frames_of(scene)
            start = stage.draw_start(rng, scene, length)
            x, y, phase = rng.random(3).tolist()
            color = BALL_COLORS[int(rng.integers(len(BALL_COLORS)))]
            kind = kinds[int(rng.integers(len(kinds)))]
            if scene == stage.target:
                kind, event = options[position], (start, start + length)
            elif scene in stage.idle:
                kind = NORMAL
            room = side + sway
            balls.append(
                Ball(
                    first,
                    last,
                    EVENT_COLORS[color],
                    room + x * max(0.0, s.aspect - 2 * room),
                    1.3 * radius + sway + y * max(0.0, 1.0 - 2.9 * radius - 2 * sway),
                    radius,
                    sway,
                    phase,
                    s.fps,
                    None if kind == NORMAL else (start, start + length),
                    ODDITIES.get(kind, ""),
                )
            )
        placement = Placement(tuple(stage.starts(stage.asked, length)), ((0, length),), s.fps)
        return self._task(
            id,
            seed,
            stage,
            tuple(balls),
            question,
            options,
            position,
            (Interval(event[0] / s.fps, event[1] / s.fps),),
            {
                "needed_fps": s.fps / length,
                "difficulty": search_difficulty(placement, length / s.fps, s.budget),
                "placement": placement.to_dict(),
                "regions": [[0.0, 0.0, 1.0, 1.0]],
                "varies": [[event[0] / s.fps, event[1] / s.fps]],
            },
        )


FAMILIES.register(Anomaly.name, Anomaly)
