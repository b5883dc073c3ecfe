"""The guides to evaluation and policies: their code runs, and their tables are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from vzgym.baselines import CONTROLS
from vzgym.evaluation.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["evaluation.md", "policies.md"])
def test_the_code_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    text = (DOCS / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{name}[{number}]", "exec"), names)


def first_cells(name: str) -> str:
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    return " ".join(line.split("|")[1] for line in lines if line.startswith("| `"))


def test_the_tables_are_complete() -> None:
    measures, controls = first_cells("evaluation.md"), first_cells("policies.md")
    assert all(f"`{metric.name}`" in measures for metric in METRICS)
    assert all(f"`{control.name}`" in measures and f"`{control.name}`" in controls for control in CONTROLS)
