"""Writes tables, plots and the page of an experiment, from what is on disk."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vzgym.core.files import write_text
from vzgym.evaluation.experiments.grid import Grid
from vzgym.evaluation.experiments.page import html_page, text_without_secrets
from vzgym.evaluation.experiments.plots import draw_all
from vzgym.evaluation.experiments.results import Results, cells_csv
from vzgym.evaluation.experiments.tables import markdown_results

__all__ = ["write_results", "write_tables"]


def write_tables(grid: Grid, root: Path) -> Results:
    """Write `cells.csv`, `table.md` and the experiment's file into `root/NAME`. Fast enough to follow each cell."""
    folder = root / grid.experiment.settings.name
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(grid, root)
    write_text(folder / "experiment.yaml", text_without_secrets(grid.experiment))
    write_text(folder / "cells.csv", cells_csv(results))
    write_text(folder / "table.md", markdown_results(results))
    return results


def write_results(grid: Grid, root: Path) -> Results:
    """Write tables, plots (if matplotlib is installed) and `index.html` into `root/NAME`."""
    results = write_tables(grid, root)
    folder = root / grid.experiment.settings.name
    pictures = draw_all(results, folder) if importlib.util.find_spec("matplotlib") else []
    write_text(folder / "index.html", html_page(results, pictures))
    return results
