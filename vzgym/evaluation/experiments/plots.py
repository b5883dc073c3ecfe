"""Plots of results. Needs matplotlib (`pip install "vzgym[plots]"`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vzgym.evaluation.experiments.contrasts import Verdict, contrasts
from vzgym.evaluation.experiments.results import Curve, Group, Results
from vzgym.evaluation.publication.plotting import (
    TAXONOMY_COLORS,
    error_bar,
    import_pyplot,
    palette_color,
    plain_axes,
    rows_figure,
    save_pdf,
    stack_shares,
)
from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES

__all__ = ["PICTURES", "draw_all"]

PICTURES: Final = {
    "contrasts.png": "Expected differences in units of their margins: to the right as expected, with 95 % intervals.",
    "accuracy.png": "Accuracy. Dots: single seeds; bars: the mean with its 95 % interval over seeds.",
    "differences.png": "Accuracy against the reference. Dots: single seeds; bars: the mean with its 95 % interval.",
    "curves.png": "During training: right answers and zooms of sampled roll-outs. Thick: mean over seeds; thin: seeds.",
    "frames.png": "Accuracy against frames shown per question, including the overview's; bars: 95 % intervals.",
    "tokens.png": "Accuracy against visual tokens per question; bars: 95 % intervals.",
    "taxonomy.png": "Shares of the taxonomy's classes among the episodes.",
}
"""Captions by file name."""

_VERDICT_COLORS: Final[Mapping[Verdict, str]] = {
    "reproduced": "#1b7837",
    "not reproduced": "#d73027",
    "undecided": "#888888",
    "unfinished": "#cccccc",
}
_MARKERS = "osD^vP*Xh<>"


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw all plots with data, each as PNG and as PDF.

    Returns:
        The PNG files.

    Raises:
        DependencyNotInstalled: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    groups = [group for group in results.groups if group.done]
    made = []
    drawers = (_contrasts, _accuracy, _differences, _curves, _frames, _tokens, _taxonomy)
    for name, draw in zip(PICTURES, drawers, strict=True):
        path = folder / name
        path.unlink(missing_ok=True)
        path.with_suffix(".pdf").unlink(missing_ok=True)
        figure = draw(results, groups) if groups else None
        if figure is not None:
            figure.savefig(path, dpi=130, bbox_inches="tight")
            save_pdf(figure, path.with_suffix(".pdf"))
            pyplot.close(figure)
            made.append(path)
    return made


def _contrasts(results: Results, groups: Sequence[Group]) -> Any:
    found = [item for item in contrasts(results) if item.difference.n > 1]
    if not found:
        return None
    figure, axis = rows_figure([f"{item.name} ({item.settings.metric})" for item in found])
    axis.axvline(0.0, color="0.4", linewidth=1)
    for edge in (-1, 1):
        axis.axvline(edge, color="0.7", linewidth=1, linestyle=":")
    for place, item in enumerate(found):
        settings, estimate = item.settings, item.difference
        unit = settings.margin * (-1 if settings.expect == "less" else 1)
        ends = sorted((estimate.low / unit, estimate.high / unit))
        value, color = estimate.value / unit, _VERDICT_COLORS[item.verdict]
        axis.plot(ends, [place, place], "-", color=color, linewidth=2.5, solid_capstyle="butt")
        axis.plot(value, place, "D", color=color, markersize=5, zorder=3)
    # Effects differ by orders of magnitude: linear within the margin, logarithmic beyond.
    axis.set_xscale("symlog", linthresh=1.0)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("difference / margin")
    used = dict.fromkeys(item.verdict for item in found)
    handles = [axis.plot([], [], "D-", color=_VERDICT_COLORS[verdict], label=verdict)[0] for verdict in used]
    axis.legend(handles=handles, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return figure


def _accuracy(results: Results, groups: Sequence[Group]) -> Any:
    figure, axis = rows_figure([group.label for group in groups])
    for place, group in enumerate(groups):
        estimate = group.metric("correct")
        singles = [row.metric("correct").value for row in group.done]
        axis.plot(singles, [place] * len(singles), "o", color="0.6", markersize=4, zorder=2)
        axis.errorbar(
            estimate.value,
            place,
            xerr=error_bar(estimate),
            fmt="D",
            color=palette_color(0),
            markersize=5,
            capsize=3,
            zorder=3,
        )
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("share of right answers on held-out tasks")
    return figure


def _differences(results: Results, groups: Sequence[Group]) -> Any:
    pairs = [(group, other) for group in groups if (other := results.reference_of(group)) is not None and other.done]
    if not pairs:
        return None
    figure, axis = rows_figure([group.label for group, _ in pairs])
    axis.axvline(0.0, color="0.4", linewidth=1)
    for place, (group, other) in enumerate(pairs):
        singles = [100 * difference for difference in group.differences(other)]
        axis.plot(singles, [place] * len(singles), "o", color="0.6", markersize=4, zorder=2)
        estimate = group.against(other)
        ends = error_bar(estimate)
        ends = None if ends is None else [[100 * end for end in side] for side in ends]
        axis.errorbar(
            100 * estimate.value, place, xerr=ends, fmt="D", color=palette_color(0), markersize=5, capsize=3, zorder=3
        )
    names = ", ".join(results.grid.experiment.settings.reference.values())
    axis.set_xlabel(f"points of accuracy more than with {names}")
    return figure


def _curves(results: Results, groups: Sequence[Group]) -> Any:
    from matplotlib import pyplot

    found: dict[tuple[str, ...], tuple[str, list[Curve]]] = {}
    for group in groups:
        learnt = [(row, curve) for row in group.done if (curve := results.curve(row))]
        # Several cells may share a training stage.
        key = tuple(row.cell.stage.parents["model"].digest for row, _ in learnt)
        if key:
            label = group.label if key not in found else _learner(group)
            found[key] = (label, [curve for _, curve in learnt])
    if not found:
        return None
    figure, axes = pyplot.subplots(1, 2, figsize=(11.5, 4.4))
    for place, (label, curves) in enumerate(found.values()):
        length = min(len(curve.steps) for curve in curves)
        for axis, name in zip(axes, ("accuracy", "zooms"), strict=True):
            lines = [_smooth(getattr(curve, name))[:length] for curve in curves]
            steps = curves[0].steps[:length]
            for line in lines if len(lines) > 1 else ():
                axis.plot(steps, line, color=palette_color(place), alpha=0.18, linewidth=0.7)
            mean = [math.fsum(column) / len(column) for column in zip(*lines, strict=True)]
            style = "-" if place < 10 else "--"
            axis.plot(steps, mean, style, color=palette_color(place), linewidth=2.0, label=label)
    axes[0].set(xlabel="step", ylabel="share of right answers, during training", ylim=(0, 1.02))
    axes[1].set(xlabel="step", ylabel="zooms per question")
    axes[1].set_ylim(bottom=0)
    plain_axes(*axes)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.tight_layout()
    return figure


def _learner(group: Group) -> str:
    return ", ".join(group.names[axis] for axis in ("learner", "reward") if group.names[axis])


def _smooth(values: Sequence[float], reach: int = 3) -> list[float]:
    """Moving average over 7 points, fewer at the ends."""
    near = [values[max(0, place - reach) : place + reach + 1] for place in range(len(values))]
    return [math.fsum(part) / len(part) for part in near]


def _frames(results: Results, groups: Sequence[Group]) -> Any:
    return _against(results, groups, "frames", "frames shown per question")


def _tokens(results: Results, groups: Sequence[Group]) -> Any:
    return _against(results, groups, "visual_tokens", "visual tokens per question")


def _against(results: Results, groups: Sequence[Group], cost: str, title: str) -> Any:
    """Plot accuracy against a cost; lines join the budgets of a learner."""
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7.2, 4.8))
    families: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        families.setdefault(tuple(name for axis_, name in group.names.items() if axis_ != "budget"), []).append(group)
    axes = [name for name in results.grid.axes if name != "budget"] or ["learner"]
    for place, members in enumerate(families.values()):
        points = [(group.metric(cost), group.metric("correct")) for group in members]
        color = palette_color(place)
        label = ", ".join(members[0].names[name] for name in axes if members[0].names[name])
        if len(points) > 1:
            ordered = sorted(points, key=lambda point: point[0].value)
            axis.plot([x.value for x, _ in ordered], [y.value for _, y in ordered], "-", color=color, alpha=0.5)
        for number, (x, y) in enumerate(points):
            axis.errorbar(
                x.value, y.value, xerr=error_bar(x), yerr=error_bar(y), fmt=_MARKERS[place % len(_MARKERS)],
                color=color, markersize=6, capsize=2, elinewidth=0.9, label=None if number else label,
            )  # fmt: skip
    axis.set(xlabel=title, ylabel="share of right answers", ylim=(-0.02, 1.05))
    plain_axes(axis)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return figure


def _taxonomy(results: Results, groups: Sequence[Group]) -> Any:
    used = [kind for kind in TAXONOMY_CLASSES if any(group.share(str(kind)) > 0 for group in groups)]
    used.sort(key=list(TAXONOMY_COLORS).index)
    return stack_shares(
        [group.label for group in groups], used, [[group.share(str(kind)) for kind in used] for group in groups]
    )
