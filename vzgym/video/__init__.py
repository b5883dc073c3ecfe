"""Layer 1: reading video frames by time."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.video.base import Frames, Video, frame_hash
    from vzgym.video.file import BACKENDS, ClipRequest, FileVideo
    from vzgym.video.settings import VideoLimits, configure, limits
    from vzgym.video.sharing import clear, stats
    from vzgym.video.synthetic import ArrayVideo, ProceduralVideo
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: Frames Video frame_hash",
        "file: BACKENDS ClipRequest FileVideo",
        "settings: VideoLimits configure limits",
        "sharing: clear stats",
        "synthetic: ArrayVideo ProceduralVideo",
    )

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
