"""Layer 6: the roll-out loop, roll-outs of task sets, and executors."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.rollout.executor import Executor, InProcess, LocalProcesses, local_executor, stateless
    from vzgym.rollout.ray_executor import RayActors
    from vzgym.rollout.rollout import EpisodeStart, PlayedEpisode, Rollout
    from vzgym.rollout.task_rollouts import TaskRollouts
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "executor: Executor InProcess LocalProcesses local_executor stateless",
        "ray_executor: RayActors",
        "rollout: EpisodeStart PlayedEpisode Rollout",
        "task_rollouts: TaskRollouts",
    )

__all__ = [
    "EpisodeStart",
    "Executor",
    "InProcess",
    "LocalProcesses",
    "PlayedEpisode",
    "RayActors",
    "Rollout",
    "TaskRollouts",
    "local_executor",
    "stateless",
]
