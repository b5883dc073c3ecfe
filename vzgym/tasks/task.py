"""What is asked: one question about one video."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.interval import Interval
from vzgym.tasks.evidence import EvidenceRequirements
from vzgym.video.base import Video

__all__ = ["Subtitle", "VideoTask", "option_letter"]

# Annotators round to whole or half seconds, and a container's duration may leave out the last frame's.
_END_SLACK = 0.5


def option_letter(position: int) -> str:
    """Label of the option at `position`: 0 is "A"."""
    return string.ascii_uppercase[position]


def _spans(task: str, evidence: object) -> tuple[Interval, ...]:
    """Evidence as intervals, whether it is given as such or as pairs of seconds."""
    if not isinstance(evidence, Iterable) or isinstance(evidence, (str, bytes, Mapping)):
        raise TaskError(f"task {task!r}: evidence is a list of [start, end] in seconds or None, got {evidence!r}")
    return tuple(_span(task, item) for item in evidence)


def _span(task: str, item: object) -> Interval:
    if isinstance(item, Interval):
        return item
    pair = item.tolist() if isinstance(item, np.ndarray) else item
    if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(_is_number, pair))):
        raise TaskError(f"task {task!r}: evidence is made of [start, end] in seconds, got {item!r}")
    try:
        return Interval(float(pair[0]), float(pair[1]))
    except InvalidSetting as error:
        raise TaskError(f"task {task!r}: bad evidence: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Subtitle:
    """A line of speech.

    Args:
        start: Seconds from the start of the video.
        end: Seconds from the start of the video.
        text: What is said.
    """

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class VideoTask:
    """One question about one video. Immutable; cheap to make and to pickle.

    Args:
        id: Names the task. A procedural task's id (`suite/split/index`) rebuilds it in any process.
        video: Where the frames come from.
        question: The question, without its options.
        options: The choices, as text without letters; empty for an open question.
        answer: The right answer. With options: one of them, as text (a letter is accepted and converted).
        evidence: The intervals that hold what the answer rests on; pairs of seconds become intervals. None where
            unknown, `()` where there is nothing to find (the overview suffices).
        requirements: How the evidence must be seen.
        category: Kind of question, for tables ("needle").
        subtitles: Speech, if any.
        source: Where the task comes from (suite, data set).
        metadata: Further facts, JSON values only. Procedural tasks: `family`, `seed`, `cue`, `difficulty`,
            `grid` (overview times the task was built for).

    Raises:
        TaskError: If the question is empty, options repeat, there are more than 26, the answer is none of
            them, the evidence is made of anything but intervals, or the requirements are those of more or fewer.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if self.evidence is not None:
            object.__setattr__(self, "evidence", _spans(self.id, self.evidence))
            self._check_requirements(len(self.evidence))
        if not self.question.strip():
            raise TaskError(f"task {self.id!r}: the question is empty")
        if not self.options:
            return
        if len(self.options) < 2 or len(self.options) > len(string.ascii_uppercase):
            raise TaskError(f"task {self.id!r}: needs 2 to 26 options, got {len(self.options)}")
        if len(set(self.options)) != len(self.options):
            raise TaskError(f"task {self.id!r}: options repeat: {list(self.options)}")
        if self.answer not in self.options:
            letters = [option_letter(i) for i in range(len(self.options))]
            if self.answer not in letters:
                raise TaskError(
                    f"task {self.id!r}: answer {self.answer!r} is none of the options {list(self.options)} "
                    f"and none of the letters {letters}"
                )
            object.__setattr__(self, "answer", self.options[letters.index(self.answer)])

    @property
    def letter(self) -> str | None:
        """Letter of the right option; None for an open question."""
        return option_letter(self.options.index(self.answer)) if self.options else None

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
    ) -> VideoTask:
        """A question about a video file.

        Args:
            path: The video file. Opened when the first episode starts.
            question: The question.
            options: The choices, if it is multiple choice.
            answer: The right answer; may stay empty for an open question that nobody will grade.
            backend: Which decoder reads the file ("pyav", "decord").
            id: Names the task; the path if not given.
            evidence: Where the answer is seen, if known: intervals, or pairs of seconds.
            requirements: How the evidence must be seen; one frame of each interval if not given.
            category: Kind of question.
            source: Where the task comes from.

        Raises:
            TaskError: If the task is impossible (see the class).
            UnknownName: If there is no such back-end.
        """
        from vzgym.video.file import FileVideo

        name = id or str(path)
        return cls(
            id=name,
            video=FileVideo(path, backend=backend),
            question=question,
            options=tuple(options),
            answer=answer,
            evidence=None if evidence is None else _spans(name, evidence),
            requirements=requirements or EvidenceRequirements(),
            category=category,
            source=source,
        )
