"""Tables of tool modes for terminals."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TypeAlias

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vzgym.core.statistics import Estimate
from vzgym.evaluation.tool_modes import EFFECT_TITLES, MODE_TITLES, ToolModes

__all__ = ["ModeRows", "group_rows", "rich_effects", "rich_modes", "tool_modes_text"]

ModeRows: TypeAlias = Sequence[tuple[Sequence[str], ToolModes]]
"""Modes with their labels, such as the policy and the number of overview frames."""


def _table(head: str, numbers: Sequence[str], caption: str) -> Table:
    table = Table(
        caption=caption,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("", overflow="fold")
    table.add_column(head, no_wrap=True)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def rich_modes(rows: ModeRows) -> Table:
    """Accuracy, zooms and frames of each mode with their intervals, for a terminal of 80 columns."""
    table = _table(
        "mode",
        ("n", "accuracy % [95 %]", "zooms [95 %]", "frames [95 %]"),
        "no tool: neither zooms nor tool calls; forced: an answer before the first executed zoom or tool call is "
        "refused, except in the last round.",
    )
    for labels, found in rows:
        for place, (mode, title) in enumerate(MODE_TITLES.items()):
            report = found.reports[mode]
            summary = report.summary
            table.add_row(
                _label(labels, place, len(MODE_TITLES)),
                title,
                str(len(report.episodes)),
                summary["correct"].text(),
                summary["zooms"].text(".2f", 1.0),
                summary["frames"].text(".1f", 1.0),
                end_section=place == len(MODE_TITLES) - 1,
            )
    return table


def rich_effects(rows: ModeRows) -> Table:
    """The effects of the modes on accuracy, paired by task, for a terminal of 80 columns."""
    table = _table(
        "effect",
        ("difference [95 %]", "corrected", "spoiled", "p"),
        "Points of accuracy, paired by task; free - no tool: the benefit of the tool. corrected: wrong in the second "
        "mode, right in the first; spoiled: the reverse. p: McNemar's exact test.",
    )
    for labels, found in rows:
        for place, (name, effect) in enumerate(found.effects.items()):
            table.add_row(
                _label(labels, place, len(EFFECT_TITLES)),
                EFFECT_TITLES[name],
                effect.difference.text("+.1f"),
                _count(effect.corrected),
                _count(effect.spoiled),
                "" if effect.p is None else f"{effect.p:.2g}",
                end_section=place == len(EFFECT_TITLES) - 1,
            )
    return table


def group_rows(rows: ModeRows, by: str) -> ModeRows:
    """The rows of each group of tasks: the group, then the labels of its row; see `ToolModes.by`."""
    parts = [(labels, found.by(by)) for labels, found in rows]
    groups = dict.fromkeys(group for _, part in parts for group in part)
    return [([group, *labels], part[group]) for group in groups for labels, part in parts if group in part]


def _label(labels: Sequence[str], place: int, rows: int) -> Text:
    """The label in a row of a block: one in each, and what is left in the last."""
    return Text(", ".join(labels[place:] if place == rows - 1 else labels[place : place + 1]))


def _count(share: Estimate) -> str:
    """A share as a number of tasks; with several roll-outs per task it may be a fraction."""
    return f"{share.value * share.n:.4g} of {share.n}" if share.n else "-"


def tool_modes_text(found: ToolModes) -> str:
    """The modes and their effects as text of at most 80 columns."""
    text = StringIO()
    console = Console(file=text, width=80, color_system=None)
    rows: ModeRows = [([found.policy], found)]
    console.print(rich_modes(rows))
    console.print()
    console.print(rich_effects(rows))
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
