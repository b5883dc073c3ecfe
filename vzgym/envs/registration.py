"""The environment ids that `gymnasium.make` knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register, registry

if TYPE_CHECKING:
    from vzgym.envs.video_zoom import VideoZoomEnv

__all__ = ["ENV_IDS", "make_env", "register_envs"]

ENV_IDS: dict[str, dict[str, object]] = {
    "VideoZoom-v0": {"tasks": "standard/train"},
    "VideoZoomTiny-v0": {"tasks": "tiny/train"},
    "VideoZoomTinyArrays-v0": {"tasks": "tiny/train", "observation": "flat", "action": "discrete"},
    "VideoZoomSpatial-v0": {"tasks": "spatial/train"},
}
"""Each id and what it changes; a task suite brings its own budget."""


def make_env(**settings: Any) -> VideoZoomEnv:
    """Make an environment: the entry point of every id, which imports the environment's module on first use."""
    from vzgym.envs.video_zoom import VideoZoomEnv

    return VideoZoomEnv(**settings)


# "human" is listed so that gymnasium passes it to the environment, whose error names the alternative. Otherwise
# gymnasium would wrap the environment and fail at the first `reset` if pygame is missing.
make_env.metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 1}  # type: ignore[attr-defined]


def register_envs() -> None:
    """Register every id with gymnasium; a second call changes nothing."""
    for name, settings in ENV_IDS.items():
        if name not in registry:
            register(id=name, entry_point="vzgym.envs.registration:make_env", kwargs=dict(settings))
