"""Figures of evaluations and comparisons, as PDF. Needs matplotlib (`pip install "vzgym[plots]"`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vzgym.core.statistics import Estimate
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
from vzgym.evaluation.tool_modes import EFFECT_TITLES, MODE_TITLES, ToolModes

__all__ = [
    "comparison_figures",
    "curve_figure",
    "evaluation_figures",
    "save_figures",
    "tool_mode_curves",
    "tool_modes_figure",
]


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
        _add_curve(axis, list(reports.values()), place, policy)
    _curve_axis(axis)
    axis.set_ylabel("right answers (%)")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    return figure


def _add_curve(axis: Any, reports: Sequence[EvaluationReport], place: int, label: str, form: str = "o-") -> None:
    """Add a line of accuracy against frames; `place` gives its color, `form` its marker and dashes."""
    found = sorted(
        ((report.summary["frames"].value, report.summary["correct"]) for report in reports),
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
        fmt=form, color=palette_color(place), capsize=3, elinewidth=0.9, label=escape_mathtext(label),
    )  # fmt: skip


def _curve_axis(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_xscale("log", base=2)
    axis.set_xlabel("frames shown per question")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plain_axes(axis)


def tool_mode_curves(curve: Mapping[str, Mapping[int, ToolModes]]) -> Any:
    """Accuracy against the frames shown, with 95 % intervals: a panel for each policy, a line for each tool mode.

    Args:
        curve: Tool modes by policy and number of overview frames; at least one policy.

    Raises:
        DependencyNotInstalled: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(
        1, len(curve), figsize=(1.2 + 3.4 * len(curve), 3.8), sharex=True, sharey=True, squeeze=False
    )
    for axis, (policy, counts) in zip(axes[0], curve.items(), strict=True):
        # Lines may coincide: a policy that never zooms is the same in all modes.
        for place, ((mode, title), form) in enumerate(zip(MODE_TITLES.items(), ("o-", "s--", "^:"), strict=True)):
            _add_curve(axis, [modes.reports[mode] for modes in counts.values()], place, title, form)
        _curve_axis(axis)
        axis.set_title(escape_mathtext(policy), fontsize=10)
    axes[0][0].set_ylabel("right answers (%)")
    axes[0][0].set_ylim(-2, 105)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), ncols=len(MODE_TITLES), loc="lower center", frameon=False, fontsize=9
    )
    return figure


def tool_modes_figure(found: Mapping[str, ToolModes]) -> Any:
    """Accuracy in each tool mode, and the paired effects of the modes, with 95 % intervals: a row for each run.

    Args:
        found: Tool modes by the name of the run.

    Raises:
        DependencyNotInstalled: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(
        1, 2, figsize=(8.5, 1.5 + 0.6 * len(found)), sharey=True, layout="constrained", width_ratios=(1, 1)
    )
    for row, modes in enumerate(found.values()):
        for place, mode in enumerate(MODE_TITLES):
            _add_estimate(
                axes[0], modes.reports[mode].summary["correct"], row + 0.2 * (place - 1), palette_color(place)
            )
        for place, effect in enumerate(modes.effects.values()):
            _add_estimate(axes[1], effect.difference, row + 0.2 * (place - 0.5), palette_color(place + 3))
    for axis, labels, first in ((axes[0], MODE_TITLES.values(), 0), (axes[1], EFFECT_TITLES.values(), 3)):
        for place, label in enumerate(labels):
            axis.errorbar([], [], xerr=[], fmt="D", color=palette_color(first + place), capsize=3, label=label)
        plain_axes(axis)
        axis.grid(visible=False, axis="y")
        axis.legend(ncols=3, fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes[0].set_yticks(range(len(found)), [escape_mathtext(name) for name in found], fontsize=9)
    axes[0].set_ylim(len(found) - 0.5, -0.5)
    axes[0].set_xlim(-2, 102)
    axes[0].set_xlabel("right answers (%)")
    axes[1].axvline(0.0, color="0.4", linewidth=1)
    axes[1].set_xlabel("paired difference (points of accuracy)")
    return figure


def _add_estimate(axis: Any, estimate: Estimate, height: float, color: Any) -> None:
    """Add a share in per cent with its interval."""
    if math.isnan(estimate.value):
        return
    ends = error_bar(estimate)
    scaled = None if ends is None else [[100 * end for end in side] for side in ends]
    axis.errorbar(100 * estimate.value, height, xerr=scaled, fmt="D", color=color, capsize=3)


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
        _add_estimate(axis, row["correct"].difference, place, palette_color(0))
    axis.set_xlabel(f"points of accuracy more than {escape_mathtext(found.runs[0].name)}, {len(found.tasks)} tasks")
    return {"differences": figure}
