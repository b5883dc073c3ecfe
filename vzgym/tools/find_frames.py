"""Frames that fit a text, by a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.episode.tools import ToolContext, ToolResult
from vzgym.episode.wording import number
from vzgym.scorers.base import Query, ScorerSpec, make_scorer
from vzgym.scorers.cache import CacheSpec, make_cache
from vzgym.scorers.video import candidate_times, score_video
from vzgym.tools.base import Arguments, TypedTool, check_count, check_positive, interval_of

__all__ = ["FindFrames", "FindFramesArguments"]


class FindFramesArguments(Arguments):
    """Arguments of `find_frames`."""

    text: str = Field(min_length=1)
    """What the frames should show."""

    start: float | None = None
    """Start of the interval to search, in seconds; 0 if left out."""

    end: float | None = None
    """End of the interval to search, in seconds; the video's end if left out."""


class FindFrames(TypedTool[FindFramesArguments]):
    """Finds the times whose frames fit a text best, by a scorer.

    Candidates are frames of the interval at `fps`. The result is their times and scores, best first, no two closer
    than `gap`: to see them, the agent zooms. The frames that are decoded and scored, and the scorer's passes, are
    charged by the cost ledger.

    Args:
        scorer: The scorer; see `vzgym.scorers.make_scorer`.
        fps: Candidates per second, > 0.
        candidates: Maximum number of candidates; of more, evenly spaced ones are scored.
        results: Maximum number of times to return.
        gap: Least distance in seconds between two of them, > 0.
        max_pixels: Maximum pixels of a candidate; larger frames are downscaled, keeping their aspect ratio.
        cache: Folder in which scores and embeddings of video files are kept, True for the default one; see
            `vzgym.scorers.score_video`. Records do not name it, since results do not depend on it.

    Raises:
        InvalidSetting: If an option is out of range, or the scorer cannot be named in a record.
        UnknownName: If there is no such scorer.
        DependencyNotInstalled: If the scorer needs a missing package.
    """

    name = "find_frames"
    description = "Finds the times at which the video shows what a text says. Returns times with scores, best first."
    arguments: ClassVar[type[Arguments]] = FindFramesArguments

    def __init__(
        self,
        scorer: ScorerSpec = "clip",
        fps: float = 1.0,
        candidates: int = 2048,
        results: int = 5,
        gap: float = 2.0,
        max_pixels: int = 50_176,
        cache: CacheSpec = None,
    ) -> None:
        check_positive(self.name, fps=fps, gap=gap)
        check_count(self.name, candidates=candidates, results=results, max_pixels=max_pixels)
        if not isinstance(scorer, (str, Mapping)):
            raise InvalidSetting(
                f"the scorer of tool {self.name!r} is given by name or mapping, so that a record can name it, got "
                f"{scorer!r:.100}"
            )
        self.scorer = make_scorer(scorer)
        self.fps, self.candidates, self.results, self.gap, self.max_pixels = fps, candidates, results, gap, max_pixels
        self._cache = make_cache(cache)
        self._scorer_spec = dict(scorer) if isinstance(scorer, Mapping) else scorer

    @property
    def privileged(self) -> bool:
        """Whether the scorer knows the evidence."""
        return bool(getattr(self.scorer, "privileged", False))

    @property
    def options(self) -> Mapping[str, Any]:
        """See `TypedTool.options`."""
        return {
            "scorer": self._scorer_spec,
            "fps": self.fps,
            "candidates": self.candidates,
            "results": self.results,
            "gap": self.gap,
            "max_pixels": self.max_pixels,
        }

    def load(self) -> None:
        """Load the scorer's weights, if it has any; see `Tool`.

        Raises:
            InvalidSetting: If they cannot be opened.
            DependencyNotInstalled: If the scorer needs a missing package.
        """
        load = getattr(self.scorer, "load", None)
        if load is not None:
            load()

    def execute(self, arguments: FindFramesArguments, context: ToolContext) -> ToolResult:
        """See `Tool.run`.

        Raises:
            ScorerError: If the scorer fails.
        """
        span = interval_of(arguments.start, arguments.end, context.duration)
        length = span.end - span.start
        times = span.start + candidate_times(length, self.fps, self.candidates)
        query = Query(arguments.text, task_id=context.task_id, evidence=context.evidence)
        scored = score_video(self.scorer, context.video, query, times, max_pixels=self.max_pixels, cache=self._cache)
        best: list[int] = []
        # Stable: of equal scores, the earlier frame comes first.
        for place in np.argsort(-scored.scores, kind="stable"):
            if all(abs(scored.times[place] - scored.times[other]) >= self.gap for other in best):
                best.append(int(place))
                if len(best) == self.results:
                    break
        found = [(float(scored.times[place]), float(scored.scores[place])) for place in best]
        return ToolResult(_reply(found, len(times), span), costs=dict(scored.costs))

    def longest(self, context: ToolContext) -> ToolResult:
        """See `Tool`."""
        found = [(context.duration, -1.11e-111)] * self.results
        return ToolResult(_reply(found, self.candidates, Interval(1 / 3, context.duration)))


def _reply(found: Sequence[tuple[float, float]], count: int, span: Interval) -> str:
    """The times and scores of the best frames of an interval."""
    lines = [f"{time:.2f} s (score {score:.3g})" for time, score in found]
    return "\n".join([f"The best of {count} frames from {number(span.start)} to {number(span.end)} s:", *lines])
