"""The table and the picture of the benchmark of selectors."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra 'plots'")

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "frame_selectors.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("frame_selectors", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_table_and_picture(script, tmp_path):
    plan = script.plan(8, 2.0, "blind")
    assert len({(name, noise) for name, _, noise, _ in plan}) == len(plan)
    cells = [
        script.Cell(name, group, noise, 0.5, 0.4, 0.6, 8.0, 0.0 if noise is None else 128.0)
        for name, group, noise, _ in plan
    ]
    assert cells[-1].touched == 136.0
    table = script.table(cells)
    assert "| expert | 8 | 0 | 50.0 [40, 60] |" in table
    assert "| aks | 128 |" + " 50.0 [40, 60] |" * 5 in table
    script.draw(cells, tmp_path / "picture.png", "title")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
