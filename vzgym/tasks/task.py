"""Tasks: one question about one video."""

from __future__ import annotations

import json
import math
import os
import re
import string
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.files import MAX_DEPTH, json_fault
from vzgym.core.interval import Interval
from vzgym.core.text import comparable, find_surrogate, normalize
from vzgym.tasks.evidence import EvidenceRequirements
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.video.base import Video

__all__ = ["VideoTask", "answer_index", "gold_text", "option_letter", "plain_options"]

# Annotators round to whole or half seconds, and a container's duration may leave out the last frame's.
_END_SLACK = 0.5


def option_letter(position: int) -> str:
    """Letter of the option at `position`: 0 is "A"."""
    return string.ascii_uppercase[position]


def answer_index(options: Sequence[str], answer: str) -> int | None:
    """Position of a task's right option: the one whose text is `answer`, else the one whose letter it is.

    None if `answer` is empty, which stands for an unknown one.
    """
    if not answer:
        return None
    if options.count(answer) == 1:
        return options.index(answer)
    letters = string.ascii_uppercase[: len(options)]
    letter = answer[1:-1] if _is_marked(answer) else answer
    return letters.index(letter) if len(letter) == 1 and letter in letters else None


def _is_marked(answer: str) -> bool:
    return len(answer) == 3 and answer[0] + answer[2] == "()"


def gold_text(options: Sequence[str], position: int) -> str:
    """The answer of a task whose right option stands at `position`, whatever the options' texts.

    The option's text; its letter where the text is empty or occurs twice; the letter in parentheses where another
    option is that letter. `answer_index` and `VideoTask` take it back to the same position.

    Args:
        options: The options without letters of their own (`plain_options`).
        position: Position of the right option.
    """
    text, letter = options[position], option_letter(position)
    if text.strip() and options.count(text) == 1:
        return text
    return f"({letter})" if letter in options else letter


def _items(value: object) -> tuple[Any, ...] | None:
    """The items of a list, or of anything else that holds them in order; None for a text, a mapping or a set."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, Set)) else None


def _options(task: str, options: object) -> tuple[str, ...]:
    texts = _items(options)
    if texts is None:
        raise TaskError(f"task {task!r}: options are a list of texts, such as ['red', 'green'], got {options!r:.80}")
    return texts


def _spans(task: str, evidence: object) -> tuple[Interval, ...]:
    """Evidence as intervals, whether it is given as such or as pairs of seconds."""
    spans = _items(evidence)
    if spans is None:
        raise TaskError(f"task {task!r}: evidence is a list of [start, end] in seconds or None, got {evidence!r}")
    return tuple(_span(task, item) for item in spans)


def _span(task: str, item: object) -> Interval:
    if isinstance(item, Interval):
        return item
    pair = item.tolist() if isinstance(item, np.ndarray) else item
    if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(_is_number, pair))):
        raise TaskError(f"task {task!r}: evidence is made of [start, end] in seconds, got {item!r}")
    try:
        return Interval(float(pair[0]), float(pair[1]))
    except (InvalidSetting, OverflowError) as error:
        raise TaskError(f"task {task!r}: bad evidence: {error}") from error


def _subtitles(task: str, lines: object) -> tuple[Subtitle, ...]:
    """Subtitles as such, whether they are given so or as `(start, end, text)`."""
    several = _items(lines)
    if several is None:
        raise TaskError(f"task {task!r}: subtitles are a list of (start, end, text), got {lines!r:.80}")
    found = []
    for place, line in enumerate(several):
        if not isinstance(line, Subtitle) and not (isinstance(line, (list, tuple)) and len(line) == 3):
            raise TaskError(f"task {task!r}: subtitle {place} must be (start, end, text), got {line!r:.80}")
        try:
            found.append(line if isinstance(line, Subtitle) else Subtitle(*line))
        except TaskError as error:
            raise TaskError(f"task {task!r}: subtitle {place}: {error}") from error
    return tuple(found)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


_LABEL = re.compile(r"[(\[]?\s*([A-Za-z])\s*[.):\]]*\s*")
_LABELLED = re.compile(r"[(\[]?\s*([A-Za-z])\s*[.):\]]+\s*(\S.*)", re.DOTALL)


def plain_options(options: Sequence[str]) -> tuple[str, ...]:
    """Options without their letters, if each one carries its own ("A. red", "B. blue"); else as given."""
    options = tuple(options)
    found = [_LABELLED.fullmatch(normalize(option)) for option in options]
    letters = "".join(label[1] for label in found if label)
    if letters != string.ascii_uppercase[: len(options)]:
        return options
    # From the option as written, so that its typography stays.
    texts = (_LABELLED.fullmatch(option) for option in options)
    return tuple(text[2] if text else label[2] for text, label in zip(texts, found, strict=True) if label)


def _answer_of(task: str, options: tuple[str, ...], answer: str) -> str:
    """The right option's text, or its letter where several options have that text; "" if the answer is unknown."""

    def option(position: int) -> str:
        return gold_text(options, position)

    letters = [option_letter(place) for place in range(len(options))]
    if not answer or options.count(answer) == 1:
        return answer
    if answer in letters or (_is_marked(answer) and answer[1] in letters):
        return option(letters.index(answer.strip("()")))
    plain, asked = [comparable(text) for text in options], comparable(answer)
    alike = [place for place, text in enumerate(plain) if text == asked and asked]
    if len(alike) == 1:
        return option(alike[0])
    if alike:
        named = " and ".join(f"{letters[place]} ({options[place]!r})" for place in alike)
        raise TaskError(f"task {task!r}: answer {answer!r} fits the options {named}: give the right one's letter")
    label, labelled = _LABEL.fullmatch(normalize(answer)), _LABELLED.fullmatch(normalize(answer))
    if label and label[1].upper() in letters:
        return option(letters.index(label[1].upper()))
    if labelled and labelled[1].upper() in letters:
        place = letters.index(labelled[1].upper())
        if comparable(labelled[2]) == plain[place]:
            return option(place)
        raise TaskError(
            f"task {task!r}: answer {answer!r} contradicts itself: option {letters[place]} is {options[place]!r}"
        )
    # Imported here: only a mistake needs it.
    from difflib import get_close_matches

    near = get_close_matches(asked, plain, n=1, cutoff=0.75)
    hint = f"; did you mean {options[plain.index(near[0])]!r}?" if near else ""
    raise TaskError(
        f"task {task!r}: answer {answer!r} is none of the options {list(options)} "
        f"and none of the letters {letters}{hint}"
    )


def _json_fault(metadata: Mapping[str, Any]) -> str:
    """What keeps metadata out of a JSON file; "" if nothing does."""
    for key, value in metadata.items():
        if not isinstance(key, str):
            return f"metadata has the key {key!r}, which is no text"
        fault = json_fault(value, MAX_DEPTH // 2)
        if fault is not None:
            return f"metadata[{key!r}] must be a JSON value (NaN and infinity are none), but holds {fault}"
        try:
            json.dumps({key: value}, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return f"metadata[{key!r}] has a lone surrogate, which is no character"
    return ""


@dataclass(frozen=True)
class VideoTask:
    """One question about one video. Immutable; cheap to make and to pickle.

    Args:
        id: Names the task. A procedural task's id (`suite/split/index`) rebuilds it in any process.
        video: The video.
        question: The question, without its options.
        options: The choices; empty for an open question. Letters of their own ("A. red", "B. blue") are removed.
        answer: The right answer. With options: one of them, as text. A letter is accepted and converted, and so are
            spellings that fit one option alone ("Yellow", "(D) yellow"). Where several options have the same text, the
            answer is the letter. Empty if unknown: the task is not graded then.
        evidence: The intervals with the evidence for the answer; pairs of seconds become intervals. None if unknown,
            `()` if there is nothing to find (the overview suffices).
        requirements: How the evidence must be seen.
        category: Kind of question, for tables ("needle").
        subtitles: Speech, if any: `Subtitle`s, or `(start, end, text)`.
        source: Where the task comes from (suite, data set).
        show_subtitles: Whether the dialogue shows the subtitles unless a run says otherwise; see `Episode`.
        metadata: Further facts, JSON values only; `tolerance`, a number >= 0, is the relative tolerance with which
            numeric answers are graded. Procedural tasks: `family`, `seed`, `cue`, `difficulty`, `grid` (overview times
            the task was built for).

    Raises:
        TaskError: If the question is empty, the options are not a list of texts, there is one or more than 26, the
            answer is none of them or fits several, the evidence is made of anything but intervals, the requirements are
            those of more or fewer, the subtitles are none, a text holds a lone surrogate, or the metadata holds
            anything but JSON values (NaN is none).
    """

    id: str
    video: Video
    question: str
    options: tuple[str, ...] = ()
    answer: str = ""
    evidence: tuple[Interval, ...] | None = None
    requirements: EvidenceRequirements = field(default_factory=EvidenceRequirements)
    category: str = ""
    subtitles: tuple[Subtitle, ...] = ()
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    show_subtitles: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", _options(self.id, self.options))
        object.__setattr__(self, "subtitles", _subtitles(self.id, self.subtitles))
        if self.evidence is not None:
            object.__setattr__(self, "evidence", _spans(self.id, self.evidence))
            self._check_requirements(len(self.evidence))
        self._check_texts()
        if not self.question.strip():
            raise TaskError(f"task {self.id!r}: the question is empty")
        if not self.options:
            return
        if len(self.options) < 2 or len(self.options) > len(string.ascii_uppercase):
            raise TaskError(f"task {self.id!r}: needs 2 to 26 options, got {len(self.options)}")
        object.__setattr__(self, "options", plain_options(self.options))
        object.__setattr__(self, "answer", _answer_of(self.id, self.options, self.answer))

    @property
    def answer_index(self) -> int | None:
        """Position of the right option; None for an open question."""
        return answer_index(self.options, self.answer)

    @property
    def letter(self) -> str | None:
        """Letter of the right option; None for an open question."""
        position = self.answer_index
        return None if position is None else option_letter(position)

    def _check_texts(self) -> None:
        """Check that the task can be graded and its record be written: texts, metadata, tolerance."""
        texts = {
            "id": self.id,
            "question": self.question,
            **{f"option {option_letter(place % 26)}": option for place, option in enumerate(self.options)},
            "answer": self.answer,
            "category": self.category,
            "source": self.source,
            **{f"subtitle {place}": subtitle.text for place, subtitle in enumerate(self.subtitles)},
        }
        for where, text in texts.items():
            if not isinstance(text, str):
                raise TaskError(f"task {self.id!r}: {where} must be text, got {text!r}")
            if (position := find_surrogate(text)) is not None:
                raise TaskError(
                    f"task {self.id!r}: {where} has a lone surrogate (\\u{ord(text[position]):04x}) at position "
                    f"{position}, which is no character: decode the file it comes from as UTF-8, or leave it out"
                )
        tolerance = self.metadata.get("tolerance", 0.0)
        if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < math.inf:
            raise TaskError(f"task {self.id!r}: metadata['tolerance'] must be a number >= 0, got {tolerance!r}")
        fault = _json_fault(self.metadata)
        if fault:
            raise TaskError(f"task {self.id!r}: {fault}")

    @property
    def varying(self) -> tuple[Interval, ...]:
        """Intervals in which frames depend on the answer: what the requirements name, else the evidence."""
        varies = self.requirements.varies
        return (self.evidence or ()) if varies is None else varies

    def _check_requirements(self, count: int) -> None:
        regions, placement = self.requirements.regions, self.requirements.placement
        if regions and len(regions) != count:
            raise TaskError(f"task {self.id!r}: {len(regions)} regions for {count} evidence intervals, not one each")
        # Without evidence a placement says where the overview shows what is asked for.
        if placement is not None and len(placement.events) != max(1, count):
            raise TaskError(
                f"task {self.id!r}: a placement of {len(placement.events)} events for {count} evidence intervals, "
                "not one each"
            )

    def check_evidence(self) -> None:
        """Check that the evidence lies in the video. Opens it, so that making a task stays cheap.

        Raises:
            TaskError: If it does not; half a second beyond the end is taken for a rounding.
            VideoError: If the video cannot be opened.
        """
        if not self.evidence:
            return
        duration = self.video.duration
        for span in self.evidence:
            if span.start < 0 or span.end > duration + _END_SLACK:
                raise TaskError(
                    f"task {self.id!r}: evidence [{span.start:g}, {span.end:g}] lies outside the video of "
                    f"{duration:g} s"
                )

    def check_subtitles(self) -> None:
        """Check that the subtitles belong to the video. Opens it, so that making a task stays cheap.

        Single lines may start after the video's end (and are never shown), as where a video was cut.

        Raises:
            TaskError: If at least half of them do.
            VideoError: If the video cannot be opened.
        """
        if not self.subtitles:
            return
        duration = self.video.duration
        late = [line for line in self.subtitles if line.start > duration]
        if 2 * len(late) >= len(self.subtitles):
            raise TaskError(
                f"task {self.id!r}: {len(late)} of {len(self.subtitles)} subtitles start after the end of the video "
                f"({duration:g} s), the first at {min(line.start for line in late):g} s: are they those of another "
                "video? `read_subtitles(..., duration=, strict=False)` leaves such lines out"
            )

    @classmethod
    def from_file(
        cls,
        path: str,
        question: str,
        options: Sequence[str] = (),
        answer: str = "",
        *,
        backend: str = "pyav",
        id: str | None = None,
        evidence: Sequence[Interval | Sequence[float]] | None = None,
        requirements: EvidenceRequirements | None = None,
        category: str = "",
        source: str = "",
        subtitles: str | os.PathLike[str] | Sequence[Subtitle | Sequence[Any]] = (),
    ) -> VideoTask:
        """A question about a video file.

        Args:
            path: The video file. Opened when the first episode starts.
            question: The question.
            options: The choices, if it is multiple choice.
            answer: The right answer; may stay empty for an open question that is not graded.
            backend: Which decoder reads the file ("pyav", "decord").
            id: Names the task; the path if not given.
            evidence: Where the answer is seen, if known: intervals, or pairs of seconds.
            requirements: How the evidence must be seen; one frame of each interval if not given.
            category: Kind of question.
            source: Where the task comes from.
            subtitles: Speech: a file that `read_subtitles` reads, or lines.

        Raises:
            TaskError: If the task is impossible (see the class).
            SubtitleError: If the file of subtitles cannot be read.
            UnknownName: If there is no such back-end.
        """
        from vzgym.video.file import FileVideo

        name = id or str(path)
        if isinstance(subtitles, (str, os.PathLike)):
            from vzgym.tasks.subtitles.reading import read_subtitles

            subtitles = read_subtitles(subtitles)
        return cls(
            id=name,
            video=FileVideo(path, backend=backend),
            question=question,
            options=_options(name, options),
            answer=answer,
            evidence=None if evidence is None else _spans(name, evidence),
            requirements=requirements or EvidenceRequirements(),
            category=category,
            subtitles=_subtitles(name, subtitles),
            source=source,
        )
