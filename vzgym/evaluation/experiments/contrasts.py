"""Expected differences between groups of cells, and whether an experiment reproduces them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import Final, Literal, TypeAlias

from vzgym.core.statistics import Estimate
from vzgym.evaluation.experiments.grid import has_names
from vzgym.evaluation.experiments.results import Group, Results
from vzgym.evaluation.experiments.settings import ContrastSettings
from vzgym.evaluation.metrics import METRICS

__all__ = ["RULE", "Contrast", "Verdict", "contrast_table", "contrasts", "contrasts_csv", "verdict"]

Verdict: TypeAlias = Literal["reproduced", "not reproduced", "undecided", "unfinished"]

RULE: Final = (
    "Differences paired by seed (Student's, 95 %; from the intervals over tasks where all seeds agree). Expected more "
    "(less): reproduced if the interval lies above (below) 0, else not reproduced if it excludes a difference of the "
    "margin in that direction. Expected same: reproduced if the interval lies within the margin, not reproduced if it "
    "lies beyond it. Otherwise undecided."
)
"""How a verdict is made."""

_COUNTS = frozenset(metric.name for metric in METRICS if metric.unit != "share")


@dataclass(frozen=True)
class Contrast:
    """An expected difference and what was found.

    Attributes:
        name: Its name in the experiment.
        settings: As in the file.
        first: The cells that are expected to differ.
        second: The cells that they are compared with.
        difference: First minus second, paired by seed, in the metric's unit; n is the number of seeds done in both.
        verdict: By `RULE`; "unfinished" with fewer than two seeds.
    """

    name: str
    settings: ContrastSettings
    first: Group
    second: Group
    difference: Estimate
    verdict: Verdict


def verdict(difference: Estimate, expect: str, margin: float) -> Verdict:
    """Decide whether a difference is as expected; see `RULE`.

    Args:
        difference: With its 95 % interval.
        expect: "more", "less" or "same".
        margin: Smallest difference that matters, > 0.
    """
    if difference.n < 2:
        return "unfinished"
    low, high = difference.low, difference.high
    if math.isnan(low):
        # All seeds agree on the share of a class of the taxonomy, which has no interval over tasks.
        return "undecided"
    if expect == "same":
        if -margin <= low and high <= margin:
            return "reproduced"
        return "not reproduced" if low > margin or high < -margin else "undecided"
    if expect == "less":
        low, high = -high, -low
    if low > 0:
        return "reproduced"
    return "not reproduced" if high < margin else "undecided"


def contrasts(results: Results) -> list[Contrast]:
    """The contrasts of an experiment, in the order of the file."""
    found = []
    for name, settings in results.grid.experiment.settings.contrasts.items():
        first, second = (_group(results.groups, names) for names in results.grid.experiment.sides(settings))
        difference = _difference(first, second, settings.metric)
        found.append(
            Contrast(name, settings, first, second, difference, verdict(difference, settings.expect, settings.margin))
        )
    return found


def _difference(first: Group, second: Group, metric: str) -> Estimate:
    """Difference paired by seed. If all seeds differ by the same amount: with the widest interval over their tasks."""
    found = first.against(second, metric)
    if found.n < 2 or not math.isnan(found.low):
        return found
    known = [{row.cell.seed: one for row in group.done if (one := row.metric(metric)).n} for group in (first, second)]
    widths = [[side[seed].high - side[seed].low for seed in known[0] if seed in known[1]] for side in known]
    half = math.hypot(*(max((width for width in side if width >= 0), default=math.nan) / 2 for side in widths))
    wide = replace(found, low=found.value - half, high=found.value + half)
    return wide if metric in _COUNTS else wide.within(-1.0, 1.0)


def _group(groups: Sequence[Group], wanted: Mapping[str, str]) -> Group:
    return next(group for group in groups if has_names(group.names, wanted))


def contrast_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: one row for each contrast. Shares are in points of per cent."""
    rows = []
    for item in contrasts(results):
        scale, form = (1.0, "+.2f") if item.settings.metric in _COUNTS else (100.0, "+.1f")
        estimate = item.difference
        compared = f"{item.first.label} - {item.second.label}"
        expected = f"{item.settings.expect}, margin {scale * item.settings.margin:g}"
        shown = estimate.text(form, scale)
        rows.append([item.name, compared, item.settings.metric, shown, str(estimate.n), expected, item.verdict])
    return ["expectation", "cells", "metric", "difference [95 %]", "seeds", "expected", "verdict"], rows


def contrasts_csv(results: Results) -> str:
    """One line for each contrast, in the metrics' units."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = "name first second metric difference low high seeds expect margin verdict source"
    writer.writerow(heads.split())
    for item in contrasts(results):
        numbers = [item.difference.value, item.difference.low, item.difference.high]
        writer.writerow(
            [
                item.name, item.first.label, item.second.label, item.settings.metric,
                *("" if math.isnan(number) else f"{number:.6g}" for number in numbers), item.difference.n,
                item.settings.expect, f"{item.settings.margin:g}", item.verdict, item.settings.source,
            ]
        )  # fmt: skip
    return text.getvalue()
