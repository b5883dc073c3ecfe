"""The paper's tags with short replies, for models with a small context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vzgym.core.actions import Action, Zoom, Zooms
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Block, ImageBlock, Message, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.subtitles import interleave
from vzgym.episode.turn import Outcome
from vzgym.protocols.tags import TagProtocol

__all__ = ["CompactTags"]


class CompactTags(TagProtocol):
    """The agent's turns have the paper's form; the environment's messages are as short as possible.

    No system message, no tags around replies. Each frame is followed (not preceded) by its time, which small models
    learn faster. Numbers of rounds and zooms, and descriptions of tools, are omitted; the last round is announced, and
    that an answer comes after a zoom, where the budget requires one.

    Args:
        think: See `TagProtocol`.
        strict: See `TagProtocol`.
        options: Whether the question lists its options. An option's text is a valid answer with or without the list.
    """

    def __init__(
        self,
        think: Literal["required", "optional", "none"] = "required",
        strict: bool = False,
        options: bool = False,
    ) -> None:
        super().__init__(think=think, strict=strict, instructions=False)
        self.options = options

    @property
    def spec(self) -> Mapping[str, Any]:
        """See `Wording.spec`."""
        return {"name": "compact_tags", "think": self.think, "strict": self.strict, "options": self.options}

    def opening(self, record: EpisodeRecord) -> list[Message]:
        """One user message: the overview, then the question."""
        return [Message("user", (*_frames(record.overview), TextBlock(self.question(record))))]

    def question(self, record: EpisodeRecord) -> str:
        """The question; its options in one line, if they are listed."""
        listed = "\n" + ", ".join(record.task.options) if self.options and record.task.options else ""
        first = " Zoom first." if record.zooms_due else ""
        return record.task.question + listed + first + self._last(record)

    def text_of(self, action: Action) -> str:
        """The canonical text of an action, without a thought; numbers without trailing zeros."""
        if isinstance(action, Zooms):
            return "".join(map(self.text_of, action.zooms))
        if isinstance(action, Zoom) and action.region is None and action.max_pixels is None:
            return (
                f'<video_zoom>{{"segment": [{_short(action.start)}, {_short(action.end)}], '
                f'"fps": {_short(action.fps)}}}</video_zoom>'
            )
        return super().text_of(action)

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The frames of the turn's clips, a tool's text, or the code of the refusal."""
        if record.answer is not None:
            return None
        turn = record.turns[-1]
        blocks: list[Block] = [TextBlock(turn.reply)] if turn.tool else []
        blocks += [block for clip in turn.clips for block in _frames(clip)]
        if turn.outcome is not Outcome.EXECUTED:
            blocks = [TextBlock(f"no: {turn.refusal or turn.outcome}")]
        last = self._last(record)
        return Message("tool", (*blocks, TextBlock(last)) if last else tuple(blocks))

    def _last(self, record: EpisodeRecord) -> str:
        return " Answer now." if record.rounds_left == 1 else ""


def _short(value: float) -> str:
    """A number as JSON, rounded to two decimals: `24`, `24.5`."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _frames(clip: Clip) -> list[Block]:
    """Each frame, then its time in seconds; subtitles between them."""
    return interleave(
        clip,
        lambda index: [ImageBlock(clip, index), TextBlock(_short(float(clip.times[index])))],
        lambda line: f"{_short(line.start)}-{_short(line.end)} {' '.join(line.text.split())}",
    )
