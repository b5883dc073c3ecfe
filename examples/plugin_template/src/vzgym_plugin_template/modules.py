"""An observation, an action and a reward module, and a scorer."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

import vzgym
from vzgym.core.errors import ActionTypeError
from vzgym.core.interval import intersect
from vzgym.envs import DecodedAction
from vzgym.episode import Episode, PlainWording
from vzgym.scorers import Frames, Query


class MeanColors:
    """The mean color of each frame of the latest clip; unused rows are 0."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def space(self, budget: vzgym.Budget) -> Box:
        """`(most frames of a clip, 3)`."""
        rows = max(budget.overview_frames, budget.clip_frames)
        return Box(0.0, 255.0 * self.scale, (rows, 3), np.float64)

    def observe(self, episode: Episode) -> NDArray[np.float64]:
        """A fresh array each time."""
        clip = episode.record.clips[-1]
        colors = np.zeros((max(episode.budget.overview_frames, episode.budget.clip_frames), 3))
        if clip.pixels is not None and len(clip):
            colors[: len(clip)] = self.scale * clip.pixels.mean(axis=(1, 2))
        return colors


class Eighths:
    """0 to 7 zoom into that eighth of the video with a full clip; 8 to 11 answer A to D."""

    wording = PlainWording()

    def space(self, budget: vzgym.Budget) -> Discrete:
        """Twelve values."""
        return Discrete(8 + 4)

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        """Decode a value."""
        if not isinstance(value, (int, np.integer)) or not 0 <= value < 12:
            raise ActionTypeError(f"the action must be an integer from 0 to 11, got {value!r}")
        if value >= 8:
            return DecodedAction(vzgym.Answer("ABCD"[value - 8]))
        length = episode.record.task.duration / 8
        fps = min(episode.budget.clip_frames / length, episode.budget.max_fps)
        return DecodedAction(vzgym.Zoom(float(value * length), float((value + 1) * length), fps))


class OnTarget:
    """1 for a zoom whose window touches the evidence, else 0."""

    name: ClassVar[str] = "template_on_target"
    needs: ClassVar[frozenset[str]] = frozenset({"evidence"})

    def score(self, record: Any, context: Any) -> float:
        """The latest turn's value."""
        return float(bool(intersect(record.turns[-1].windows, record.task.evidence)))


class Sharpness:
    """Scores frames by the mean difference of neighboring pixels, whatever the query."""

    name: ClassVar[str] = "template_sharpness"
    uses_model: ClassVar[bool] = False
    identity: ClassVar[dict[str, int]] = {"version": 1}

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """One number per frame."""
        steps = np.diff(frames.pixels.astype(np.float64), axis=2)
        scores: NDArray[np.float64] = np.abs(steps).mean(axis=(1, 2, 3))
        return scores
