"""A converted row of a benchmark, and the task that it becomes."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vzgym.core.interval import Interval
from vzgym.tasks.benchmarks.columns import around, merged
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.tasks.task import VideoTask, gold_text, plain_options
from vzgym.video.base import Video

__all__ = ["FLAWS", "Item", "letter_index"]

FLAWS: dict[str, str] = {
    "repeated_options": "two options have the same text",
    "repeated_gold": "the right option's text occurs twice; the letter decides",
    "empty_option": "an option is empty",
    "letter_options": "an option's text is a letter; the gold letter is a position",
    "no_options": "a multiple-choice question without options",
    "empty_question": "the question is empty",
    "bad_gold": "the right answer is none of the options",
    "unparsable_evidence": "the evidence cannot be parsed; it is taken as unknown",
    "reversed_evidence": "the evidence ends before it starts; it is taken as unknown",
    "point_evidence": "the evidence has no length; it is taken as one second around that moment",
    "corrupt_position": "a position lies outside the video; it is left out",
    "outside_evidence": "the evidence ends after the video; it is cut",
    "duplicate_id": "the id is that of an earlier row, too; a number is added",
    "broken_video": "the published file does not decode fully",
    "odd_options": "text that is no option stands among the options",
    "odd_type": "the question's type and its answer do not fit",
}
"""Flaws of rows, as `metadata["flaws"]` names them, with their meanings."""


def letter_index(letter: object, count: int) -> int | None:
    """Position of an option's letter; None if it is no letter of one of `count` options."""
    if not isinstance(letter, str) or len(letter.strip()) != 1:
        return None
    position = string.ascii_uppercase.find(letter.strip().upper())
    return position if 0 <= position < count else None


@dataclass
class Item:
    """A row, converted.

    Args:
        id: The question's id in the source.
        video: The video's file, relative to the folder of videos, or its name without a suffix.
        question: The question without its options.
        options: The options, with or without letters of their own.
        gold: Position of the right option; None if it is unknown or there are no options.
        answer: The right answer of a question without options.
        evidence: The intervals with the evidence, in seconds; None if unknown.
        category: Kind of question.
        subtitles: The file of subtitles, relative to the folder of subtitles; "" if there is none.
        subtitles_start: Time of the subtitles' clock at which the video starts, in seconds.
        metadata: Facts of the source, JSON values.
        flaws: Names of flaws that the conversion found (`FLAWS`).
    """

    id: str
    video: str
    question: str
    options: Sequence[str] = ()
    gold: int | None = None
    answer: str = ""
    evidence: Sequence[Interval] | None = None
    category: str = ""
    subtitles: str = ""
    subtitles_start: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)
    flaws: list[str] = field(default_factory=list)

    def flaw(self, name: str) -> None:
        """Add a flaw, once."""
        if name not in self.flaws:
            self.flaws.append(name)

    def set_evidence(self, pairs: Sequence[tuple[float, float]], duration: float | None = None) -> None:
        """Set the evidence from pairs of seconds, in any order; faulty ones are left out and flagged.

        Args:
            pairs: Start and end of each interval.
            duration: Length of the video in seconds, to cut what ends later; None if unknown.
        """
        kept = []
        limit = math.inf if duration is None else duration
        for start, end in pairs:
            if end < start:
                self.flaw("reversed_evidence")
                continue
            if end == start:
                self.flaw("point_evidence")
                start, end = around(start, duration)
            # Annotated lengths are often rounded down.
            if start < 0 or end > limit + 1.0:
                self.flaw("outside_evidence")
            start, end = max(0.0, start), min(end, limit)
            if end > start:
                kept.append((start, end))
        self.evidence = merged(kept) if kept else None

    def task(self, video: Video, source: str, subtitles: Sequence[Subtitle] = ()) -> VideoTask:
        """The task of this item. Flaws of options and question are found here.

        Args:
            video: The video.
            source: The benchmark's name.
            subtitles: Lines of speech.
        """
        options = tuple(self.options)
        while (plain := plain_options(options)) != options:  # some sets letter options twice
            options = plain
        self._find_flaws(options)
        if len(options) < 2:
            # One option is no choice.
            options, gold, answer = (), None, self.answer or (options[0] if options else "")
        else:
            gold, answer = self.gold, ""
        return VideoTask(
            id=self.id,
            video=video,
            question=self.question if self.question.strip() else "(no question)",
            options=options,
            answer=answer if gold is None else gold_text(options, gold),
            evidence=None if self.evidence is None else tuple(self.evidence),
            category=self.category,
            subtitles=tuple(subtitles),
            source=source,
            metadata={**self.metadata, **({"flaws": list(self.flaws)} if self.flaws else {})},
        )

    def _find_flaws(self, options: Sequence[str]) -> None:
        if not self.question.strip():
            self.flaw("empty_question")
        texts = [option.strip() for option in options]
        filled = [text for text in texts if text]
        if len(set(filled)) < len(filled):
            self.flaw("repeated_options")
            if self.gold is not None and self.gold < len(texts) and filled.count(texts[self.gold]) > 1:
                self.flaw("repeated_gold")
        if len(filled) < len(texts):
            self.flaw("empty_option")
        if any(text in string.ascii_uppercase[: len(texts)] for text in filled):
            self.flaw("letter_options")
