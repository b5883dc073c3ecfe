"""Subtitles in the dialogue: which lines are shown with a clip's frames, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vzgym.core.errors import InvalidSetting
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Block, TextBlock
from vzgym.tasks.subtitles.subtitle import SUBTITLE_MODES, Subtitle, SubtitleMode, overlapping

__all__ = ["check_mode", "interleave", "with_speech"]


def check_mode(mode: object) -> SubtitleMode:
    """The value as a mode.

    Raises:
        InvalidSetting: If it is not one.
    """
    if mode not in SUBTITLE_MODES:
        raise InvalidSetting(f"subtitles must be one of {', '.join(SUBTITLE_MODES)}, got {mode!r}")
    return mode  # type: ignore[return-value]


def with_speech(clip: Clip, subtitles: Sequence[Subtitle], mode: SubtitleMode, *, overview: bool = False) -> Clip:
    """The clip with the subtitles that are shown with it.

    Those of a zoom overlap its interval; those of other frames (the overview, a tool's) are spoken at a frame's time.
    Each stands before the first frame that is not earlier than its start.

    Args:
        clip: The clip.
        subtitles: The task's subtitles.
        mode: The mode.
        overview: Whether the clip is the overview.
    """
    if mode not in ("all", "overview" if overview else "clips"):
        return clip
    if clip.window is not None:
        lines = overlapping(subtitles, clip.window.start, clip.window.end)
    else:
        times = clip.times.tolist()
        spoken = [line for line in subtitles if any(line.overlaps(time, time) for time in times)]
        lines = sorted(spoken, key=lambda line: (line.start, line.end))
    places = np.searchsorted(clip.times, [line.start for line in lines])
    return replace(clip, speech=tuple(zip(places.tolist(), lines, strict=True))) if lines else clip


def interleave(clip: Clip, frame: Callable[[int], list[Block]], say: Callable[[Subtitle], str]) -> list[Block]:
    """Render a clip's frames with its subtitles between them.

    Args:
        clip: The frames.
        frame: Renders the frame at an index.
        say: Renders a subtitle as one line of text.
    """
    blocks: list[Block] = []
    for index in range(len(clip) + 1):
        lines = [f"{say(line)}\n" for place, line in clip.speech if place == index]
        blocks += [TextBlock("\n" + "".join(lines))] if lines else []
        blocks += frame(index) if index < len(clip) else []
    return blocks
