"""Floor 1: time -> frames."""

from vzgym.video.base import Frames, Video, frame_hash
from vzgym.video.file import BACKENDS, ClipRequest, FileVideo
from vzgym.video.settings import VideoLimits, configure, limits
from vzgym.video.sharing import clear, stats
from vzgym.video.synthetic import ArrayVideo, ProceduralVideo

__all__ = [
    "BACKENDS",
    "ArrayVideo",
    "ClipRequest",
    "FileVideo",
    "Frames",
    "ProceduralVideo",
    "Video",
    "VideoLimits",
    "clear",
    "configure",
    "frame_hash",
    "limits",
    "stats",
]
