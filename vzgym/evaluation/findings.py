"""Tables of what came of the episodes (the failure taxonomy) and of what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.taxonomy import FINDINGS, Finding

__all__ = ["markdown_costs", "markdown_findings", "rich_findings"]

_TITLES: Final = {
    Finding.GROUNDED: ("grounded", "right, and the frames shown prove it"),
    Finding.LUCKY: ("luck", "right, but they do not"),
    Finding.REDUNDANT: ("redund.", "right and proven before the last zoom"),
    Finding.WRONG_SEGMENT: ("segment", "wrong, and some evidence never looked at"),
    Finding.TOO_COARSE: ("coarse", "wrong, looked at with too few frames"),
    Finding.WRONG_ANSWER: ("answer", "wrong, though the frames prove the right one"),
    Finding.MALFORMED: ("form", "no answer could be read"),
    Finding.OUT_OF_BUDGET: ("budget", "rounds ran out"),
    Finding.VIDEO_ERROR: ("video", "video error"),
    Finding.UNKNOWN: ("?", "evidence or answer unknown"),
}

_COSTS: Final = {
    "visual_tokens": ("visual tokens", ".0f"),
    "text_tokens": ("text tokens", ".0f"),
    "said_tokens": ("said", ".0f"),
    "passes": ("passes", ".2f"),
    "frames": ("frames shown", ".1f"),
    "decoded": ("decoded", ".1f"),
    "decode_seconds": ("decode ms", ".1f"),
    "tool_seconds": ("tool ms", ".1f"),
    "model_seconds": ("model ms", ".1f"),
}


def rich_findings(reports: Sequence[EvaluationReport]) -> Table:
    """One row a report: how many of its episodes fall into each class; for a terminal of 80 columns."""
    used = [finding for finding in FINDINGS if any(report.taxonomy[finding] for report in reports)]
    table = Table(
        caption="Episodes by what came of them: "
        + "; ".join(f"{_TITLES[finding][0]}: {_TITLES[finding][1]}" for finding in used)
        + ".",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("policy", overflow="fold")
    for finding in used:
        table.add_column(_TITLES[finding][0], justify="right", no_wrap=True)
    for report in reports:
        counts = [Text(str(report.taxonomy[finding])) for finding in used]
        table.add_row(Text(report.policy + (" *" if report.privileged else "")), *counts)
    return table


def markdown_findings(reports: Sequence[EvaluationReport]) -> str:
    """One row a report, as a Markdown table with every class."""
    lines = [
        "| policy | n | " + " | ".join(_TITLES[finding][0] for finding in FINDINGS) + " |",
        "|---|---:|" + "---:|" * len(FINDINGS),
    ]
    for report in reports:
        counts = [str(report.taxonomy[finding]) for finding in FINDINGS]
        lines.append(f"| {report.policy} | {len(report.episodes)} | " + " | ".join(counts) + " |")
    return "\n".join(lines)


def markdown_costs(reports: Sequence[EvaluationReport]) -> str:
    """One row a report, as a Markdown table: what an episode cost on average."""
    lines = [
        "| policy | " + " | ".join(title for title, _ in _COSTS.values()) + " |",
        "|---|" + "---:|" * len(_COSTS),
    ]
    for report in reports:
        summary = report.summary
        cells = []
        for name, (_, form) in _COSTS.items():
            value = summary[name].value
            cells.append("-" if math.isnan(value) else format(value * (1000 if name.endswith("seconds") else 1), form))
        lines.append(f"| {report.policy} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
