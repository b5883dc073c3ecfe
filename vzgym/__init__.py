"""vzgym: the gym for agentic video reinforcement learning.

`import vzgym` registers the environments with gymnasium and stays light: no torch, no decoder.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vzgym.core import Answer, Budget, Interval, Region, Zoom, overview_times
from vzgym.envs.registration import register_envs

if TYPE_CHECKING:
    from vzgym.envs.video_zoom import VideoZoomEnv
    from vzgym.episode.episode import Episode
    from vzgym.episode.record import EpisodeRecord
    from vzgym.evaluation.evaluate import evaluate
    from vzgym.tasks import get_task, load_tasks
    from vzgym.tasks.task import VideoTask

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Budget",
    "Episode",
    "EpisodeRecord",
    "Interval",
    "Region",
    "VideoTask",
    "VideoZoomEnv",
    "Zoom",
    "__version__",
    "evaluate",
    "get_task",
    "load_tasks",
    "overview_times",
]

_LAZY = {
    "Episode": "vzgym.episode.episode",
    "EpisodeRecord": "vzgym.episode.record",
    "VideoTask": "vzgym.tasks.task",
    "VideoZoomEnv": "vzgym.envs.video_zoom",
    "evaluate": "vzgym.evaluation.evaluate",
    "get_task": "vzgym.tasks",
    "load_tasks": "vzgym.tasks",
}

register_envs()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vzgym' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
