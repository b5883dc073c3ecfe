"""Consoles, progress bar and messages shared by commands."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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


def progress_bar() -> Progress:
    """Progress bar on stderr with counts, elapsed and remaining time. Descriptions are plain text."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
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
