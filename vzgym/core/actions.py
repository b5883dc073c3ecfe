"""Actions of an agent: zooms, tool calls, answers and malformed text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Action", "Answer", "Malformed", "Region", "ToolCall", "TurnRules", "Zoom", "Zooms", "frames_asked"]

# A product such as 3.2 s * 5 fps = 16.000000000000004 must not be rounded up to 17 frames.
_FRAME_SLACK = 1e-6


def frames_asked(seconds: float, fps: float) -> int:
    """Number of frames of a clip of `seconds` at `fps`: `max(1, ceil(seconds * fps - 1e-6))`.

    Args:
        seconds: Length of the clip, finite and > 0.
        fps: Frames per second, finite and > 0.
    """
    return max(1, math.ceil(seconds * fps - _FRAME_SLACK))


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the frame, in fractions of its width and height (0 = left or top, 1 = right or bottom).

    Unvalidated, as a `Zoom`: the episode validates it.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def is_valid(self) -> bool:
        """Whether the rectangle is finite, inside the frame and not empty."""
        values = (self.left, self.top, self.right, self.bottom)
        return (
            all(math.isfinite(v) for v in values)
            and 0.0 <= self.left < self.right <= 1.0
            and 0.0 <= self.top < self.bottom <= 1.0
        )

    def to_list(self) -> list[float]:
        """`[left, top, right, bottom]`, the form in files and in the protocol's JSON."""
        return [float(self.left), float(self.top), float(self.right), float(self.bottom)]


@dataclass(frozen=True, slots=True)
class Zoom:
    """Requests the clip `[start, end)` at `fps`. Unvalidated: the episode validates it.

    Args:
        start: Seconds from the start of the video.
        end: Seconds from the start of the video.
        fps: Frames per second.
        region: The region of the frame, if the environment has spatial zoom.
        max_pixels: Maximum pixels of each of its frames, if the environment lets a zoom choose; None: the budget's.
    """

    start: float
    end: float
    fps: float
    region: Region | None = None
    max_pixels: int | None = None

    @property
    def num_frames(self) -> int:
        """Number of requested frames, `max(1, ceil((end - start) * fps - 1e-6))`. Needs finite values, end > start."""
        return frames_asked(self.end - self.start, self.fps)

    def times(self) -> NDArray[np.float64]:
        """Requested times, `start + i / fps`, float64, shape `(num_frames,)`."""
        return self.start + np.arange(self.num_frames, dtype=np.float64) / self.fps


@dataclass(frozen=True, slots=True)
class Zooms:
    """Several zooms in one turn. Unvalidated: the episode validates them.

    They share the frames of one zoom (`clip_frames`) and are executed or refused together. The episode treats a
    single zoom as that `Zoom`.

    Args:
        zooms: The zooms, at least one.
    """

    zooms: tuple[Zoom, ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Calls a tool of the episode. Unvalidated: the episode and the tool validate it.

    Args:
        name: The tool's name.
        arguments: The arguments by name, as JSON values.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the question and end the episode.

    Args:
        text: The raw answer. For multiple choice a letter ("B") or the option's text.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """An agent's text without a readable action. Uses up a round; the reply states the reason.

    Args:
        reason: The reason, as one sentence for the agent.
    """

    reason: str


Action: TypeAlias = Zoom | Zooms | ToolCall | Answer | Malformed
"""All actions that `Episode.step` accepts."""


@dataclass(frozen=True, slots=True)
class TurnRules:
    """The facts about an episode that decide how a turn's text is read. The defaults are the paper's.

    Args:
        zooms_per_turn: Maximum number of zooms in one turn.
        tools: Names of the tools that may be called beside the zoom.
    """

    zooms_per_turn: int = 1
    tools: tuple[str, ...] = ()
