"""Observation modules: what an agent observes of an episode, and in which format.

A module has two methods: `space(budget)` and `observe(episode)`. Register third-party modules in `OBSERVATIONS` or
through the entry-point group `vzgym.observations`, or pass the object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete
from numpy.typing import NDArray

from vzgym.core.budget import Budget
from vzgym.core.registry import Registry
from vzgym.envs.options import need_frame_size
from vzgym.envs.spaces import MAX_SECONDS, UnicodeText
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Message
from vzgym.episode.episode import Episode

__all__ = [
    "OBSERVATIONS",
    "CompactObservation",
    "DefaultObservation",
    "DialogueObservation",
    "ObservationModule",
    "dialogue_text",
]

_CUT = "\n[... dialogue cut here ...]\n"


@runtime_checkable
class ObservationModule(Protocol):
    """Interface of observation modules."""

    def space(self, budget: Budget) -> Space[Any]:
        """The observation space under a budget. Called once."""
        ...

    def observe(self, episode: Episode) -> Any:
        """The observation of the episode's current state; arrays are fresh, never reused or shared."""
        ...


OBSERVATIONS: Registry[ObservationModule] = Registry("observation module", "vzgym.observations")


def dialogue_text(messages: Sequence[Message], max_length: int) -> str:
    """Join the dialogue into one text, "role: text" per message; over-long text is cut in the middle and marked.

    Args:
        messages: The dialogue.
        max_length: Most characters of the result.
    """
    text = "\n".join(f"{message.role}: {message.text}" for message in messages)
    if len(text) <= max_length:
        return text
    keep = max(0, max_length - len(_CUT))
    # The end is what the agent must react to; the beginning holds the rules and the question.
    head, tail = keep // 2, keep - keep // 2
    return (text[:head] + _CUT + (text[-tail:] if tail else ""))[:max_length]


def budget_left(episode: Episode) -> NDArray[np.int32]:
    """int32, shape `(3,)`: zooms, frames and rounds that are left."""
    return np.array([episode.zooms_left, episode.frames_left, episode.rounds_left], dtype=np.int32)


def _budget_space(budget: Budget) -> Box:
    most = [budget.max_zooms, budget.max_zooms * budget.clip_frames, budget.max_rounds]
    return Box(low=0, high=np.array(most, dtype=np.int32), shape=(3,), dtype=np.int32)


class _FrameObservation(ABC):
    """Base of the modules with frames: an array of fixed capacity, filled from the front."""

    def __init__(self, frame_size: tuple[int, int] = (64, 64), max_dialogue: int = 8192) -> None:
        self.frame_size = need_frame_size(type(self).__name__, frame_size)
        self.max_dialogue = max_dialogue

    @abstractmethod
    def capacity(self, budget: Budget) -> int:
        """Most frames an observation holds."""

    @abstractmethod
    def clips(self, episode: Episode) -> Sequence[Clip]:
        """Which clips are shown."""

    def space(self, budget: Budget) -> Space[Any]:
        """See the class."""
        capacity = max(1, self.capacity(budget))
        return Dict(
            frames=Box(0, 255, (capacity, *self.frame_size, 3), np.uint8),
            frame_times=Box(-1.0, MAX_SECONDS, (capacity,), np.float64),
            num_frames=Discrete(capacity + 1),
            budget_left=_budget_space(budget),
            dialogue=UnicodeText(self.max_dialogue),
        )

    def observe(self, episode: Episode) -> dict[str, Any]:
        """See the class."""
        capacity = max(1, self.capacity(episode.budget))
        frames = np.empty((capacity, *self.frame_size, 3), dtype=np.uint8)
        times = np.full(capacity, -1.0, dtype=np.float64)
        filled = 0
        for clip in self.clips(episode):
            frames[filled : filled + len(clip)] = clip.thumbnails(self.frame_size)
            times[filled : filled + len(clip)] = clip.times
            filled += len(clip)
        frames[filled:] = 0
        return {
            "frames": frames,
            "frame_times": times,
            "num_frames": np.int64(filled),
            "budget_left": budget_left(episode),
            "dialogue": dialogue_text(episode.messages, self.max_dialogue),
        }


class DefaultObservation(_FrameObservation):
    """Every frame so far, the frames' times, the remaining budget and the dialogue.

    Space: `Dict` of

    - `frames`: `Box` uint8 `(capacity, height, width, 3)`, RGB, in order of arrival, letterboxed to `frame_size`;
      unused places are 0. `capacity` is the budget's `max_frames`.
    - `frame_times`: `Box` float64 `(capacity,)`, seconds; -1 in unused places.
    - `num_frames`: `Discrete(capacity + 1)`.
    - `budget_left`: `Box` int32 `(3,)`: zooms, frames, rounds.
    - `dialogue`: `UnicodeText(max_dialogue)`.

    Args:
        frame_size: `(height, width)` of a frame in pixels.
        max_dialogue: Most characters of the dialogue; a longer one is cut in the middle and marked.
    """

    def capacity(self, budget: Budget) -> int:
        """Most frames an observation holds."""
        return budget.max_frames

    def clips(self, episode: Episode) -> Sequence[Clip]:
        """Which clips are shown."""
        return episode.record.clips


class CompactObservation(_FrameObservation):
    """Like `DefaultObservation`, but with the latest frames only: the overview at first, then those of the newest turn.

    A turn without frames, such as a refused zoom, leaves them in place. `capacity` is the larger of `overview_frames`
    and `clip_frames`.

    Args:
        frame_size: `(height, width)` of a frame in pixels.
        max_dialogue: Most characters of the dialogue.
    """

    def capacity(self, budget: Budget) -> int:
        """Most frames an observation holds."""
        return max(budget.overview_frames, budget.clip_frames)

    def clips(self, episode: Episode) -> Sequence[Clip]:
        """Which clips are shown."""
        return next((turn.clips for turn in reversed(episode.record.turns) if turn.clips), (episode.record.overview,))


class DialogueObservation:
    """No frames: `Dict(budget_left: Box int32 (3,), dialogue: UnicodeText(max_dialogue))`.

    For policies that take their frames from `info["messages"]`, and for blind policies.

    Args:
        max_dialogue: Most characters of the dialogue.
    """

    shows_frames = False
    """Whether the observation holds no frames; the failure taxonomy needs to know."""

    def __init__(self, max_dialogue: int = 8192) -> None:
        self.max_dialogue = max_dialogue

    def space(self, budget: Budget) -> Space[Any]:
        """See the class."""
        return Dict(budget_left=_budget_space(budget), dialogue=UnicodeText(self.max_dialogue))

    def observe(self, episode: Episode) -> dict[str, Any]:
        """See the class."""
        return {
            "budget_left": budget_left(episode),
            "dialogue": dialogue_text(episode.messages, self.max_dialogue),
        }


OBSERVATIONS.register("default", DefaultObservation)
OBSERVATIONS.register("compact", CompactObservation)
OBSERVATIONS.register("dialogue", DialogueObservation)
OBSERVATIONS.register("flat", "vzgym.envs.flat:FlatObservation")
