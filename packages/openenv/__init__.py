"""Questions about long videos, as an OpenEnv environment."""

from .client import VideoZoomEnv
from .models import VideoZoomAction, VideoZoomObservation, VideoZoomState

__all__ = ["VideoZoomAction", "VideoZoomEnv", "VideoZoomObservation", "VideoZoomState"]
