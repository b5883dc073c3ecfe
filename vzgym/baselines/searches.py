"""How a careful viewer searches, family by family: each search gives the next zoom, or None when it is done."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vzgym.baselines.viewer import Step, Viewer, zoom_facts
from vzgym.core.interval import Interval

__all__ = ["find_all", "find_burst", "find_flash", "find_two", "look_once"]


def look_once(viewer: Viewer) -> Step | None:
    """The overview shows it: no zoom."""
    return None


def find_flash(viewer: Viewer) -> Step | None:
    """Search the place named by the question, window by window, until the event has been seen once."""
    if len(viewer.marked()):
        return None
    return _search(viewer, viewer.spans, viewer.zooms_left)


def find_all(viewer: Viewer) -> Step | None:
    """Search the place named by the question to its end: there are several events to be seen."""
    return _search(viewer, viewer.spans, viewer.zooms_left)


def find_two(viewer: Viewer) -> Step | None:
    """Search for a card, then the scene of its hue for a flash."""
    spare = max(1, (viewer.zooms_left + 1) // 2)
    if len(viewer.marked()) == 0:
        return _search(viewer, viewer.spans, spare)
    goal = viewer.card()
    there = [where for hue, where in viewer.scenes if hue == goal]
    if not there or viewer.flashed(goal):
        return None
    return _search(viewer, there[:1], viewer.zooms_left)


def _search(viewer: Viewer, spans: Sequence[Interval], zooms: int) -> Step | None:
    """The next window of a search in several places, at the rate that cannot miss the event."""
    seconds = viewer.hints.seconds or 1.0 / viewer.hints.fps
    fps = viewer.rate(1.0 / seconds, math.fsum(where.duration for where in spans), zooms)
    for where in spans:
        step = _next_piece(viewer, where, fps, seconds)
        if step is not None:
            return step
    return None


def find_burst(viewer: Viewer) -> Step | None:
    """Search coarsely until one frame shows the burst, then look at all of it, at the rate that it needs."""
    seconds = viewer.hints.seconds or 1.0 / viewer.hints.fps
    marked = viewer.marked()
    if len(marked) == 0:
        # The finer look still to come needs a clip or two.
        return _search(viewer, viewer.spans, max(1, viewer.zooms_left - 2))
    where = next((span for span in viewer.spans if float(marked[0]) in span), viewer.span)
    first, last = float(marked[0]), float(marked[-1])
    seen = viewer.seen(where)
    before, after = seen[seen < first], seen[seen > last]
    start = max(float(before[-1]) if len(before) else where.start, last - seconds)
    end = min(float(after[0]) if len(after) else where.end, first + seconds)
    if end <= start:
        return None
    hidden = viewer.gap(Interval(start, end), 1.0 / viewer.hints.fps)
    if hidden is None:
        return None
    fps = viewer.rate(viewer.hints.fps, end - hidden.start, viewer.zooms_left)
    zoom = viewer.zoom(hidden.start, end, fps)
    if zoom is None:
        return None
    return Step(zoom, "closer", {**viewer.facts(), **zoom_facts(zoom), "at": first})


def _next_piece(viewer: Viewer, where: Interval, fps: float, seconds: float) -> Step | None:
    """The first window of a search in which something so long could still hide."""
    for zoom in viewer.pieces(where, fps):
        if viewer.gap(Interval(zoom.start, zoom.end), seconds) is not None:
            again = any(window.start < where.end and window.end > where.start for window in viewer.windows)
            return Step(zoom, "look_on" if again else "look", {**viewer.facts(), **zoom_facts(zoom)})
    return None
