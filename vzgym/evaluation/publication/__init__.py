"""Tables and figures for papers: LaTeX, CSV, PDF."""

from vzgym.evaluation.publication.figures import (
    comparison_figures,
    curve_figure,
    evaluation_figures,
    save_figures,
    tool_mode_curves,
    tool_modes_figure,
)
from vzgym.evaluation.publication.results import comparison_table, evaluation_table, tool_modes_table
from vzgym.evaluation.publication.table import Column, DataTable, escape_latex

__all__ = [
    "Column",
    "DataTable",
    "comparison_figures",
    "comparison_table",
    "curve_figure",
    "escape_latex",
    "evaluation_figures",
    "evaluation_table",
    "save_figures",
    "tool_mode_curves",
    "tool_modes_figure",
    "tool_modes_table",
]
