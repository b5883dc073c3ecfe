"""Records of replies to a benchmark's questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.tasks.benchmarks.conftest import clip, folder
from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.interval import Interval
from vzgym.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.tasks import VideoTask

__all__ = ["clip", "folder", "replied"]

Replied = Callable[..., EpisodeRecord]


@pytest.fixture
def replied(make_task: Callable[..., VideoTask]) -> Replied:
    """Play a question of a benchmark: some zooms, then the reply."""

    def play(
        id: str,
        reply: str,
        *,
        source: str,
        options: Sequence[str] = ("apples", "pears", "plums", "figs"),
        answer: str = "plums",
        evidence: Sequence[tuple[float, float]] | None = None,
        zooms: Sequence[tuple[float, float]] = (),
        text: str | None = None,
        **metadata: Any,
    ) -> EpisodeRecord:
        task = make_task(
            id,
            source=source,
            options=tuple(options),
            answer=answer,
            evidence=None if evidence is None else tuple(Interval(*pair) for pair in evidence),
            metadata=metadata,
        )
        episode = Episode(task, Budget(max_zooms=3))
        for start, end in zooms:
            episode.step(Zoom(start, end, 2.0))
        episode.step(Answer(reply), text=text)
        return episode.record

    return play
