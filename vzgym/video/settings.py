"""Limits of video reading in this process: memory, open files, time."""

from __future__ import annotations

import math
import os
import re
import sys
import threading
from dataclasses import dataclass, field
from typing import Final

from vzgym.core.errors import InvalidSetting

__all__ = ["SHARED_FRAMES", "VideoLimits", "configure", "limits"]

SHARED_FRAMES: Final = "VZGYM_SHARED_FRAMES"
"""Environment variable of `VideoLimits.shared_bytes`, which also reaches processes that other programs start."""

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_LEAST: Final = {"cache_bytes": 0, "max_readers": 1, "readers_per_file": 1, "decoder_threads": 1, "shared_bytes": 0}


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
        shared_bytes: Bytes of decoded frames, >= 0, that the processes of this user on this machine share. 0 shares
            none. They are allocated at once, in shared memory where the system has it, and given back when the last
            process ends. Not on Windows. Default: the environment variable `VZGYM_SHARED_FRAMES` ("2GB"), else 0.

    Raises:
        InvalidSetting: If a value is out of range; the message names it.
    """

    cache_bytes: int = 1 << 30
    max_readers: int = 16
    readers_per_file: int = 8
    decoder_threads: int = 1
    timeout: float = 30.0
    shared_bytes: int = field(default_factory=lambda: _shared_bytes())

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidSetting(f"VideoLimits.{name} must be an integer >= {least}, got {value!r}")
        if self.shared_bytes and sys.platform == "win32":
            raise InvalidSetting("VideoLimits.shared_bytes: frames cannot be shared on Windows")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise InvalidSetting(f"VideoLimits.timeout must be finite and > 0 seconds, got {self.timeout!r}")


_lock = threading.Lock()
_current: VideoLimits | None = None


def limits() -> VideoLimits:
    """The current limits of this process."""
    global _current
    with _lock:
        _current = _current or VideoLimits()
        return _current


def configure(new: VideoLimits) -> VideoLimits:
    """Set the limits of this process. Takes effect with the next read, also for videos opened earlier.

    The worker processes of a run (`vzgym.rollout`) have those of the process that starts them; other processes start
    with the defaults.

    Returns:
        The previous limits, to be restored.
    """
    global _current
    before = limits()
    with _lock:
        _current = new
    return before


def _shared_bytes() -> int:
    """Bytes of shared frames by the environment.

    Raises:
        InvalidSetting: If the variable is no size.
    """
    text = os.environ.get(SHARED_FRAMES, "")
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?B?)", text.strip(), re.IGNORECASE)
    if text.strip() and found is None:
        raise InvalidSetting(f"{SHARED_FRAMES} must be a size such as 2GB or 500MB, got {text!r}")
    return int(float(found[1]) * _UNITS[found[2].upper().rstrip("B")]) if found else 0
