"""Questions asked without tools: a benchmark's own prompt, answered at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vzgym.core.actions import Answer, Malformed, TurnRules
from vzgym.core.errors import InvalidSetting
from vzgym.core.text import known_names, replace_surrogates
from vzgym.episode.dialogue import Block, ImageBlock, Message, TextBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.wording import PlainWording
from vzgym.protocols.base import PAPER_RULES, Parsed
from vzgym.protocols.turns import MAX_TURN_LENGTH, TruncatedText, read_turn
from vzgym.tasks.benchmarks.prompts import DIRECT, PromptStyle
from vzgym.tasks.benchmarks.registry import BENCHMARKS, get_benchmark

__all__ = ["DirectProtocol"]


class DirectProtocol(PlainWording):
    """The overview's frames, then a prompt in the style of a benchmark's source or a toolkit.

    The whole reply is the answer, without a thought between `<think>` and `</think>`; if it has an `<answer>`, what
    that holds. A reply of white space, an unclosed thought alone, or a text that was cut off is malformed.

    Styles belong to the benchmark that a task comes from (`VideoTask.source`), see `vzgym bench show NAME`. The style
    "direct" asks for an option's letter and suits every task. Use it with a budget without zooms (`max_zooms=0`).

    Args:
        style: The style: "direct", or one of the benchmark's ("official", "lmms-eval", "vlmevalkit").
        text: A prompt of your own in place of the style's, with the slots of `PromptStyle`: `{question}`, `{options}`,
            `{subtitles}`, `{frame_times}`, `{letters}`, `{query}`, `{duration}`.
        system: A system message of your own.
        option: The form of an option in `text`.

    Raises:
        InvalidSetting: When an episode starts, if its benchmark has no such style, or its budget requires a zoom.
    """

    def __init__(
        self, style: str = "direct", text: str = "", system: str = "", option: str = "{letter}. {text}"
    ) -> None:
        if not isinstance(style, str) or not style:
            raise InvalidSetting(f"style must be a name, such as 'direct' or 'official', got {style!r}")
        if not all(isinstance(part, str) for part in (text, system, option)):
            raise InvalidSetting("text, system and option must be texts")
        if text and style != "direct":
            raise InvalidSetting(f"text replaces the style, so leave out style={style!r}")
        self.style = style
        self.own = PromptStyle(text, system=system, option=option, subtitles="{cues}\n") if text else None

    @property
    def spec(self) -> Mapping[str, Any]:
        """See `Wording.spec`."""
        if self.own is None:
            return {"name": "direct", "style": self.style}
        return {"name": "direct", "text": self.own.text, "system": self.own.system, "option": self.own.option}

    def parse(self, text: str, rules: TurnRules = PAPER_RULES) -> Parsed:
        """Take the reply as the answer; see the class."""
        if isinstance(text, TruncatedText):
            return Parsed(Malformed("the reply was cut off by the token limit."), False)
        if len(text) > MAX_TURN_LENGTH:
            return Parsed(
                Malformed(f"the reply has {len(text)} characters; at most {MAX_TURN_LENGTH} are read."), False
            )
        text = replace_surrogates(text)
        reading = read_turn(text, ())
        if reading.actions:
            said = reading.actions[0].content
        elif reading.open_thought:
            return Parsed(Malformed("the thought is not closed by </think>."), False)
        else:
            said = text.rpartition("</think>")[2]
        said = said.strip()
        return Parsed(Answer(said), True) if said else Parsed(Malformed("the reply is empty."), False)

    def prompt_style(self, record: EpisodeRecord) -> PromptStyle:
        """The style for a record's task.

        Raises:
            InvalidSetting: If its benchmark has no such style; lists those that it has.
        """
        if self.own is not None or self.style == "direct":
            return self.own or DIRECT
        source = record.task.source
        styles = get_benchmark(source).prompts if ":" not in source and source in BENCHMARKS else {}
        if self.style not in styles:
            named = f"of {source}" if source else "of a task of no benchmark"
            raise InvalidSetting(
                f"unknown prompt style {self.style!r} {named}; {known_names([self.style], ['direct', *styles])}"
            )
        return styles[self.style].choose(record.task.metadata)

    def opening(self, record: EpisodeRecord) -> list[Message]:
        """A system message if the style has one, then the frames and the prompt.

        Raises:
            InvalidSetting: If the benchmark has no such style, or the budget requires a zoom before an answer.
        """
        if record.budget.min_zooms:
            raise InvalidSetting(
                f"the protocol 'direct' has no zoom, but the budget requires one (min_zooms is "
                f"{record.budget.min_zooms}): set min_zooms to 0, or take another protocol"
            )
        style, task = self.prompt_style(record), record.task
        prompt = style.render(
            task.question,
            task.options,
            query=str(task.metadata.get("query", "")),
            duration=task.duration,
            cues=[line.text for _, line in record.overview.speech],
            frame_times=record.overview.times.tolist(),
        )
        frames: list[Block] = [ImageBlock(record.overview, index) for index in range(len(record.overview))]
        system = [Message.from_text("system", style.system)] if style.system else []
        return [*system, Message("user", (*frames, TextBlock(f"\n{prompt}" if frames else prompt)))]

    def reply(self, record: EpisodeRecord) -> Message | None:
        """A request for the answer, after a turn without one."""
        turn = record.turns[-1]
        if isinstance(turn.action, Answer):
            return None
        return Message.from_text("tool", f"No answer: {turn.detail or turn.outcome} Reply with the answer.")
