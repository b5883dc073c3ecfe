"""Floor 1: time -> frames."""

from vzgym.video.base import Frames, Video, frame_hash
from vzgym.video.synthetic import ArrayVideo, ProceduralVideo

__all__ = ["ArrayVideo", "Frames", "ProceduralVideo", "Video", "frame_hash"]
