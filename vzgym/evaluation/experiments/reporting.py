"""Writes tables, plots and the page of an experiment from the results on disk."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from vzgym.core.files import write_text
from vzgym.evaluation.experiments.breakdowns import breakdown_csv, pairs_csv
from vzgym.evaluation.experiments.contrasts import contrasts_csv
from vzgym.evaluation.experiments.grid import Grid
from vzgym.evaluation.experiments.page import html_page, text_without_secrets
from vzgym.evaluation.experiments.plots import draw_all
from vzgym.evaluation.experiments.results import Results, cells_csv
from vzgym.evaluation.experiments.tables import experiment_table, markdown_results

__all__ = ["write_results", "write_tables"]


def write_tables(grid: Grid, root: Path, by: Sequence[str] = ()) -> Results:
    """Write the experiment's file and its tables into `root/NAME`.

    The tables: `table.md`, `table.tex`, `table.csv`, `cells.csv`, `pairs.csv`; `contrasts.csv`
    if the experiment has contrasts; with `by`, `by.csv`.

    Fast enough to run after each cell.

    Args:
        grid: The experiment.
        root: The folder of all experiments.
        by: Grouping keys for accuracy: "category", "duration", "metadata.KEY".

    Raises:
        InvalidSetting: If tasks cannot be grouped by a key.
    """
    folder = root / grid.experiment.settings.name
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(grid, root)
    write_text(folder / "experiment.yaml", text_without_secrets(grid.experiment))
    write_text(folder / "cells.csv", cells_csv(results))
    write_text(folder / "pairs.csv", pairs_csv(results))
    if grid.experiment.settings.contrasts:
        write_text(folder / "contrasts.csv", contrasts_csv(results))
    if by:
        write_text(folder / "by.csv", breakdown_csv(results, by))
    write_text(folder / "table.md", markdown_results(results, by))
    table = experiment_table(results)
    write_text(folder / "table.tex", table.to_latex())
    write_text(folder / "table.csv", table.to_csv())
    return results


def write_results(grid: Grid, root: Path, by: Sequence[str] = ()) -> Results:
    """Write tables, plots (if matplotlib is installed) and `index.html` into `root/NAME`; see `write_tables`."""
    results = write_tables(grid, root, by)
    folder = root / grid.experiment.settings.name
    pictures = draw_all(results, folder) if importlib.util.find_spec("matplotlib") else []
    write_text(folder / "index.html", html_page(results, pictures, by))
    return results
