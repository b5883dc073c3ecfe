"""The plug-in `video-zoom` for verifiers: it exports one task set, one environment and one harness."""

from vzgym.interfaces.verifiers import VideoZoomEnv, VideoZoomHarness, VideoZoomTaskset

__all__ = ["VideoZoomEnv", "VideoZoomHarness", "VideoZoomTaskset"]
