"""The environment for verifiers (extra `verifiers`). The plug-in `video-zoom` (packages/video-zoom/) exports it.

A `VideoZoomTaskset` yields tasks, a `VideoZoomEnv` plays one as a dialogue of which the agent speaks every other
message, and `VideoZoomHarness` asks the model within the process.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.interfaces.verifiers.environment import VideoZoomEnv, VideoZoomEnvConfig
    from vzgym.interfaces.verifiers.harness import VideoZoomHarness
    from vzgym.interfaces.verifiers.taskset import (
        VideoZoomTask,
        VideoZoomTaskConfig,
        VideoZoomTaskData,
        VideoZoomTaskset,
        VideoZoomTasksetConfig,
    )
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "environment: VideoZoomEnv VideoZoomEnvConfig",
        "harness: VideoZoomHarness",
        "taskset: VideoZoomTask VideoZoomTaskConfig VideoZoomTaskData VideoZoomTaskset VideoZoomTasksetConfig",
        extra="verifiers",
    )

__all__ = [
    "VideoZoomEnv",
    "VideoZoomEnvConfig",
    "VideoZoomHarness",
    "VideoZoomTask",
    "VideoZoomTaskConfig",
    "VideoZoomTaskData",
    "VideoZoomTaskset",
    "VideoZoomTasksetConfig",
]
