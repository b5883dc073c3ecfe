"""Parts that figures of results share. Needs matplotlib (`pip install "vzgym[plots]"`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from vzgym.core.errors import DependencyNotInstalled
from vzgym.core.statistics import Estimate
from vzgym.evaluation.taxonomy import TaxonomyClass

__all__ = [
    "TAXONOMY_COLORS",
    "error_bar",
    "escape_mathtext",
    "import_pyplot",
    "palette_color",
    "plain_axes",
    "rows_figure",
    "save_pdf",
    "stack_shares",
]

TAXONOMY_COLORS: Final = {
    TaxonomyClass.GROUNDED: "#1b7837",
    TaxonomyClass.REDUNDANT: "#7fbf7b",
    TaxonomyClass.LUCKY: "#92c5de",
    TaxonomyClass.WRONG_ANSWER: "#fee090",
    TaxonomyClass.TOO_COARSE: "#fdae61",
    TaxonomyClass.WRONG_SEGMENT: "#d73027",
    TaxonomyClass.MALFORMED: "#762a83",
    TaxonomyClass.OUT_OF_BUDGET: "#b2abd2",
    TaxonomyClass.VIDEO_ERROR: "#bdbdbd",
    TaxonomyClass.RIGHT: "#a6dba0",
    TaxonomyClass.WRONG: "#f4a582",
    TaxonomyClass.UNKNOWN: "#636363",
}
"""Right: greens and blues, best first; wrong: warm colors; unknown: grays."""


def import_pyplot() -> Any:
    """Import matplotlib's pyplot, without a display.

    Raises:
        DependencyNotInstalled: If matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise DependencyNotInstalled('matplotlib is not installed, run `pip install "vzgym[plots]"`') from error
    matplotlib.use("Agg")
    # TrueType fonts: conferences refuse PDF files with Type 3 fonts.
    matplotlib.rcParams["pdf.fonttype"] = 42
    from matplotlib import pyplot

    return pyplot


def save_pdf(figure: Any, path: Path) -> None:
    """Save a figure as PDF. The same figure gives the same bytes."""
    figure.savefig(path, bbox_inches="tight", metadata={"CreationDate": None})


def palette_color(place: int) -> Any:
    """Ten saturated colors, then ten light ones."""
    from matplotlib import colormaps

    return colormaps["tab20"](2 * (place % 10) + (place // 10) % 2)


def plain_axes(*axes: Any) -> None:
    """A light grid, and no frame at the top and the right."""
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)


def error_bar(estimate: Estimate) -> list[list[float]] | None:
    """The interval as an error bar; None if it is unknown."""
    if math.isnan(estimate.low):
        return None
    # Rounding may move an interval's end slightly past its center.
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]


def rows_figure(labels: Sequence[str], more: float = 0.0) -> tuple[Any, Any]:
    """A figure with one row per label, the first on top, and `more` inches for a legend below."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8.5, 0.9 + more + 0.34 * len(labels)), layout="constrained")
    axis.set_yticks(range(len(labels)), [escape_mathtext(label) for label in labels], fontsize=9)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    plain_axes(axis)
    axis.grid(visible=False, axis="y")
    return figure, axis


def escape_mathtext(text: str) -> str:
    """A text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")


def stack_shares(labels: Sequence[str], kinds: Sequence[TaxonomyClass], shares: Sequence[Sequence[float]]) -> Any:
    """A figure of stacked bars: the shares of the taxonomy's classes, one bar per label.

    Args:
        labels: A label for each bar.
        kinds: The classes.
        shares: For each bar, the share of each class.
    """
    figure, axis = rows_figure(labels, more=0.25 * math.ceil(len(kinds) / 4))
    for place, row in enumerate(shares):
        left = 0.0
        for kind, share in zip(kinds, row, strict=True):
            axis.barh(place, share, left=left, height=0.72, color=TAXONOMY_COLORS[kind])
            left += share
    for kind in kinds:
        axis.barh(0, 0, color=TAXONOMY_COLORS[kind], label=str(kind).replace("_", " "))
    axis.set_xlim(0, 1)
    axis.grid(visible=False)
    axis.set_xlabel("share of the episodes")
    figure.legend(fontsize=8, ncols=4, loc="outside lower center", frameon=False)
    return figure
