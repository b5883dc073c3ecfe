"""The paper's tags in few words: for models so small that every token counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vzgym.core.actions import Action, Zoom
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Block, ImageBlock, Message, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.tags import TagProtocol

__all__ = ["CompactTags"]


class CompactTags(TagProtocol):
    """What the agent says is the paper's form, unchanged; what it is told is cut down to what it cannot do without.

    No system message, no tags around replies, each frame followed (not preceded) by its time: a small model learns
    sooner to look a time up behind what it has just seen. Round and zoom counts are left out but for the last round.

    Args:
        think: See `TagProtocol`.
        strict: See `TagProtocol`.
        options: Whether the question lists its options. An option's text is a right answer with or without the list.
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
        return record.task.question + listed + self._last(record)

    def said(self, action: Action) -> str:
        """The canonical text of an action, without a thought; numbers without needless zeros."""
        if isinstance(action, Zoom) and action.region is None:
            return (
                f'<video_zoom>{{"segment": [{_short(action.start)}, {_short(action.end)}], '
                f'"fps": {_short(action.fps)}}}</video_zoom>'
            )
        return super().said(action)

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The clip's frames, or the code of the refusal."""
        if record.answer is not None:
            return None
        turn = record.turns[-1]
        blocks: list[Block] = _frames(turn.clip) if turn.clip else [TextBlock(f"no: {turn.refusal or turn.outcome}")]
        last = self._last(record)
        return Message("tool", (*blocks, TextBlock(last)) if last else tuple(blocks))

    def _last(self, record: EpisodeRecord) -> str:
        return " Answer now." if record.rounds_left == 1 else ""


def _short(value: float) -> str:
    """A number as JSON, to a hundredth: `24`, `24.5`."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _frames(clip: Clip) -> list[Block]:
    """Each frame, then its time in seconds."""
    blocks: list[Block] = []
    for index, time in enumerate(clip.times):
        blocks += [ImageBlock(clip, index), TextBlock(_short(float(time)))]
    return blocks
