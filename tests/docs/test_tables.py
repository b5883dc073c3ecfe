"""The tables of the pages on evaluation and policies are complete."""

from __future__ import annotations

from pathlib import Path

from vzgym.baselines import CONTROLS
from vzgym.evaluation.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs"


def first_cells(name: str) -> str:
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    return " ".join(line.split("|")[1] for line in lines if line.startswith("| `"))


def test_the_tables_are_complete() -> None:
    measures, controls = first_cells("reference/evaluation.md"), first_cells("how-to/policies.md")
    assert all(f"`{metric.name}`" in measures for metric in METRICS)
    assert all(f"`{control.name}`" in measures and f"`{control.name}`" in controls for control in CONTROLS)
