"""Failure taxonomy tables of reports, for terminals and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES, TaxonomyClass

__all__ = ["markdown_taxonomy", "rich_quadrants", "rich_taxonomy"]

_TITLES: Final = {
    TaxonomyClass.GROUNDED: ("grounded", "right, and the frames shown prove it"),
    TaxonomyClass.LUCKY: ("luck", "right, but the frames shown do not prove it"),
    TaxonomyClass.REDUNDANT: ("extra", "right and proven before the last zoom"),
    TaxonomyClass.WRONG_SEGMENT: ("missed", "wrong, and some evidence never viewed"),
    TaxonomyClass.TOO_COARSE: ("coarse", "wrong, viewed with too few frames"),
    TaxonomyClass.WRONG_ANSWER: ("answer", "wrong, though the frames prove the right one"),
    TaxonomyClass.MALFORMED: ("form", "no answer could be read"),
    TaxonomyClass.OUT_OF_BUDGET: ("budget", "rounds ran out"),
    TaxonomyClass.VIDEO_ERROR: ("video", "video error"),
    TaxonomyClass.RIGHT: ("right", "right, evidence unknown"),
    TaxonomyClass.WRONG: ("wrong", "wrong, evidence unknown"),
    TaxonomyClass.UNKNOWN: ("?", "right answer unknown"),
}


def rich_taxonomy(reports: Sequence[EvaluationReport]) -> Table:
    """One row per report: the number of episodes in each class, for a terminal of 80 columns."""
    used = [kind for kind in TAXONOMY_CLASSES if any(report.taxonomy[kind] for report in reports)]
    table = Table(
        caption="Episodes by class: " + "; ".join(f"{_TITLES[kind][0]}: {_TITLES[kind][1]}" for kind in used) + ".",
        caption_justify="left",
        box=SIMPLE_HEAD,
        # The box separates columns by one space; with all classes there is no room for more.
        padding=(0, int(len(used) <= 10), 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("policy", overflow="fold")
    for kind in used:
        table.add_column(_TITLES[kind][0], justify="right", no_wrap=True)
    for report in reports:
        counts = [Text(str(report.taxonomy[kind])) for kind in used]
        table.add_row(Text(report.policy + (" *" if report.privileged else "")), *counts)
    return table


def rich_quadrants(reports: Sequence[EvaluationReport]) -> Table | None:
    """One row per report: shares of the episodes by answer and evidence; None if no report has known evidence."""
    known = [report for report in reports if any(report.quadrants.values())]
    if not known:
        return None
    table = Table(
        caption="% of the episodes with known evidence. seen: every evidence interval has a shown frame; a right "
        "answer without it is not grounded.",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("policy", overflow="fold")
    for title in ("right, seen", "right, unseen", "wrong, seen", "wrong, unseen"):
        table.add_column(title, justify="right", no_wrap=True)
    for report in known:
        counts = report.quadrants
        shares = [f"{100 * count / sum(counts.values()):.1f}" for count in counts.values()]
        table.add_row(Text(report.policy + (" *" if report.privileged else "")), *map(Text, shares))
    return table


def markdown_taxonomy(reports: Sequence[EvaluationReport]) -> str:
    """Markdown table with one row per report and all classes."""
    lines = [
        "| policy | n | " + " | ".join(_TITLES[kind][0] for kind in TAXONOMY_CLASSES) + " |",
        "|---|---:|" + "---:|" * len(TAXONOMY_CLASSES),
    ]
    for report in reports:
        counts = [str(report.taxonomy[kind]) for kind in TAXONOMY_CLASSES]
        lines.append(f"| {report.policy} | {len(report.episodes)} | " + " | ".join(counts) + " |")
    return "\n".join(lines)
