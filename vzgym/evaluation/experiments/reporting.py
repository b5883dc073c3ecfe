"""Everything that an experiment leaves for people to read, made anew from what is on disk."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vzgym.evaluation.experiments.page import html_page, text_without_secrets
from vzgym.evaluation.experiments.plan import Plan
from vzgym.evaluation.experiments.plots import draw_all
from vzgym.evaluation.experiments.results import Results, cells_csv
from vzgym.evaluation.experiments.tables import markdown_results

__all__ = ["write_results", "write_tables"]


def write_tables(plan: Plan, root: Path) -> Results:
    """Write `cells.csv`, `table.md` and the experiment's file into `root/NAME`; quick, for after each cell."""
    folder = root / plan.experiment.settings.name
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(plan, root)
    _write(folder / "experiment.yaml", text_without_secrets(plan.experiment.text))
    _write(folder / "cells.csv", cells_csv(results))
    _write(folder / "table.md", markdown_results(results))
    return results


def write_results(plan: Plan, root: Path) -> Results:
    """Write tables, pictures (where matplotlib is installed) and `index.html` into `root/NAME`."""
    results = write_tables(plan, root)
    folder = root / plan.experiment.settings.name
    pictures = draw_all(results, folder) if importlib.util.find_spec("matplotlib") else []
    _write(folder / "index.html", html_page(results, pictures))
    return results


def _write(path: Path, text: str) -> None:
    """At once: whoever reads meanwhile sees the old file or the new one."""
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
