"""Settings of families whose event is a motion, of which one frame shows the place but not the way."""

from __future__ import annotations

from dataclasses import dataclass

from vzgym.core.errors import InvalidSetting
from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import WHOLE_PICTURE
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["MotionSettings"]

# Two frames at least this share of the motion apart show it.
_APART = 0.4


@dataclass(frozen=True)
class MotionSettings(SceneSettings):
    """Settings of a motion; see `SceneSettings` for the others.

    Args:
        event_seconds: Length of the motion.
    """

    event_seconds: float = 1.4

    def __post_init__(self) -> None:
        super().__post_init__()
        frames = self.event_frames(self.event_seconds)
        if self.part < 1:
            raise InvalidSetting(
                f"a motion of {self.event_seconds} s at {self.fps} fps has {frames} frames, but needs at least 3 to be "
                "seen"
            )
        self.needs_rate(self.needed_fps, frames / self.fps)

    @property
    def part(self) -> int:
        """Length in frames of the first and of the last part of the motion; one frame of each must be seen."""
        return int(_APART * round(self.event_seconds * self.fps))

    @property
    def needed_fps(self) -> float:
        """One frame in each part."""
        return self.fps / self.part

    def requirements(self, timeline: Timeline) -> EvidenceRequirements:
        """What must be seen of the motion in the scene that the question asks about."""
        length = self.event_frames(self.event_seconds)
        runs = ((0, self.part), (length - self.part, length))
        return EvidenceRequirements(
            min_fps=self.needed_fps,
            regions=(WHOLE_PICTURE,),
            placement=Placement(timeline.starts(timeline.asked, length), runs, self.fps),
        )
