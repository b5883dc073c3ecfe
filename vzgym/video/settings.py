"""What video reading may cost in this process: memory, open files, time."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from vzgym.core.errors import InvalidSetting

__all__ = ["VideoLimits", "configure", "limits"]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits of one process, shared by all its videos.

    The memory that video reading holds is at most `cache_bytes` for frames, plus what the open readers need:
    about 20 decoded frames each (30 MB at 1280x720 with one thread), plus the arrays a caller keeps.

    Args:
        cache_bytes: Most bytes of decoded frames kept, >= 0. 0 keeps none.
        max_readers: Most files open at once, >= 1. A thread that needs one more waits for it.
        readers_per_file: Most readers of one file, >= 1; fewer where frames are larger than 1280x720. Several
            readers stand at several places of a video, so that roll-outs which look at different places go on
            where others were.
        decoder_threads: Threads of one decoder, >= 1. One costs the least; two answer a lone request sooner.
        timeout: Seconds, > 0, that decoding may go on without another frame that was asked for. Past it the
            read ends in a `VideoError`.

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
    """The limits in force in this process."""
    return _current


def configure(new: VideoLimits) -> VideoLimits:
    """Set the limits of this process. Takes effect with the next read, of videos opened earlier too.

    Worker processes start with the defaults: configure each of them.

    Returns:
        The limits that were in force before, to be restored.
    """
    global _current
    with _lock:
        before, _current = _current, new
    return before
