"""The progress bar that long commands share."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["console", "errors", "progress_bar", "say"]

console = Console()
"""For results."""
errors = Console(stderr=True)
"""For everything else, so that results can be piped."""


def say(text: str, to: Console = console) -> None:
    """Print plain text: brackets in it are no markup, and no line is broken within a path."""
    to.print(text, markup=False, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A bar with counts, time spent and time left, on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
    )
