"""Limits of video reading in this process: memory, open files, time."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from vzgym.core.errors import InvalidSetting

__all__ = ["VideoLimits", "configure", "limits"]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits of one process, shared by all its videos.

    Video reading uses at most `cache_bytes` for frames, plus about 20 decoded frames for each open reader (30 MB at
    1280x720 with one thread), plus the arrays that callers keep.

    Args:
        cache_bytes: Maximum bytes of cached frames, >= 0. 0 disables the cache.
        max_readers: Maximum number of open readers, >= 1. A thread that needs another one waits.
        readers_per_file: Maximum number of readers of one file, >= 1; fewer for frames larger than 1280x720. Several
            readers stay at several positions of a video, so that roll-outs which read different intervals need fewer
            seeks.
        decoder_threads: Threads of one decoder, >= 1. One is the most efficient; two reduce the latency of a single
            request.
        timeout: Maximum seconds, > 0, of decoding without another requested frame. A read that exceeds it raises
            `VideoError`.

    Raises:
        InvalidSetting: If a value is out of range; the message names it.
    """

    cache_bytes: int = 1 << 30
    max_readers: int = 16
    readers_per_file: int = 8
    decoder_threads: int = 1
    timeout: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("cache_bytes", 0), ("max_readers", 1), ("readers_per_file", 1), ("decoder_threads", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidSetting(f"VideoLimits.{name} must be an integer >= {least}, got {value!r}")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise InvalidSetting(f"VideoLimits.timeout must be finite and > 0 seconds, got {self.timeout!r}")


_lock = threading.Lock()
_current = VideoLimits()


def limits() -> VideoLimits:
    """The current limits of this process."""
    return _current


def configure(new: VideoLimits) -> VideoLimits:
    """Set the limits of this process. Takes effect with the next read, also for videos opened earlier.

    Worker processes start with the defaults: configure each of them.

    Returns:
        The previous limits, to be restored.
    """
    global _current
    with _lock:
        before, _current = _current, new
    return before
