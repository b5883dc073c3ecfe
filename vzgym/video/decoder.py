"""What a back-end must do: open one file and give its pictures by time. Nothing here decodes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StreamInfo"]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What opening a file tells about its video stream.

    Attributes:
        duration: Seconds from the stream's start to the end of its last frame.
        fps: Mean frames a second.
        num_frames: Number of frames shown, or None where only decoding would tell.
        height: Rows of a frame as shown (after rotation).
        width: Columns of a frame as shown.
        codec: Name of the codec ("h264").
        container: Name of the file format ("mov,mp4,m4a,3gp,3g2,mj2").
    """

    duration: float
    fps: float
    num_frames: int | None
    height: int
    width: int
    codec: str
    container: str
