"""The environment for OpenEnv (extra `openenv`): `vzgym serve openenv`.

A session of the server's WebSocket is one `VideoZoomEnvironment`; `VideoZoomClient` plays in it from another process.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.interfaces.openenv.client import VideoZoomClient
    from vzgym.interfaces.openenv.environment import RequestRefused, Served, VideoZoomEnvironment
    from vzgym.interfaces.openenv.models import VideoZoomAction, VideoZoomObservation, VideoZoomState
    from vzgym.interfaces.openenv.server import make_app, serve
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "client: VideoZoomClient",
        "environment: RequestRefused Served VideoZoomEnvironment",
        "models: VideoZoomAction VideoZoomObservation VideoZoomState",
        "server: make_app serve",
        extra="openenv",
    )

__all__ = [
    "RequestRefused",
    "Served",
    "VideoZoomAction",
    "VideoZoomClient",
    "VideoZoomEnvironment",
    "VideoZoomObservation",
    "VideoZoomState",
    "make_app",
    "serve",
]
