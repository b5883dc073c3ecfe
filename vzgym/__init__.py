"""vzgym: the gym for agentic video reinforcement learning.

`import vzgym` registers the environments with gymnasium, and imports everything else when it is first used.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports
from vzgym.envs.registration import register_envs

if TYPE_CHECKING:
    from vzgym import agents, baselines, envs, evaluation, policies, protocols, rewards, tasks, testing, video
    from vzgym.core import Answer, Budget, Interval, Region, ToolCall, Zoom, Zooms, overview_times
    from vzgym.envs.video_zoom import VideoZoomEnv
    from vzgym.episode import Episode, EpisodeRecord
    from vzgym.evaluation import evaluate
    from vzgym.policies import load_policy
    from vzgym.tasks import VideoTask, get_task, load_tasks
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        *("agents", "baselines", "envs", "evaluation", "policies", "protocols", "rewards", "tasks", "testing", "video"),
        "core: Answer Budget Interval Region ToolCall Zoom Zooms overview_times",
        "envs.video_zoom: VideoZoomEnv",
        "episode: Episode EpisodeRecord",
        "evaluation: evaluate",
        "policies: load_policy",
        "tasks: VideoTask get_task load_tasks",
    )

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Budget",
    "Episode",
    "EpisodeRecord",
    "Interval",
    "Region",
    "ToolCall",
    "VideoTask",
    "VideoZoomEnv",
    "Zoom",
    "Zooms",
    "__version__",
    "agents",
    "baselines",
    "envs",
    "evaluate",
    "evaluation",
    "get_task",
    "load_policy",
    "load_tasks",
    "overview_times",
    "policies",
    "protocols",
    "rewards",
    "tasks",
    "testing",
    "video",
]

register_envs()
