"""What an agent can do in a round: zoom, answer, or fail to say either."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Action", "Answer", "Malformed", "Region", "Zoom", "frames_asked"]

# ceil() of a product such as 3.2 s * 5 fps must not see 16.000000000000004 and ask for a 17th frame.
_FRAME_SLACK = 1e-6


def frames_asked(seconds: float, fps: float) -> int:
    """How many frames a clip of `seconds` at `fps` asks for: `max(1, ceil(seconds * fps - 1e-6))`.

    Args:
        seconds: Length of the clip, finite and > 0.
        fps: Frames a second, finite and > 0.
    """
    return max(1, math.ceil(seconds * fps - _FRAME_SLACK))


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the picture, in shares of its width and height (0 = left or top, 1 = right or bottom).

    Unvalidated data, as a `Zoom` is: the episode judges it.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def is_valid(self) -> bool:
        """Whether the rectangle is finite, inside the picture and not empty."""
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
    """Ask for the clip `[start, end)` at `fps`. Unvalidated data: the episode judges it.

    Args:
        start: Seconds from the start of the video.
        end: Seconds from the start of the video.
        fps: Frames a second to look at.
        region: The part of the picture to look at, where the environment has spatial zoom.
    """

    start: float
    end: float
    fps: float
    region: Region | None = None

    @property
    def num_frames(self) -> int:
        """Frames asked for: `max(1, ceil((end - start) * fps - 1e-6))`. Needs finite values, end > start."""
        return frames_asked(self.end - self.start, self.fps)

    def times(self) -> NDArray[np.float64]:
        """Times asked for, `start + i / fps`, float64, shape `(num_frames,)`."""
        return self.start + np.arange(self.num_frames, dtype=np.float64) / self.fps


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the question and end the episode.

    Args:
        text: The answer as said. For multiple choice a letter ("B") or the option's text.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """An agent's text in which no action could be read. Uses up a round; the reply says what was wrong.

    Args:
        reason: What was wrong, as one sentence for the agent.
    """

    reason: str


Action: TypeAlias = Zoom | Answer | Malformed
"""Everything an episode's `step` takes."""
