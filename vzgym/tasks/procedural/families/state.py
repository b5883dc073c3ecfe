"""State change: which box a ball is put into; the boxes look the same before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import WHOLE_PICTURE, Draft, Family
from vzgym.tasks.procedural.pixels import bright_labels, near, near_mask
from vzgym.tasks.procedural.reader import NO_READING, PictureReader, Reading
from vzgym.tasks.procedural.render.actors import Boxes
from vzgym.tasks.procedural.render.palette import BALL, EVENT_COLORS
from vzgym.tasks.procedural.search import Search, find_event
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["BOX_COLORS", "State", "StateReader", "StateSettings"]

BOX_COLORS = tuple(name for name in EVENT_COLORS if name not in ("white", "yellow", "cyan"))
"""Colors of boxes: none that a reader could confuse with the ball's white."""

_BOX_HEIGHT = 0.8
# Smallest shares of the picture that count as a ball and as a box, and how far pixels may be from the ball's color.
_LEAST_AREA = 0.0015
_LEAST_BOX = 0.002
_TOLERANCE = 48


@dataclass(frozen=True)
class StateSettings(SceneSettings):
    """Settings of the state family; see `SceneSettings` for the others.

    Args:
        boxes: Number of boxes, and of options: 2 to 5.
        event_seconds: Duration for which a box is open.
    """

    boxes: int = 4
    event_seconds: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(2 <= self.boxes <= len(BOX_COLORS), "boxes", f"2 to {len(BOX_COLORS)}")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)


def _shows_ball(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(near(frames, BALL, _TOLERANCE) >= _LEAST_AREA, dtype=np.bool_)


class StateReader(PictureReader):
    """Finds a white ball in the frames of the queried scenes, and the color of the box below it."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`. Each frame with a ball votes for the nearest box; the confidence is its share."""
        ball = near_mask(shown, BALL, _TOLERANCE)
        votes: dict[str, int] = {}
        with_ball = (ball.mean(axis=(1, 2)) >= _LEAST_AREA) & asked
        for index in np.flatnonzero(with_ball).tolist():
            boxes = _boxes(bright_labels(shown[index : index + 1])[0])
            if boxes:
                place = float(np.nonzero(ball[index])[1].mean())
                name = min(boxes, key=lambda box: abs(boxes[box] - place))
                votes[name] = votes.get(name, 0) + 1
        choices = {option: votes.get(option.lower(), 0) for option in options or BOX_COLORS}
        best = max(choices, key=lambda option: choices[option])
        return Reading(best, choices[best] / sum(votes.values())) if choices[best] else NO_READING


def _boxes(labels: NDArray[np.int8]) -> dict[str, float]:
    """Position of each box: the mean column of its color."""
    found = {}
    for place, name in enumerate(EVENT_COLORS):
        columns = np.nonzero(labels == place)[1]
        if name in BOX_COLORS and len(columns) >= _LEAST_BOX * labels.size:
            found[name] = float(columns.mean())
    return found


class State(Family[StateSettings]):
    """Closed boxes stand in each scene; once a crane lowers a ball into one of them. Chance is 1 / boxes.

    The overview shows only closed boxes, so the agent must see the ball go in.
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

    reader = StateReader()
    search = Search(find_event, _shows_ball)

    @property
    def num_options(self) -> int:
        """One option for each box."""
        return self.settings.boxes

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`. Options are the boxes' colors."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        used = BOX_COLORS[: s.boxes]
        options = tuple(used[i] for i in rng.permutation(s.boxes))
        question = self.draw_question(rng, timeline)
        radius = min(0.13 * min(1.0, s.aspect), 0.38 * s.aspect / s.boxes)
        rows: list[Boxes] = []
        for scene in range(s.scenes):
            first, last = timeline.frames_of(scene)
            start = timeline.draw_start(rng, scene, length)
            names = [used[i] for i in rng.permutation(s.boxes)]
            chosen = int(rng.integers(s.boxes))
            if scene == timeline.target:
                chosen, event = names.index(options[position]), (start, start + length)
            rows.append(
                Boxes(
                    first,
                    last,
                    tuple(EVENT_COLORS[name] for name in names),
                    tuple(s.aspect * (place + 0.5) / s.boxes for place in range(s.boxes)),
                    _BOX_HEIGHT,
                    radius,
                    None if scene in timeline.idle else (start, start + length),
                    chosen,
                )
            )
        return Draft(
            actors=rows,
            question=question,
            options=options,
            evidence=(s.interval(*event),),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                # The ball may come down anywhere across the picture.
                regions=(WHOLE_PICTURE,),
                placement=Placement(timeline.starts(timeline.asked, length), ((0, length),), s.fps),
            ),
        )
