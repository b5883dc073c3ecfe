"""What a benchmark's definition holds: plain data, and one function that converts a row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vzgym.core.registry import import_object
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.prompts import PromptStyle

if TYPE_CHECKING:
    from vzgym.tasks.benchmarks.loading import BenchmarkTasks

__all__ = ["Benchmark", "Layout", "Row", "RowReader", "Source", "Totals", "statements"]

Row: TypeAlias = Mapping[str, Any]
"""One question, with the names that the annotation file gives its fields."""

RowReader: TypeAlias = Callable[[Sequence[Path]], Iterable[tuple[str, Row]]]
"""Reads annotation files: their rows, each with its place in words ("lvb_val.json, row 3")."""


def statements(text: str) -> tuple[str, ...]:
    """The items of a list in Markdown, each in one line; for the texts of a definition."""
    items = f"\n{text.strip()}".split("\n- ")
    return tuple(" ".join(item.split()) for item in items if item.strip())


@dataclass(frozen=True, slots=True)
class Source:
    """Where the files are.

    Args:
        hub: Ids of datasets on the Hugging Face hub that hold the set; the first is what `vzgym bench download` takes.
        size: Download size, in words ("101 GB"); "?" if it is not known.
        access: "open", or "form" if the hub asks for an agreement, or "elsewhere" if the hub lacks the videos.
        licence: The license or the terms of use, in words.
        files: Patterns of the files that `vzgym bench download` fetches; all if empty.
        how: What else to do to get the files, in full sentences.
    """

    hub: tuple[str, ...]
    size: str
    licence: str
    access: Literal["open", "form", "elsewhere"] = "open"
    files: tuple[str, ...] = ()
    how: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """A known arrangement of a benchmark's files.

    Patterns are those of `Path.glob`, with one of three first parts: `{root}` is the folder that the user gives;
    `{cache}` is a snapshot of the set in a Hugging Face cache at or below it; `{snapshot}` is either of the two.

    Args:
        name: What writes files in this way: "lmms-eval", "VLMEvalKit", "official".
        annotations: Patterns of annotation files; the first with a match is used, with all its matches.
        videos: Folders of videos, searched with all their sub-folders. Those that exist are used.
        subtitles: Folders of subtitles, if any.
    """

    name: str
    annotations: tuple[str, ...]
    videos: tuple[str, ...]
    subtitles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """Published sizes, which `vzgym bench check` compares with.

    Args:
        rows: Number of questions; 0 if unknown.
        videos: Number of videos; 0 if unknown.
        groups: Number of questions of each value of a metadata key.
        copies: Sizes of published copies that differ.
    """

    rows: int
    videos: int = 0
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    copies: tuple[Totals, ...] = ()

    def nearest(self, rows: int) -> Totals:
        """The sizes of the copy that has as many rows; these if none has."""
        return next((copy for copy in self.copies if copy.rows == rows), self)


@dataclass(frozen=True)
class Benchmark:
    """A published data set of questions about videos. Called with a folder, it gives the set's tasks.

    Args:
        name: The name that lmms-eval uses, or in its style.
        title: The name in papers.
        about: One or two sentences.
        source: Where the files are.
        totals: Published sizes.
        layouts: Known arrangements of the files, in the order in which they are looked for.
        convert: Converts a row. A fault of the row that leaves it playable is a flaw of the item, not an error.
        read: Reads the annotation files, if rows are not simply those of the files.
        aliases: Further names with the options that they stand for (`{"videomme_w_subtitle": {"subtitles": True}}`).
        subsets: Named parts, each a metadata key and its value: `videomme/long`.
        answers: Kind of question: "choice", "open", "mixed" or "spans" (the answer is an interval).
        options: Number of options, in words.
        chance: Accuracy of a guess in percent; None for open questions.
        evidence: What the evidence intervals are: "spans", "instants" (a moment of known place, unknown length), or ""
            if there are none.
        groups: Metadata keys by which results are broken down.
        averages: Averaging of the overall score by convention: "micro", or "macro KEY" for the mean over the values of
            a metadata key.
        group_by: Metadata key of rows that are scored together (Video-MME-v2's groups, VideoMMMU's tracks of one
            video); "" if each row is scored alone.
        metrics: What the source reports, by name, the main one first.
        prompts: Prompt styles by name ("official", "lmms-eval", "vlmevalkit").
        identifying_folders: How many folders above a video's file belong to its name, since files in other folders have
            the same name.
        last_frame: Whether the video's last frame must be shown, since the question refers to it.
        ignored_columns: Columns that are not read, such as large images.
        subtitle_rule: How the source shows subtitles, in words; "" if there are none.
        conventions: How published numbers were obtained: statements for the reference page.
        flaws: Known faults of the data: statements for the reference page.
        references: Published results, as text.
        unverified: Statements of this definition that are not confirmed.
    """

    name: str
    title: str
    about: str
    source: Source
    totals: Totals
    layouts: tuple[Layout, ...]
    convert: Callable[[Row], Item]
    read: RowReader | None = None
    aliases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    subsets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    answers: Literal["choice", "open", "mixed", "spans"] = "choice"
    options: str = "4"
    chance: float | None = 25.0
    evidence: Literal["", "spans", "instants"] = ""
    groups: tuple[str, ...] = ()
    averages: Mapping[str, str] = field(default_factory=lambda: {"official": "micro"})
    group_by: str = ""
    metrics: tuple[str, ...] = ("accuracy",)
    prompts: Mapping[str, PromptStyle] = field(default_factory=dict)
    identifying_folders: int = 0
    last_frame: bool = False
    ignored_columns: tuple[str, ...] = ()
    subtitle_rule: str = ""
    conventions: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    @property
    def has_subtitles(self) -> bool:
        """Whether the set comes with subtitles."""
        return any(layout.subtitles for layout in self.layouts)

    def __call__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        annotations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        videos: str | os.PathLike[str] | None = None,
        subtitle_files: str | os.PathLike[str] | None = None,
        subtitles: bool = False,
        subset: str = "",
        skip_flawed: bool = False,
        skip_missing: bool = False,
        backend: str = "pyav",
    ) -> BenchmarkTasks:
        """Load the tasks. No video is opened.

        Args:
            root: Folder with the files in a known layout.
            annotations: The annotation file or files, or a folder of them, in place of those found below `root`.
            videos: The folder of videos, likewise.
            subtitle_files: The folder of subtitles, likewise.
            subtitles: Whether the lines spoken at each frame are shown with it.
            subset: A named part ("long"); all if empty.
            skip_flawed: Leave out rows with flaws. They are counted in `BenchmarkTasks.skipped`.
            skip_missing: Leave out rows whose video is missing. They are counted likewise.
            backend: Which decoder reads the videos.

        Raises:
            TaskError: If no annotation file is found, or a file cannot be read as this benchmark's rows.
            InvalidSetting: If neither a root nor files are given, or there is no such subset.
            DependencyNotInstalled: If a parquet file is to be read and pyarrow is missing.
        """
        # Loading needs definitions, so it is looked up when it is used.
        load: Callable[..., BenchmarkTasks] = import_object("vzgym.tasks.benchmarks.loading:load_benchmark")
        return load(
            self,
            root,
            annotations=annotations,
            videos=videos,
            subtitle_files=subtitle_files,
            subtitles=subtitles,
            subset=subset,
            skip_flawed=skip_flawed,
            skip_missing=skip_missing,
            backend=backend,
        )
