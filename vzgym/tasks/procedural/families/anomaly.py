"""Anomaly: what unusual thing happens, if anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.tasks.evidence import EvidenceRequirements, Placement
from vzgym.tasks.procedural.family import WHOLE_PICTURE, Draft, Family
from vzgym.tasks.procedural.pixels import bright_labels
from vzgym.tasks.procedural.reader import NO_READING, PictureReader, Reading
from vzgym.tasks.procedural.render.actors import Ball
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.procedural.search import Search, find_event
from vzgym.tasks.procedural.timeline import SceneSettings, Timeline

__all__ = ["BALL_COLORS", "NORMAL", "ODDITIES", "Anomaly", "AnomalyReader", "AnomalySettings", "find_oddities"]

NORMAL = "nothing unusual"
"""The answer if the ball behaves normally."""

ODDITIES: dict[str, str] = {"it vanishes": "vanishes", "it turns white": "whitens", "it splits in two": "splits"}
"""The oddities: option text and the actor's name for each."""

BALL_COLORS = tuple(name for name in EVENT_COLORS if name not in ("white", "cyan"))

# Smallest share of the picture that counts as a ball.
_LEAST_AREA = 0.004
_WHITE = tuple(EVENT_COLORS).index("white")


@dataclass(frozen=True)
class AnomalySettings(SceneSettings):
    """Settings of the anomaly family; see `SceneSettings` for the others.

    Args:
        oddities: Number of kinds of oddity: 1 to 3. "Nothing unusual" is one more option.
        event_seconds: Duration of an oddity.
        ball_size: Diameter of the ball, as a share of the shorter side, in (0, 0.4].
    """

    oddities: int = 3
    event_seconds: float = 1.2
    ball_size: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(1 <= self.oddities <= len(ODDITIES), "oddities", f"1 to {len(ODDITIES)}")
        self.need(0 < self.ball_size <= 0.4, "ball_size", "in (0, 0.4]")
        frames = self.event_frames(self.event_seconds)
        self.needs_rate(self.fps / frames, frames / self.fps)


def find_oddities(shown: NDArray[np.uint8]) -> list[str | None]:
    """The oddity that each frame shows, as option text; None for a ball that behaves normally.

    Args:
        shown: uint8, shape `(n, height, width, 3)`, without bars.
    """
    labels = bright_labels(shown)
    found: list[str | None] = []
    for frame in labels:
        lit = frame >= 0
        if lit.mean() < _LEAST_AREA:
            found.append("it vanishes")
        elif (frame == _WHITE).sum() > 0.6 * lit.sum():
            found.append("it turns white")
        else:
            columns = lit.sum(axis=0) >= 2
            pieces = int(columns[0]) + int((columns[1:] & ~columns[:-1]).sum())
            found.append("it splits in two" if pieces >= 2 else None)
    return found


def _shows_oddity(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.array([oddity is not None for oddity in find_oddities(frames)], dtype=np.bool_)


class AnomalyReader(PictureReader):
    """Classifies each frame of the queried scenes; if all are normal, nothing unusual happens."""

    def read_picture(
        self,
        shown: NDArray[np.uint8],
        times: NDArray[np.float64],
        asked: NDArray[np.bool_],
        options: Sequence[str],
    ) -> Reading:
        """See `PictureReader`.

        The confidence of an oddity is its share of the odd frames. That of "nothing unusual" is n / (n + 8) for n
        frames: it grows with the number of frames and never reaches 1.
        """
        shown = shown[asked]
        if len(shown) == 0:
            return NO_READING
        odd = [oddity for oddity in find_oddities(shown) if oddity is not None]
        choices = {option.lower(): option for option in options or (NORMAL, *ODDITIES)}
        if not odd:
            return Reading(choices[NORMAL], len(shown) / (len(shown) + 8)) if NORMAL in choices else NO_READING
        best = max(sorted(set(odd)), key=odd.count)
        return Reading(choices[best], odd.count(best) / len(odd)) if best in choices else NO_READING


class Anomaly(Family[AnomalySettings]):
    """A ball drifts through each scene and may briefly vanish, turn white or split. Chance is 1 / options.

    One option is that nothing unusual happens; it is right as often as any other. A few normal frames do not prove
    it: the evidence of such a task is the interval in which an oddity would show. With `cue="none"` one scene of the
    video may hold an oddity, and all others are normal.
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

    reader = AnomalyReader()
    search = Search(find_event, _shows_oddity)

    @property
    def num_options(self) -> int:
        """One option for "nothing unusual" and one for each oddity."""
        return self.settings.oddities + 1

    def draw(self, rng: np.random.Generator, timeline: Timeline, position: int) -> Draft:
        """See `Family.draw`."""
        s = self.settings
        length = s.event_frames(s.event_seconds)
        kinds = (NORMAL, *tuple(ODDITIES)[: s.oddities])
        options = tuple(kinds[i] for i in rng.permutation(len(kinds)))
        question = self.draw_question(rng, timeline)
        radius = s.ball_size / 2 * min(1.0, s.aspect)
        side, sway = 2.0 * radius, 0.6 * radius
        room = side + sway
        balls = []
        for scene in range(s.scenes):
            first, last = timeline.frames_of(scene)
            start = timeline.draw_start(rng, scene, length)
            x, y, phase = rng.random(3).tolist()
            color = BALL_COLORS[int(rng.integers(len(BALL_COLORS)))]
            kind = kinds[int(rng.integers(len(kinds)))]
            if scene == timeline.target:
                kind, event = options[position], (start, start + length)
            elif scene in timeline.idle:
                kind = NORMAL
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
        return Draft(
            actors=balls,
            question=question,
            options=options,
            evidence=(s.interval(*event),),
            requirements=EvidenceRequirements(
                min_fps=s.fps / length,
                regions=(WHOLE_PICTURE,),
                placement=Placement(timeline.starts(timeline.asked, length), ((0, length),), s.fps),
            ),
        )
