"""Wordings: how an episode is rendered as messages.

A `Wording` turns a record into messages. It affects nothing else: two wordings of one episode differ only in their
text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vzgym.core.actions import Action, Answer, Malformed, Zoom
from vzgym.episode.answers import lettered
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Block, ImageBlock, Message, TextBlock
from vzgym.episode.record import EpisodeRecord, Turn

__all__ = ["PlainWording", "Wording", "number", "seconds", "show"]


class Wording(Protocol):
    """Renders an episode as messages. Pure: the same record yields the same messages."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """`{"name": ..., **options}`: stored in records, to rebuild the wording for a replay. JSON values."""
        ...

    def opening(self, record: EpisodeRecord) -> Sequence[Message]:
        """The messages before the agent's first turn: rules (if any), overview, question."""
        ...

    def said(self, action: Action) -> str:
        """The text of a structured action."""
        ...

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The environment's reply to the record's latest turn; None after an answer."""
        ...


def seconds(value: float) -> str:
    """Format a time for the agent: two decimals, rounded down, so that the stated end is inside the video."""
    return f"{math.floor(value * 100 + 1e-6) / 100:.2f}" if math.isfinite(value) else repr(value)


def number(value: float) -> str:
    """Format a number for the agent: as short as possible, exact to ten digits."""
    return f"{value:.10g}"


def show(clip: Clip) -> list[Block]:
    """A clip's frames, each after its number and time: `<frame0_time12.00s>` (VideoZoomer, section 3.1)."""
    blocks: list[Block] = []
    for index, time in enumerate(clip.times):
        blocks += [TextBlock(f"<frame{index}_time{time:.2f}s>"), ImageBlock(clip, index)]
    return blocks


class PlainWording:
    """Short text without markup: the wording of `gym.make("VideoZoom-v0")`, unless the action is text."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """See `Wording.spec`."""
        return {"name": "plain"}

    def opening(self, record: EpisodeRecord) -> list[Message]:
        """One user message: length, overview, question, options."""
        count = len(record.overview)
        head = f"The video is {seconds(record.task.duration)} s long. Overview, {count} frames:\n"
        return [Message("user", (TextBlock(head), *show(record.overview), TextBlock("\n" + self.question(record))))]

    def question(self, record: EpisodeRecord) -> str:
        """The question, its options by letter, and the remaining rounds."""
        parts = [record.task.question]
        if record.task.options:
            parts.append(lettered(record.task.options))
        parts.append(self.what_is_left(record))
        return "\n".join(parts)

    def what_is_left(self, record: EpisodeRecord) -> str:
        """The number of remaining rounds, or that this is the last."""
        left = record.rounds_left
        if left == 1:
            return "This is the last round: answer now, zooming is no longer possible."
        return f"Rounds left: {left}."

    def said(self, action: Action) -> str:
        """See `Wording.said`."""
        match action:
            case Zoom(start, end, fps, region):
                where = "" if region is None else f" region {region.to_list()}"
                return f"zoom [{number(start)}, {number(end)}] at {number(fps)} fps{where}"
            case Answer(text):
                return text
            case Malformed():
                return ""

    def reply(self, record: EpisodeRecord) -> Message | None:
        """See `Wording.reply`."""
        turn = record.turns[-1]
        if isinstance(turn.action, Answer):
            return None
        closing = [] if record.end else [TextBlock("\n" + self.what_is_left(record))]
        return Message("tool", (*self.result(turn), *closing))

    def result(self, turn: Turn) -> list[Block]:
        """The result of a zoom: its frames, or the reason for its refusal."""
        clip = turn.clip
        if clip is None or clip.window is None:
            code = f" ({turn.refusal})" if turn.refusal else ""
            return [TextBlock(f"Not shown{code}: {turn.detail}")]
        where = "" if clip.region is None else f", region {clip.region.to_list()}"
        start, end = seconds(clip.window.start), seconds(clip.window.end)
        rate = "" if clip.fps is None else f" at {number(clip.fps)} fps"
        head = f"Clip {start} to {end} s{rate}{where}, {len(clip)} frames:\n"
        return [TextBlock(head), *show(clip)]
