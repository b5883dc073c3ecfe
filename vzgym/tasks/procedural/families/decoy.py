"""Decoy: a garland of lights marks a misleading flash; the relevant one is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import Draft, Family, region_around
from vzgym.tasks.procedural.pixels import bright_labels
from vzgym.tasks.procedural.reader import PictureReader, Reading, vote
from vzgym.tasks.procedural.render.actors import Bulbs, Ring
from vzgym.tasks.procedural.render.painter import Actor, Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.search import Search, find_event
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["DISC_COLORS", "Decoy", "DecoyReader", "DecoySettings", "find_discs"]

DISC_COLORS = tuple(name for name in EVENT_COLORS if name != "white")
"""Colors of discs and rings: none that a reader could confuse with the lights."""

# Smallest share of the picture that counts as a disc.
_LEAST_AREA = 0.004
_WHITE = tuple(EVENT_COLORS).index("white")


@dataclass(frozen=True)
class DecoySettings(SceneSettings):
    """Settings of the decoy family; see `SceneSettings` for the others.

    Args:
        colors: Number of colors, and of options: 2 to 7.
        event_seconds: Length of the disc's flash.
        decoy_seconds: Length of the ring's flash, which misleads.
        flash_size: Diameter of disc and ring, as a share of the shorter side, in (0, 0.7].
    """

    colors: int = 4
    event_seconds: float = 1.0
    decoy_seconds: float = 1.6
    flash_size: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(2 <= self.colors <= len(DISC_COLORS), "colors", f"2 to {len(DISC_COLORS)}")
        self.need(0 < self.flash_size <= 0.7, "flash_size", "in (0, 0.7]")
        frames = self.event_frames(self.event_seconds)
        self.event_frames(self.decoy_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)
        self.needs_gaps(2, "a disc and a decoy")


def find_discs(shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The share of each frame that a full disc of each color covers; 0 for rings.

    Args:
        shown: uint8, shape `(n, height, width, 3)`, without bars.

    Returns:
        float64, shape `(n, len(EVENT_COLORS))`.
    """
    area = np.zeros((len(shown), len(EVENT_COLORS)))
    for index, labels in enumerate(bright_labels(shown)):
        counts = np.bincount(labels[labels >= 0], minlength=len(EVENT_COLORS))
        counts[_WHITE] = 0
        color = int(counts.argmax())
        if counts[color] < _LEAST_AREA * labels.size:
            continue
        mask = labels == color
        rows, columns = np.nonzero(mask)
        # The median is robust to stray pixels.
        y, x = int(np.median(rows)), int(np.median(columns))
        reach = max(1, int(0.15 * np.sqrt(counts[color])))
        if mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].mean() > 0.6:
            area[index, color] = counts[color] / labels.size
    return area


def _shows_disc(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((find_discs(frames) > 0).any(axis=1), dtype=np.bool_)


class DecoyReader(PictureReader):
    """Votes for the color of full discs in the frames of the queried scenes; ignores rings and lights."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`. The confidence is the winner's share of all votes."""
        return vote(find_discs(shown)[asked], options)


class Decoy(Family[DecoySettings]):
    """A disc and a ring flash in each scene; the question is the disc's color. Chance is 1 / colors.

    The ring lasts longer, and the overview shows a garland of lights around its time. Its color is independent of the
    disc's. A zoom at the lights shows a ring, and the search must continue.
    """

    name: ClassVar[str] = "decoy"
    Settings = DecoySettings
    wordings: ClassVar[Mapping[str, Sequence[str]]] = {
        "visible": (
            "What colour is the full disc, not the ring, in the {scene} scene?",
            "A ring and a full disc flash in the {scene} scene. Which colour is the disc?",
            "Which colour does the disc without a hole have in the {scene} scene?",
        ),
        "none": (
            "What colour is the full disc, not the ring, in this video?",
            "Rings and one full disc flash in this video. Which colour is the disc?",
            "Which colour does the disc without a hole have in this video?",
        ),
    }

    reader = DecoyReader()
    search = Search(find_event, _shows_disc)

    @property
    def num_options(self) -> int:
        """One option for each color."""
        return self.settings.colors

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`. Every scene has a decoy, with or without a disc."""
        s = self.settings
        length, longer = s.event_frames(s.event_seconds), s.event_frames(s.decoy_seconds)
        names = DISC_COLORS[: s.colors]
        options = tuple(names[i] for i in rng.permutation(s.colors))
        question = self.draw_question(rng, timeline)
        radius = s.flash_size / 2 * min(1.0, s.aspect)
        margin, below = radius * 1.08, 0.2
        actors: list[Actor] = []
        free: dict[int, list[tuple[int, int]]] = {}
        for scene in range(s.scenes):
            gaps = list(timeline.gaps[scene])
            lit = gaps.pop(int(rng.integers(len(gaps))))
            free[scene] = gaps
            start = timeline.draw_start_in(rng, gaps, length)
            false = timeline.draw_start_in(rng, [lit], longer)
            spots = [
                (margin + x * (s.aspect - 2 * margin), below + radius + y * max(0.0, 1.0 - below - radius - margin))
                for x, y in rng.random((2, 2)).tolist()
            ]
            color, ring = (names[int(i)] for i in rng.integers(s.colors, size=2))
            # The overview shows the lights on the first of these frames, and on the last one if the scene continues.
            hung = min(lit[1] + 1, timeline.frames_of(scene)[1])
            actors.append(Bulbs(lit[0], hung, max(5, round(6 * s.aspect)), 0.035 * min(1.0, s.aspect)))
            actors.append(Ring(false, false + longer, EVENT_COLORS[ring], *spots[0], radius))
            if scene == timeline.target:
                color, event = options[position], (start, start + length)
                decoy = s.interval(false, false + longer)
                region = region_around(*spots[1], 1.1 * radius, 1.1 * radius, s.aspect)
            elif scene in timeline.idle:
                continue
            actors.append(Flash(start, start + length, "disc", EVENT_COLORS[color], *spots[1], radius))
        starts = tuple(r for scene in timeline.asked for r in timeline.starts_in(free[scene], length))
        return Draft(
            actors=actors,
            question=question,
            options=options,
            evidence=(s.interval(*event),),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                regions=(region,),
                placement=Placement(starts, ((0, length),), s.fps),
            ),
            metadata={"decoys": [decoy.to_list()]},
        )
