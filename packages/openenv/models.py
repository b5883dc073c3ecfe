"""Actions, observations and states."""

from vzgym.interfaces.openenv import VideoZoomAction, VideoZoomObservation, VideoZoomState

__all__ = ["VideoZoomAction", "VideoZoomObservation", "VideoZoomState"]
