"""A table of numbers with intervals, as LaTeX and as CSV."""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final, TypeAlias

from vzgym.core.statistics import Estimate

__all__ = ["Cell", "Column", "DataTable", "escape_latex"]

Cell: TypeAlias = "str | int | float | Estimate | None"
"""Text, a number, or a number with its interval; None or nan: unknown."""

_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}
_SPECIAL: Final = re.compile("|".join(map(re.escape, _LATEX)))


def escape_latex(text: str) -> str:
    """Escape a text for LaTeX's text mode; white space becomes single spaces, control characters are removed."""
    plain = "".join(char for char in " ".join(text.split()) if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return _SPECIAL.sub(lambda found: _LATEX[found[0]], plain)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Heading in CSV; an interval adds `NAME_low`, `NAME_high` and `NAME_n`.
        title: Heading in LaTeX.
        form: Format of numbers in LaTeX.
        scale: Factor of numbers in LaTeX; CSV has unscaled numbers.
        text: Whether the column holds texts, which are aligned left.
    """

    name: str
    title: str
    form: str = ".2f"
    scale: float = 1.0
    text: bool = False


@dataclass(frozen=True)
class DataTable:
    """A table.

    Attributes:
        title: What it shows, in one line.
        columns: The columns.
        rows: One cell for each column. CSV has no empty rows: cells that repeat the cell above are written out.
        note: How to read the numbers.
        groups: Number of leading columns whose repeated cells are left empty in LaTeX, with a rule between groups.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    groups: int = 0

    def to_csv(self) -> str:
        """The table as CSV, with unscaled numbers; unknown numbers are empty."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        intervals = [any(isinstance(row[place], Estimate) for row in self.rows) for place in range(len(self.columns))]
        heads: list[str] = []
        for column, interval in zip(self.columns, intervals, strict=True):
            heads += [column.name, *(f"{column.name}_{end}" for end in ("low", "high", "n") if interval)]
        writer.writerow(heads)
        for row in self.rows:
            cells: list[str] = []
            for value, interval in zip(row, intervals, strict=True):
                if not interval:
                    cells.append(_plain(value))
                elif isinstance(value, Estimate):
                    cells += [_plain(value.value), _plain(value.low), _plain(value.high), str(value.n)]
                else:
                    cells += [_plain(value), "", "", ""]
            writer.writerow(cells)
        return text.getvalue()

    def cells(self) -> list[list[str]]:
        """The rows as plain text, formatted as in LaTeX."""
        return [[_text(value, column) for value, column in zip(row, self.columns, strict=True)] for row in self.rows]

    def to_latex(self) -> str:
        r"""The table as a `tabular` with booktabs' rules, for `\input` within a `table`."""
        align = "".join("l" if column.text else "r" for column in self.columns)
        lines = [
            f"% {_comment(self.title)}",
            *([f"% {_comment(self.note)}"] if self.note else []),
            r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}.",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            _latex_row([escape_latex(column.title) for column in self.columns]),
            r"\midrule",
        ]
        before: list[Cell] = []
        for row in self.rows:
            lead = list(row[: self.groups])
            if before and lead[:1] != before[:1]:
                lines.append(r"\midrule")
            repeated = [bool(before) and lead[: place + 1] == before[: place + 1] for place in range(self.groups)]
            cells = [
                "" if place < self.groups and repeated[place] else _latex_cell(value, column)
                for place, (value, column) in enumerate(zip(row, self.columns, strict=True))
            ]
            lines.append(_latex_row(cells))
            before = lead
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _plain(value: Cell) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Estimate):
        return _plain(value.value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _comment(text: str) -> str:
    """A text within one line of comment."""
    return " ".join(text.split())


def _latex_row(cells: Sequence[str]) -> str:
    # After `\\`, LaTeX takes "[" or "*" for its optional arguments.
    first = f"{{}}{cells[0]}" if cells[0][:1] in ("[", "*") else cells[0]
    return " & ".join([first, *cells[1:]]) + r" \\"


def _latex_cell(value: Cell, column: Column) -> str:
    if isinstance(value, str):
        return escape_latex(value)
    if isinstance(value, Estimate) and not math.isnan(value.value) and not math.isnan(value.low):
        ends = f"[{_math(_number(value.low, column))}, {_math(_number(value.high, column))}]"
        return rf"{_math(_number(value.value, column))} {{\footnotesize {ends}}}"
    text = _text(value, column)
    return "--" if text == "-" else _math(text)


def _text(value: Cell, column: Column) -> str:
    """A cell as plain text; "-" if unknown."""
    match value:
        case None:
            return "-"
        case str():
            return value
        case Estimate(middle, low, high):
            text = _text(middle, column)
            if math.isnan(middle) or math.isnan(low):
                return text
            return f"{text} [{_number(low, column)}, {_number(high, column)}]"
        case float() if math.isnan(value):
            return "-"
        case int():
            return str(value)
    return _number(value, column)


def _number(value: float, column: Column) -> str:
    return format(value * column.scale, column.form)


def _math(text: str) -> str:
    # A sign is a minus only in math mode.
    return f"${text}$" if text[0] in "+-" else text
