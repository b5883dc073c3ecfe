"""The progress bar that long commands share, and words that several commands say."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["console", "errors", "progress_bar", "say", "spent_words"]

console = Console()
"""For results."""
errors = Console(stderr=True)
"""For everything else, so that results can be piped."""


def say(text: str, to: Console = console) -> None:
    """Print plain text: brackets in it are no markup, and no line is broken within a path."""
    to.print(text, markup=False, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A bar with counts, time spent and time left, on stderr. Brackets in its descriptions are no markup."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
    )


def spent_words(spent: Mapping[str, float]) -> str:
    """What served models were asked, in words; "" if none was.

    Args:
        spent: Sums of what policies count (`TextPolicy.spent`).
    """
    if "requests" not in spent:
        return ""
    words = [f"{spent['requests']:.0f} requests ({spent.get('retries', 0):.0f} sent again)"]
    if "input_tokens" in spent:
        words += [f"{spent['input_tokens']:,.0f} tokens read", f"{spent.get('output_tokens', 0):,.0f} written"]
    if "price" in spent:
        words.append(f"price {spent['price']:.4g}")
    return ", ".join(words)
