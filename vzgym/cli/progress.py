"""Consoles, progress bar and messages shared by commands."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

__all__ = ["console", "costs_in_words", "errors", "printable", "progress_bar", "say"]


class SafeConsole(Console):
    """A console that escapes control characters in names and texts."""

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console.render_str`. Escaped here too, so that widths are measured afterwards."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console.render`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


console = SafeConsole()
"""Console for results (stdout)."""
errors = SafeConsole(stderr=True)
"""Console for all other output (stderr), so that results can be piped."""


_DIRECTIONS = frozenset("LRE RLE LRO RLO PDF LRI RLI FSI PDI".split())


def printable(text: str) -> str:
    """Escape characters that control the terminal or the text direction.

    File names and dataset texts may contain any. Line breaks and tabs are kept.
    """
    return "".join(ascii(char)[1:-1] if _is_control(char) else char for char in text)


def _is_control(char: str) -> bool:
    if unicodedata.bidirectional(char) in _DIRECTIONS:
        return True
    return char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def say(text: str, to: Console = console) -> None:
    """Print plain text without markup, control characters, or line breaks within paths."""
    to.print(text, markup=False, highlight=False, soft_wrap=True)


class _ProgressBar(Progress):
    """A progress bar that also reports in a log file, where a bar cannot move: a line for each task now and then."""

    _PERIOD = 30.0
    """Seconds between two reports."""

    def __init__(self, *columns: ProgressColumn, report: bool, console: Console) -> None:
        super().__init__(*columns, console=console)
        self._reports = report and not console.is_terminal
        self._reported = self.get_time()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """See `rich.progress.Progress.update`."""
        super().update(task_id, **changes)
        self._report()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """See `rich.progress.Progress.advance`."""
        super().advance(task_id, advance)
        self._report()

    def _report(self) -> None:
        if not self._reports or self.get_time() - self._reported < self._PERIOD:
            return
        self._reported = self.get_time()
        for task in self.tasks:
            if not task.finished:
                total = "" if task.total is None else f"/{task.total:.0f}"
                left = "" if task.time_remaining is None else f", {timedelta(seconds=task.time_remaining)} left"
                spent = timedelta(seconds=round(task.elapsed or 0.0))
                say(f"{task.description} {task.completed:.0f}{total}, {spent}{left}", self.console)


def progress_bar(*, report: bool = True) -> Progress:
    """Progress bar on stderr with counts, elapsed and remaining time. Descriptions are plain text.

    Args:
        report: Whether to print the same as a line every half minute if stderr is not a terminal.
    """
    return _ProgressBar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        report=report,
        console=errors,
    )


def costs_in_words(costs: Mapping[str, float]) -> str:
    """Summary of the requests to served models; "" if there were none.

    Args:
        costs: Sums of what policies count (`costs` of a policy).
    """
    if "requests" not in costs:
        return ""
    words = [f"{costs['requests']:.0f} requests ({costs.get('retries', 0):.0f} sent again)"]
    if "input_tokens" in costs:
        words += [f"{costs['input_tokens']:,.0f} tokens read", f"{costs.get('output_tokens', 0):,.0f} written"]
    if "price" in costs:
        words.append(f"price {costs['price']:.4g}")
    return ", ".join(words)
