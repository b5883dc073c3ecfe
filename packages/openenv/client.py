"""The client, under the name that OpenEnv's `AutoEnv` looks for."""

from vzgym.interfaces.openenv import VideoZoomClient


class VideoZoomEnv(VideoZoomClient):
    """See `vzgym.interfaces.openenv.VideoZoomClient`."""


__all__ = ["VideoZoomEnv"]
