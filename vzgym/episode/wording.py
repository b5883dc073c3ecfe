"""Wordings: how an episode is rendered as messages.

A `Wording` turns a record into messages. It affects nothing else: two wordings of one episode differ only in their
text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vzgym.core.actions import Action, Answer, Malformed, ToolCall, Zoom, Zooms
from vzgym.episode.answers import lettered
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Block, ImageBlock, Message, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.subtitles import interleave
from vzgym.episode.turn import Outcome, Turn
from vzgym.tasks.subtitles.subtitle import Subtitle

__all__ = ["PlainWording", "Wording", "number", "required_zooms", "seconds", "separated", "show", "spoken"]


class Wording(Protocol):
    """Renders an episode as messages. Pure: the same record yields the same messages."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """`{"name": ..., **options}`: stored in records, to rebuild the wording for a replay. JSON values."""
        ...

    def opening(self, record: EpisodeRecord) -> Sequence[Message]:
        """The messages before the agent's first turn: rules (if any), overview, question."""
        ...

    def text_of(self, action: Action) -> str:
        """The text of a structured action."""
        ...

    def reply(self, record: EpisodeRecord) -> Message | None:
        """The environment's reply to the record's latest turn; None after an answer that was not refused."""
        ...


def seconds(value: float) -> str:
    """Format a time for the agent: two decimals, rounded down, so that the stated end is inside the video."""
    return f"{math.floor(value * 100 + 1e-6) / 100:.2f}" if math.isfinite(value) else repr(value)


def number(value: float) -> str:
    """Format a number for the agent: as short as possible, exact to ten digits."""
    return f"{value:.10g}"


def spoken(line: Subtitle) -> str:
    """A subtitle with its times, as one line."""
    return f"[{seconds(line.start)}-{seconds(line.end)} s] {' '.join(line.text.split())}"


def show(clip: Clip) -> list[Block]:
    """A clip's frames, each after its number and time: `<frame0_time12.00s>` (VideoZoomer, section 3.1).

    Subtitles stand between them, each on a line of its own: `[3.90-5.50 s] Good morning`.
    """
    return interleave(
        clip, lambda index: [TextBlock(f"<frame{index}_time{clip.times[index]:.2f}s>"), ImageBlock(clip, index)], spoken
    )


def separated(parts: Sequence[Sequence[Block]]) -> list[Block]:
    """Join the replies to the zooms of a turn, each on a new line; `Message.parts` splits them again."""
    blocks: list[Block] = []
    for place, part in enumerate(parts):
        blocks += [*([TextBlock("\n", separates=True)] if place else []), *part]
    return blocks


def required_zooms(record: EpisodeRecord) -> str:
    """The rule that an answer comes after zooms (`Budget.min_zooms`), as a sentence; "" if the budget has none."""
    least = record.budget.min_zooms
    if not least:
        return ""
    look = "Zoom or call a tool" if record.tools else "Zoom"
    times = "at least once" if least == 1 else f"in at least {least} turns"
    return f"{look} {times} before you answer: an earlier answer is refused and uses up its round."


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
        frames = show(record.overview)
        return [Message("user", (TextBlock(head), *frames, TextBlock("\n" + self.question(record))))]

    def question(self, record: EpisodeRecord) -> str:
        """The question, its options by letter, what the budget allows beyond the paper's, and the remaining rounds."""
        parts = [record.task.question]
        if record.task.options:
            parts.append(lettered(record.task.options))
        parts += self.extras(record)
        parts.append(self.what_is_left(record))
        return "\n".join(parts)

    def extras(self, record: EpisodeRecord) -> list[str]:
        """Sentences about several zooms in a round, sizes, tools and required zooms; none under the paper's budget."""
        budget = record.budget
        found: list[str] = []
        if not budget.max_zooms:
            return found
        if budget.zooms_per_turn > 1:
            found.append(
                f"A round may have up to {budget.zooms_per_turn} zooms, together of at most {budget.clip_frames} "
                "frames; they are carried out all or none."
            )
        if budget.zoom_max_pixels:
            found.append(
                f"A zoom may choose the most pixels of its frames, {budget.min_pixels} to {budget.zoom_max_pixels}; "
                f"otherwise {budget.max_pixels}."
            )
        if record.tools:
            named = [f"{tool.name}: {tool.description}" for tool in record.tools]
            found.append("Instead of zooming, a round may call a tool.\n" + "\n".join(named))
        if rule := required_zooms(record):
            found.append(rule)
        return found

    def what_is_left(self, record: EpisodeRecord) -> str:
        """The number of remaining rounds, or that this is the last."""
        left = record.rounds_left
        if left == 1 and record.tools:
            return "This is the last round: answer now, zooms and tool calls are no longer possible."
        if left == 1:
            return "This is the last round: answer now, zooming is no longer possible."
        return f"Rounds left: {left}."

    def text_of(self, action: Action) -> str:
        """See `Wording.text_of`."""
        match action:
            case Zoom(start, end, fps, region, max_pixels):
                where = "" if region is None else f" region {region.to_list()}"
                size = "" if max_pixels is None else f" max_pixels {max_pixels}"
                return f"zoom [{number(start)}, {number(end)}] at {number(fps)} fps{where}{size}"
            case Zooms(zooms):
                return "; ".join(map(self.text_of, zooms))
            case ToolCall(name, arguments):
                return f"call {name} {json.dumps(arguments)}"
            case Answer(text):
                return text
            case Malformed():
                return ""

    def reply(self, record: EpisodeRecord) -> Message | None:
        """See `Wording.reply`."""
        turn = record.turns[-1]
        if turn.outcome is Outcome.ANSWERED:
            return None
        closing = [] if record.end else [TextBlock("\n" + self.what_is_left(record))]
        return Message("tool", (*separated(self.results(turn)), *closing), answers=max(1, len(turn.zooms)))

    def results(self, turn: Turn) -> list[list[Block]]:
        """The result of a turn, one part for each executed zoom, or a single one.

        A zoom's frames, a tool's text and frames, or the reason for the refusal.
        """
        if turn.outcome is not Outcome.EXECUTED:
            code = f" ({turn.refusal})" if turn.refusal else ""
            # The reason of a failure, in the record, names the file: nothing for the agent, which may be a stranger's.
            reason = turn.detail if turn.outcome is Outcome.REFUSED else "the video cannot be read any further."
            head = "No result" if turn.tool else "Not accepted" if isinstance(turn.action, Answer) else "Not shown"
            return [[TextBlock(f"{head}{code}: {reason}")]]
        if turn.tool:
            blocks: list[Block] = [TextBlock(turn.reply)] if turn.reply or not turn.clips else []
            for clip in turn.clips:
                blocks += [TextBlock(f"{chr(10) if turn.reply else ''}{len(clip)} frames:\n")]
                blocks += show(clip)
            return [blocks]
        return [self._shown(clip) for clip in turn.clips]

    def _shown(self, clip: Clip) -> list[Block]:
        """The frames of a zoom."""
        assert clip.window is not None  # each clip of a zoom has its window
        where = "" if clip.region is None else f", region {clip.region.to_list()}"
        start, end = seconds(clip.window.start), seconds(clip.window.end)
        rate = "" if clip.fps is None else f" at {number(clip.fps)} fps"
        size = "" if clip.max_pixels is None else f", {clip.size[1]}x{clip.size[0]} pixels"
        head = f"Clip {start} to {end} s{rate}{where}{size}, {len(clip)} frames:\n"
        return [TextBlock(head), *show(clip)]
