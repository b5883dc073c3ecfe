"""Videos of episodes that are played side by side: roll-outs of one task share its video."""

from __future__ import annotations

import threading
import weakref

from vzgym.episode import Episode

__all__ = ["hold_video", "release_video"]

_lock = threading.Lock()
_playing: weakref.WeakSet[Episode] = weakref.WeakSet()


def hold_video(episode: Episode) -> None:
    """Keep the video of an episode open until `release_video`. An episode that is dropped holds it no longer."""
    with _lock:
        _playing.add(episode)


def release_video(episode: Episode) -> None:
    """Release the video of an episode, unless another episode that is played reads it, too.

    Its frames would have to be decoded again for that one.
    """
    video = episode.task.video
    with _lock:
        _playing.discard(episode)
        if any(other.task.video is video for other in _playing):
            return
    video.close()
