"""Encoding of video files in which no frame carries information about another.

Ordinary coding stores a frame as its difference from others, and rate control carries state between frames, so the
pixels of an overview frame would depend on an event seconds away. Here each frame is coded separately (H.264, intra
only) with a constant quantizer, so that the same picture always decodes to the same pixels. The file is padded, so that
its size carries no information either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.core.interval import Interval
from vzgym.video.base import FRAME_SLACK, Video

__all__ = ["QUANTISER", "SIZE_QUANTUM", "encode_video"]

QUANTISER = 22
"""Constant quantizer of every frame (H.264's scale: 0 is lossless, 51 the coarsest)."""

SIZE_QUANTUM = 4096
"""Files are padded to a multiple of this many bytes."""

# Any rate control, look-ahead or adaptive quantization would carry state from frame to frame; threads could change
# the order in which it is carried.
_X264 = (
    "keyint=1:min-keyint=1:scenecut=0:bframes=0:aq-mode=0:mbtree=0:weightp=0:rc-lookahead=0:sync-lookahead=0:"
    "threads=1:lookahead-threads=1:sliced-threads=0:force-cfr=1"
)
_CHUNK_PIXELS = 1 << 22
_BOX_HEADER = 8


def encode_video(video: Video, path: Path, varies: Sequence[Interval] = ()) -> None:
    """Write a video to an mp4 file: H.264, intra only, constant quantizer, yuv420p, constant frame rate.

    Args:
        video: The video. Its size must be even and its number of frames known.
        path: The file. Written in place: use a temporary name and rename it afterwards.
        varies: Intervals in which frames depend on the answer. The file's size depends on the other frames only:
            three times their mean size is reserved for each frame in these intervals (or its raw size, if that
            is not enough), and the rest is padding.

    Raises:
        InvalidSetting: If the size is odd or the number of frames unknown.
        VideoError: If the encoder fails.
    """
    import av

    if video.height % 2 or video.width % 2:
        raise InvalidSetting(f"{video.uri}: H.264 needs an even size, got {video.width}x{video.height}")
    if video.num_frames is None:
        raise InvalidSetting(f"{video.uri}: the number of frames is unknown")
    sizes: list[int] = []
    try:
        with av.open(str(path), "w", format="mp4") as container:
            rate = Fraction(video.fps).limit_denominator(1001)
            options = {"preset": "veryfast", "qp": str(QUANTISER), "x264-params": _X264}
            stream = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
            stream.codec_context.thread_count = 1
            for frame in _frames(video, video.num_frames):
                for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                    sizes.append(packet.size)
                    container.mux(packet)
            for packet in stream.encode(None):
                sizes.append(packet.size)
                container.mux(packet)
    except av.FFmpegError as error:
        raise VideoError(f"cannot be written: {error}", path=path, backend="pyav") from error
    _pad(path, np.array(sizes, dtype=np.int64), varies, video)


def _frames(video: Video, num_frames: int) -> Iterator[NDArray[np.uint8]]:
    batch = max(1, _CHUNK_PIXELS // (video.height * video.width))
    for start in range(0, num_frames, batch):
        times = np.arange(start, min(start + batch, num_frames)) / video.fps
        yield from video.read(times).pixels


def _pad(path: Path, sizes: NDArray[np.int64], varies: Sequence[Interval], video: Video) -> None:
    """Append a `free` box, which players skip, so that the size depends on frames outside `varies` only."""
    times = np.arange(len(sizes)) / video.fps
    inside = np.zeros(len(sizes), dtype=bool)
    for span in varies:
        inside |= (times >= span.start - FRAME_SLACK) & (times < span.end - FRAME_SLACK)
    raw = video.height * video.width * 3 // 2 + 1024
    reserve = raw if inside.all() else min(raw, 3 * int(sizes[~inside].mean()))
    if inside.any() and int(sizes[inside].sum()) > reserve * int(inside.sum()):
        reserve = raw
    written = path.stat().st_size
    full = written - int(sizes[inside].sum()) + reserve * int(inside.sum()) + _BOX_HEADER
    padding = -(-full // SIZE_QUANTUM) * SIZE_QUANTUM - written
    with path.open("ab") as file:
        file.write(padding.to_bytes(4, "big") + b"free" + bytes(padding - _BOX_HEADER))
