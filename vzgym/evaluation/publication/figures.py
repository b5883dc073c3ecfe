"""Figures of evaluations and comparisons, as PDF. Needs matplotlib (`pip install "vzgym[plots]"`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vzgym.evaluation.comparison import Comparison
from vzgym.evaluation.publication.plotting import (
    TAXONOMY_COLORS,
    error_bar,
    escape_mathtext,
    import_pyplot,
    palette_color,
    plain_axes,
    rows_figure,
    save_pdf,
    stack_shares,
)
from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES

__all__ = ["comparison_figures", "curve_figure", "evaluation_figures", "save_figures"]


def save_figures(figures: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Save figures as `NAME.pdf` into a folder, which is created if missing, and close them.

    Args:
        figures: Figures by name.
        folder: The folder.

    Returns:
        The files.
    """
    pyplot = import_pyplot()
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    made = []
    for name, figure in figures.items():
        made.append(place / f"{name}.pdf")
        save_pdf(figure, made[-1])
        pyplot.close(figure)
    return made


def evaluation_figures(reports: Sequence[EvaluationReport]) -> dict[str, Any]:
    """Figures of reports by name: `accuracy` (with 95 % intervals), `frames` (accuracy against frames), `taxonomy`.

    Args:
        reports: The reports, for example of several policies on the same tasks.

    Raises:
        DependencyNotInstalled: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    labels = [report.policy + (" *" if report.privileged else "") for report in reports]
    summaries = [report.summary for report in reports]
    figure, axis = rows_figure(labels)
    for place, summary in enumerate(summaries):
        if not math.isnan(summary["correct"].value):
            axis.errorbar(
                summary["correct"].value,
                place,
                xerr=error_bar(summary["correct"]),
                fmt="D",
                color=palette_color(0),
                capsize=3,
            )
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("share of right answers")
    figures = {"accuracy": figure}
    figure, axis = pyplot.subplots(figsize=(7.2, 4.8))
    for place, (label, summary) in enumerate(zip(labels, summaries, strict=True)):
        x, y = summary["frames"], summary["correct"]
        if not math.isnan(y.value):
            axis.errorbar(
                x.value, y.value, xerr=error_bar(x), yerr=error_bar(y), fmt="o", color=palette_color(place),
                capsize=2, elinewidth=0.9, label=escape_mathtext(label),
            )  # fmt: skip
    axis.set(xlabel="frames shown per question", ylabel="share of right answers", ylim=(-0.02, 1.05))
    plain_axes(axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figures["frames"] = figure
    counts = [report.taxonomy for report in reports]
    used = sorted(
        (kind for kind in TAXONOMY_CLASSES if any(count[kind] for count in counts)), key=list(TAXONOMY_COLORS).index
    )
    shares = [[count[kind] / max(1, sum(count.values())) for kind in used] for count in counts]
    figures["taxonomy"] = stack_shares(labels, used, shares)
    return figures


def curve_figure(curve: Mapping[str, Mapping[int, EvaluationReport]]) -> Any:
    """Accuracy against the frames shown, with 95 % intervals: a line for each policy.

    Args:
        curve: Reports by policy and number of overview frames.

    Raises:
        DependencyNotInstalled: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    figure, axis = pyplot.subplots(figsize=(6.4, 4.2))
    for place, (policy, reports) in enumerate(curve.items()):
        found = sorted(
            ((report.summary["frames"].value, report.summary["correct"]) for report in reports.values()),
            key=lambda point: point[0],
        )
        points = [(frames, right) for frames, right in found if not math.isnan(right.value)]
        axis.errorbar(
            [frames for frames, _ in points],
            [100 * right.value for _, right in points],
            yerr=[
                [100 * (right.value - right.low) for _, right in points],
                [100 * (right.high - right.value) for _, right in points],
            ],
            fmt="o-", color=palette_color(place), capsize=3, elinewidth=0.9, label=escape_mathtext(policy),
        )  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set(xlabel="frames shown per question", ylabel="right answers (%)")
    axis.xaxis.set_major_formatter(pyplot.FuncFormatter(lambda value, _: f"{value:g}"))
    plain_axes(axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    return figure


def comparison_figures(found: Comparison) -> dict[str, Any]:
    """The figure `differences`: accuracy of each run against the first, with paired 95 % intervals.

    Args:
        found: The comparison.

    Raises:
        DependencyNotInstalled: If matplotlib is missing.
    """
    import_pyplot()
    figure, axis = rows_figure([run.name for run in found.runs[1:]])
    axis.axvline(0.0, color="0.4", linewidth=1)
    for place, row in enumerate(found.rows[1:]):
        estimate = row["correct"].difference
        if math.isnan(estimate.value):
            continue
        ends = error_bar(estimate)
        scaled = None if ends is None else [[100 * end for end in side] for side in ends]
        axis.errorbar(100 * estimate.value, place, xerr=scaled, fmt="D", color=palette_color(0), capsize=3)
    axis.set_xlabel(f"points of accuracy more than {escape_mathtext(found.runs[0].name)}, {len(found.tasks)} tasks")
    return {"differences": figure}
