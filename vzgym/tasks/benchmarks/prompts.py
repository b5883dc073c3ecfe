"""Prompt styles: how a benchmark's question is put to a model that answers at once, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vzgym.tasks.task import option_letter

__all__ = ["DIRECT", "PromptStyle"]

_SLOT = re.compile(r"\{(question|query|options|subtitles|frame_times|letters|duration)\}")


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """A prompt as text with slots. The video's frames come before it.

    Slots: `{question}`; `{options}`, one a line; `{subtitles}`, the lines spoken at the shown frames; `{frame_times}`,
    the times of the shown frames in seconds; `{letters}`, the options' letters ("A, B, C or D"); `{query}`, what is
    to be found, for questions whose answer is an interval; `{duration}`, the video's length in seconds.

    Args:
        text: The prompt of a question with options, or of every question if `open_text` is empty.
        open_text: The prompt of a question without options.
        subtitled_text: The prompt of a question with options where subtitles are shown, if it is another.
        system: A system message; "" for none.
        option: One line of `{options}`: `{letter}` and `{text}` are replaced.
        subtitles: What `{subtitles}` becomes where subtitles are shown: `{cues}` is replaced. "" if the style shows
            none.
        no_subtitles: What `{subtitles}` becomes where there are none.
        key: Metadata key by whose value `variants` chooses another style.
        variants: Styles by value of `key`.
        note: What is known about the style's fidelity.
    """

    text: str
    open_text: str = ""
    subtitled_text: str = ""
    system: str = ""
    option: str = "{letter}. {text}"
    subtitles: str = ""
    no_subtitles: str = ""
    key: str = ""
    variants: Mapping[str, PromptStyle] = field(default_factory=dict)
    note: str = ""

    def choose(self, metadata: Mapping[str, object]) -> PromptStyle:
        """The style for a task: the variant for its metadata, or this one."""
        found = self.variants.get(str(metadata.get(self.key))) if self.key else None
        return self if found is None else found

    def render(
        self,
        question: str,
        options: Sequence[str],
        *,
        query: str = "",
        duration: float = 0.0,
        cues: Sequence[str] = (),
        frame_times: Sequence[float] = (),
    ) -> str:
        """The prompt of a question.

        Args:
            question: The question.
            options: Its options, without letters.
            query: What is to be found; the question if empty.
            duration: Length of the video in seconds.
            cues: Lines spoken at the shown frames.
            frame_times: Times of the shown frames in seconds.
        """
        letters = [option_letter(place) for place in range(len(options))]
        pairs = zip(letters, options, strict=True)
        lines = [self.option.replace("{letter}", letter).replace("{text}", text) for letter, text in pairs]
        shown = self.subtitles.replace("{cues}", "\n".join(cues)) if cues and self.subtitles else self.no_subtitles
        values = {
            "question": question,
            "query": query or question,
            "duration": f"{duration:.1f}",
            "options": "\n".join(lines),
            "subtitles": shown,
            "frame_times": ", ".join(f"{time:.1f}" for time in frame_times),
            "letters": " or ".join(filter(None, (", ".join(letters[:-1]), *letters[-1:]))),
        }
        asked = self.subtitled_text if cues and self.subtitled_text else self.text
        template = asked if options or not self.open_text else self.open_text
        return _SLOT.sub(lambda slot: values[slot[1]], template)


DIRECT = PromptStyle(
    text="{subtitles}{question}\n{options}\nAnswer with the option's letter from the given choices directly.",
    open_text="{subtitles}{question}\nAnswer briefly.",
    subtitles="Subtitles at these frames:\n{cues}\n",
)
"""The style of tasks that belong to no benchmark."""
