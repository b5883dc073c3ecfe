"""The ids that `gym.make` knows."""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

__all__ = ["ENV_IDS", "register_envs"]

ENV_IDS: dict[str, dict[str, object]] = {
    "VideoZoom-v0": {"tasks": "standard/train"},
    "VideoZoomTiny-v0": {"tasks": "tiny/train"},
    "VideoZoomSpatial-v0": {"tasks": "spatial/train"},
}
"""Each id and what it changes; a task suite brings its own budget."""


def register_envs() -> None:
    """Register every id with gymnasium; a second call changes nothing."""
    for name, settings in ENV_IDS.items():
        if name not in registry:
            register(id=name, entry_point="vzgym.envs.video_zoom:VideoZoomEnv", kwargs=dict(settings))
