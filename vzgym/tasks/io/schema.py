"""The form of a row of a task file (`vzgym.tasks.load_jsonl`), for its JSON schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from vzgym.core.settings import ListOf, Settings

__all__ = ["RequirementsRow", "SubtitlesFile", "TaskRow"]

Span = Annotated[tuple[float, float], Strict(False)]
"""`[start, end]` in seconds from the start of the video."""


class RequirementsRow(Settings):
    """How the evidence intervals must be seen; see `vzgym.tasks.EvidenceRequirements`."""

    min_fps: float | None = Field(None, gt=0)
    """Smallest frame rate that suffices, in frames per second."""

    min_rows: float = Field(0.0, ge=0)
    """Rows of pixels that the whole picture must have at the scale of a clip."""

    regions: ListOf[Annotated[tuple[float, float, float, float], Strict(False)]] = ()
    """The part of the picture that holds each piece of evidence: `[left, top, right, bottom]` from 0 to 1."""

    placement: dict[str, Any] | None = None
    """Where the events may lie in the video, and which of their frames must be seen."""

    varies: ListOf[Span] | None = None
    """Intervals in which frames depend on the answer; null if they are the evidence intervals."""


class SubtitlesFile(Settings):
    """A subtitle file; see `vzgym.tasks.read_subtitles`."""

    path: str = Field(min_length=1)
    """Path of the file, relative to the folder of this file."""

    format: Literal["srt", "vtt", "json", "jsonl", "xml"] | None = None
    """Its format; recognized from the content if null."""

    encoding: str | None = None
    """The encoding of a file without byte order mark; UTF-8 if null."""

    unit: Literal["seconds", "milliseconds"] = "seconds"
    """The unit of numbers in JSON whose key names none."""

    offset: float = 0.0
    """Seconds to add to every time."""

    duration: float | None = Field(None, gt=0)
    """Length of the video in seconds: the end of cues without one."""

    strict: bool = True
    """Whether a malformed block is an error; if false, it is left out with a warning."""


class TaskRow(Settings):
    """A task, as one line of a .jsonl file."""

    id: str
    """Names the task; unique in the file."""

    video: str = Field(min_length=1)
    """Path of the video file, relative to the folder of this file."""

    question: str = Field(min_length=1)
    """The question, without its options."""

    options: ListOf[str] = Field((), max_length=26)
    """The choices, as text without letters; empty for an open question."""

    answer: str = ""
    """The right answer; with options, one of them or its letter."""

    evidence: ListOf[Span] | None = None
    """Intervals that hold what the answer rests on; null if unknown, [] if the overview suffices."""

    requirements: RequirementsRow = RequirementsRow()
    """How the evidence must be seen."""

    category: str = ""
    """Kind of question, for tables."""

    subtitles: ListOf[Annotated[tuple[float, float, str], Strict(False)]] | str | SubtitlesFile = ()
    """Speech: a list of `[start, end, text]`, or a subtitle file."""

    source: str = ""
    """Where the task comes from, such as a data set."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    """Further facts."""

    show_subtitles: bool = False
    """Whether the dialogue shows the subtitles, unless a run says otherwise."""
