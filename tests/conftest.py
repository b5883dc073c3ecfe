"""Runs without their clocks, files of tasks, and videos that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.errors import VideoError
from vzgym.core.interval import Interval
from vzgym.episode.record import EpisodeRecord
from vzgym.tasks import VideoTask, load_tasks
from vzgym.tasks.io.writing import write_tasks
from vzgym.video import ArrayVideo, Frames


def _facts(record: EpisodeRecord) -> dict[str, Any]:
    """All that a record says, but for how long things took."""
    data: dict[str, Any] = json.loads(record.to_line())
    for clock in ("wall_seconds", "tool_seconds", "model_seconds"):
        del data["info"][clock]
    for clip in [data["overview"], *(turn["clip"] for turn in data["turns"])]:
        if clip is not None:
            clip.pop("seconds")
    return data


@pytest.fixture(scope="session")
def facts() -> Callable[[EpisodeRecord], dict[str, Any]]:
    return _facts


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three tasks (needle, count, control) with real videos. Not to be changed."""
    tiny = load_tasks("tiny/test")
    return write_tasks([tiny[index] for index in range(3)], tmp_path_factory.mktemp("written"))


class FailingVideo(ArrayVideo):
    """Can be read while only few frames are asked for at once."""

    def __init__(self, most: int) -> None:
        super().__init__(np.zeros((40, 24, 32, 3), dtype=np.uint8), 4.0, "array:failing")
        self.most = most

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        if len(times) > self.most:
            raise VideoError("the data ends here", path=self.uri)
        return super().read(times, size=size, region=region)


@pytest.fixture(scope="session")
def make_task() -> Callable[..., VideoTask]:
    """A question about a video of 10 s, which fails when more than `most` frames are read at once."""

    def make(id: str = "hand-made", *, most: int = 10_000, **facts: Any) -> VideoTask:
        known: dict[str, Any] = {
            "question": "Which?",
            "options": ("this", "that"),
            "answer": "this",
            "evidence": (Interval(4.0, 6.0),),
            "category": "hand-made",
        }
        return VideoTask(id=id, video=FailingVideo(most), **{**known, **facts})

    return make
