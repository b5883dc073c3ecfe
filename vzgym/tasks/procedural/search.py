"""Searches of the scripted expert: the interface to an episode (`SearchState`), and searches that families share.

A search returns the next zoom, or None when it is done. It is called after each zoom and is stateless: the
`SearchState` holds everything that the episode has shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.interval import Interval

__all__ = [
    "Hints",
    "Search",
    "SearchState",
    "Step",
    "find_burst",
    "find_event",
    "next_window",
    "search_everywhere",
    "zoom_facts",
]


@dataclass(frozen=True, slots=True)
class Hints:
    """The expert's prior knowledge of an event, which an agent must learn.

    Args:
        seconds: Duration of the event; None if unknown, or if there is none.
        fps: Required frames per second.
        zooms: Only for families without a search: zooms that show the evidence, if it is known.
    """

    seconds: float | None = None
    fps: float = 1.0
    zooms: tuple[Zoom, ...] = ()

    @property
    def event_seconds(self) -> float:
        """Duration of the event; if unknown, the distance between two frames at `fps`."""
        return self.seconds or 1.0 / self.fps


@dataclass(frozen=True, slots=True)
class Step:
    """The next action and its reason.

    Attributes:
        action: The zoom or the answer.
        reason: A key of the phrase books in `vzgym.agents.data.phrases`.
        facts: Values for the phrase: `scene`, `start`, `end`, `fps`, `answer`, ...
    """

    action: Zoom | Answer
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class SearchState(Protocol):
    """The searches' interface to an episode: what it has shown so far, and valid zooms."""

    @property
    def question(self) -> str:
        """The question."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """The choices, as text; empty for an open question."""
        ...

    @property
    def duration(self) -> float:
        """Length of the video in seconds."""
        ...

    @property
    def budget(self) -> Budget:
        """The budget of the episode."""
        ...

    @property
    def hints(self) -> Hints:
        """The expert's prior knowledge of the event."""
        ...

    @property
    def zooms_left(self) -> int:
        """Number of zooms left."""
        ...

    @property
    def scenes(self) -> list[tuple[str, Interval]]:
        """The scenes that the overview shows, in order: hue, and interval from first frame to next scene's first."""
        ...

    @property
    def span(self) -> Interval:
        """Where the event can lie: the scene that the question names, or else the whole video."""
        ...

    @property
    def spans(self) -> list[Interval]:
        """The same for a question that names two scenes: both, in order of time."""
        ...

    @property
    def windows(self) -> list[Interval]:
        """The intervals of the zooms made so far."""
        ...

    def seen(self, where: Interval) -> NDArray[np.float64]:
        """Times of all frames seen in an interval, sorted."""
        ...

    def event_times(self) -> NDArray[np.float64]:
        """Times of the frames that show the event (`Search.shows_event`) in a queried scene, sorted."""
        ...

    def event_clips(self) -> Iterator[NDArray[np.uint8]]:
        """The frames that show the event, clip by clip: uint8, `(n, height, width, 3)`, n >= 1."""
        ...

    def scene_clips(self, hue: str | None) -> Iterator[NDArray[np.uint8]]:
        """The frames of a scene, clip by clip: uint8, `(n, height, width, 3)`, n >= 1."""
        ...

    def gap(self, where: Interval, seconds: float) -> Interval | None:
        """The first gap between seen frames in an interval that could hide an event of this length."""
        ...

    def rate(self, least: float, seconds: float, zooms: int) -> float:
        """A frame rate of at least `least`, rounded up if `zooms` clips at that rate can still cover `seconds`."""
        ...

    def zoom(self, start: float, end: float, fps: float) -> Zoom | None:
        """A valid zoom: inside the video, at most one clip; None if nothing is left."""
        ...

    def pieces(self, where: Interval, fps: float) -> list[Zoom]:
        """Consecutive full clips that cover an interval."""
        ...

    def facts(self) -> dict[str, Any]:
        """Values for phrases about the queried scene."""
        ...


def _no_event(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.zeros(len(frames), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Search:
    """How the expert searches for the event of a family; the `search` of a `Family`.

    Args:
        next_step: The next zoom, or None when the search is done.
        shows_event: Which frames show the event: uint8 `(n, height, width, 3)`, without bars, to bool `(n,)`.
        in_other_scenes: Whether the answer may lie in a scene that the question does not name.
    """

    next_step: Callable[[SearchState], Step | None]
    shows_event: Callable[[NDArray[np.uint8]], NDArray[np.bool_]] = _no_event
    in_other_scenes: bool = False


def find_event(state: SearchState) -> Step | None:
    """Search the queried scenes, window by window, until the event has been seen once."""
    return None if len(state.event_times()) else search_everywhere(state)


def search_everywhere(state: SearchState) -> Step | None:
    """Search the queried scenes to their end, since there are several events."""
    return next_window(state, state.spans, state.zooms_left)


def find_burst(state: SearchState) -> Step | None:
    """Search coarsely until one frame shows the burst, then zoom into all of it at the required rate."""
    seconds = state.hints.event_seconds
    times = state.event_times()
    if len(times) == 0:
        # The finer zoom that follows needs a clip or two.
        return next_window(state, state.spans, max(1, state.zooms_left - 2))
    where = next((span for span in state.spans if float(times[0]) in span), state.span)
    first, last = float(times[0]), float(times[-1])
    seen = state.seen(where)
    before, after = seen[seen < first], seen[seen > last]
    start = max(float(before[-1]) if len(before) else where.start, last - seconds)
    end = min(float(after[0]) if len(after) else where.end, first + seconds)
    if end <= start:
        return None
    hidden = state.gap(Interval(start, end), 1.0 / state.hints.fps)
    if hidden is None:
        return None
    fps = state.rate(state.hints.fps, end - hidden.start, state.zooms_left)
    zoom = state.zoom(hidden.start, end, fps)
    if zoom is None:
        return None
    return Step(zoom, "closer", {**state.facts(), **zoom_facts(zoom), "at": first})


def next_window(state: SearchState, spans: Sequence[Interval], zooms: int) -> Step | None:
    """The next window of a search over several intervals, at a rate that cannot miss the event.

    Args:
        state: The episode so far.
        spans: The intervals, in search order.
        zooms: Number of zooms available to the search.

    Returns:
        None if no interval can hide the event.
    """
    seconds = state.hints.event_seconds
    fps = state.rate(1.0 / seconds, math.fsum(where.duration for where in spans), zooms)
    for where in spans:
        for zoom in state.pieces(where, fps):
            if state.gap(Interval(zoom.start, zoom.end), seconds) is not None:
                again = any(window.start < where.end and window.end > where.start for window in state.windows)
                return Step(zoom, "look_on" if again else "look", {**state.facts(), **zoom_facts(zoom)})
    return None


def zoom_facts(zoom: Zoom) -> dict[str, float]:
    """Values for phrases about a zoom."""
    return {"from": zoom.start, "to": zoom.end, "fps": zoom.fps}
