"""The progress bar that long commands share."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["console", "errors", "progress_bar"]

console = Console()
"""For results."""
errors = Console(stderr=True)
"""For everything else, so that results can be piped."""


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
