"""A family of procedural tasks, in one file: in which corner does a shape flash?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks import Draft, EvidenceRequirements, Family, Placement
from vzgym.tasks.procedural.family import WHOLE_PICTURE
from vzgym.tasks.procedural.pixels import bright_labels, shows_bright_color
from vzgym.tasks.procedural.reader import NO_READING, PictureReader, Reading
from vzgym.tasks.procedural.render.painter import Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.search import Search, find_event
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

CORNERS = {"top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}
"""The options and their positions: 0 is left or top, 1 is right or bottom."""


@dataclass(frozen=True)
class CornerSettings(SceneSettings):
    """Settings of the family; see `SceneSettings` for the others.

    Args:
        event_seconds: Length of the flash.
        flash_size: Diameter of the flash, as a share of the shorter side, in (0, 0.4].
    """

    event_seconds: float = 1.0
    flash_size: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(0 < self.flash_size <= 0.4, "flash_size", "in (0, 0.4]")
        # The flash must fit between two overview frames, and the budget must be able to show it.
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)


class CornerReader(PictureReader):
    """Reads the position of the bright pixels in the queried frames."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """The confidence is 1: two corners never flash in one scene."""
        seen = shown[asked & shows_bright_color(shown)]
        if not len(seen):
            return NO_READING
        _, rows, columns = np.nonzero(bright_labels(seen) >= 0)
        corner = (int(columns.mean() > seen.shape[2] / 2), int(rows.mean() > seen.shape[1] / 2))
        name = next(name for name, place in CORNERS.items() if place == corner)
        return Reading(name, 1.0) if name in (options or CORNERS) else NO_READING


class Corner(Family[CornerSettings]):
    """A shape flashes in a corner of each scene. Chance is 1/4."""

    name = "template_corner"
    Settings = CornerSettings
    wordings = {  # noqa: RUF012
        "visible": ("In which corner of the {scene} scene does a shape flash?",),
        "none": ("In which corner does a shape flash in this video?",),
    }
    reader = CornerReader()
    search = Search(find_event, shows_bright_color)

    @property
    def num_options(self) -> int:
        """One option for each corner."""
        return len(CORNERS)

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """Draws from `rng` must be the same whichever option is right."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        options = [tuple(CORNERS)[i] for i in rng.permutation(len(CORNERS))]
        question = self.draw_question(rng, timeline)
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin = 1.2 * radius
        flashes = []
        for scene in range(s.scenes):
            start = timeline.draw_start(rng, scene, length)
            color = tuple(EVENT_COLORS.values())[int(rng.integers(len(EVENT_COLORS)))]
            corner = options[int(rng.integers(len(options)))]
            if scene == timeline.target:
                corner = options[position]
            elif scene in timeline.idle:
                continue
            right, bottom = CORNERS[corner]
            x, y = (s.aspect - margin if right else margin), (1.0 - margin if bottom else margin)
            flash = Flash(start, start + length, "disc", color, x, y, radius)
            flashes.append(flash)
            if scene == timeline.target:
                event = flash
        return Draft(
            actors=flashes,
            question=question,
            options=options,
            evidence=(s.interval(event.first, event.last),),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                # The position is the answer, so the region that must be seen is the whole picture.
                regions=(WHOLE_PICTURE,),
                placement=Placement(timeline.starts(timeline.asked, length), ((0, length),), s.fps),
            ),
        )
