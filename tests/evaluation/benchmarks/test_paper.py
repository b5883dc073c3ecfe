"""The tables of a paper: consistent data, stated costs, and measured beside published values."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tasks.benchmarks.miniatures import MINIATURES, Folder
from vzgym.cli import app
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.evaluation.benchmarks.paper import (
    PAPERS,
    CostRule,
    benchmark_root,
    cells,
    cost_of,
    load_paper,
    row_budget,
)

RUNNER = CliRunner()


def run(*arguments: str) -> str:
    result = RUNNER.invoke(app, ["paper", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", PAPERS)
def test_tables_of_the_package_are_consistent(name: str) -> None:
    paper = load_paper(name)
    found = list(cells(paper))
    assert len({(cell.table, cell.row.name, cell.column) for cell in found}) == len(found)
    assert all(cell.published is None or 0 < cell.published < 100 for cell in found)


def test_values_of_the_paper() -> None:
    paper = load_paper("videozoomer")
    found = {(cell.row.name, cell.column): cell for cell in cells(paper, tables=["main", "calls"])}
    assert found["VideoZoomer-7B", "videomme_long"].published == 55.8
    assert found["3 zooms", "longvideo_reason"].published == 81.1
    assert row_budget(found["VideoZoomer-7B", "lvbench"].row) == Budget()
    base = row_budget(found["Qwen2.5-VL-7B", "lvbench"].row)
    assert (base.overview_frames, base.overview_fps, base.max_zooms) == (128, math.inf, 0)
    # The same run serves "4 zooms" and the main row.
    assert found["4 zooms", "lvbench"].folder == found["VideoZoomer-7B", "lvbench"].folder


def test_cost_counts_every_round() -> None:
    budget = Budget(overview_frames=10, clip_frames=4, max_zooms=2, max_pixels=784 * 5, min_pixels=784)
    rule = CostRule(text_tokens=100, output_tokens=7, input_rate=1000, output_rate=10, gpu_price=2)
    cost = cost_of(budget, 3, rule)
    # Frames of 5 tokens: rounds with 10, 14 and 18 frames; texts of 100, 200 and 300 tokens.
    assert cost.input_tokens == 3 * ((10 + 14 + 18) * 5 + 600)
    assert cost.output_tokens == 3 * 3 * 7
    assert cost.gpu_hours == pytest.approx((cost.input_tokens / 1000 + cost.output_tokens / 10) / 3600)
    assert cost.price == pytest.approx(2 * cost.gpu_hours)


def test_dry_run_says_what_is_missing(folder: Folder) -> None:
    MINIATURES["videomme"].layouts["official"](folder)
    plan = json.loads(
        run(
            "videozoomer", "--root", str(folder.root), "--dry-run", "--json", "--table", "main", "--model", "base=blind"
        )
    )
    assert plan["columns"]["videomme"] == {"tasks": "videomme", "questions": 10, "complete": True, "missing": ""}
    assert plan["columns"]["lvbench"]["questions"] == 1549
    assert not plan["columns"]["lvbench"]["complete"]
    first, second = plan["rows"]
    assert (first["policy"], second["policy"]) == ("blind", None)
    assert second["input_tokens"] > first["input_tokens"] > 0
    assert "assumptions" in plan["rule"]


def test_rows_run_beside_published_values(folder: Folder, tmp_path: Path) -> None:
    MINIATURES["videomme"].layouts["official"](folder)
    options = ["videozoomer", "--root", str(folder.root), "--out", str(tmp_path / "runs"), "--table", "main"]
    found = json.loads(run(*options, "--model", "base=blind", "--json"))
    assert [(item["row"], item["column"]) for item in found] == [
        ("Qwen2.5-VL-7B", "videomme"),
        ("Qwen2.5-VL-7B", "videomme_long"),
    ]
    whole, long = found
    assert whole["measured"]["n"] == 10
    assert 0 < long["measured"]["n"] < 10
    assert whole["difference"] == pytest.approx(100 * whole["measured"]["value"] - 63.5)
    # One run serves both columns.
    assert len(list((tmp_path / "runs").glob("*/records.jsonl"))) == 1
    text = run(*options, "--model", "base=blind")
    assert "63.5" in text
    assert "not stated" in text


def test_a_folder_for_each_benchmark(clip: Path, tmp_path: Path) -> None:
    MINIATURES["videomme"].layouts["official"](Folder(tmp_path / "Video-MME", clip))
    assert benchmark_root(tmp_path, "videomme") == tmp_path / "Video-MME"
    assert benchmark_root(tmp_path / "Video-MME", "videomme") == tmp_path / "Video-MME"
    assert benchmark_root(tmp_path, "lvbench") == tmp_path
    assert benchmark_root(None, "lvbench") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["videozoomer"], "--model KEY=POLICY"),
        (["videozoomer", "--model", "theirs=blind"], "'theirs=blind'"),
        (["videozoomer", "--model", "base=blind"], "no row can run"),
        (["videozoomer", "--dry-run", "--table", "nine"], "unknown table of the paper 'nine'"),
        (["videozoomer", "--dry-run", "--row", "nine"], "unknown row of the paper 'nine'"),
        (["another", "--dry-run"], "unknown paper 'another'"),
    ],
)
def test_bad_input_is_named(arguments: list[str], message: str) -> None:
    result = RUNNER.invoke(app, ["paper", *arguments])
    assert isinstance(result.exception, (InvalidSetting, UnknownName))
    assert message in str(result.exception)


def test_faults_of_a_file_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: T\nsource: S\nmodels: {m: {about: A}}\ncolumns: {c: {tasks: videomme}}\n"
        "tables:\n  main:\n    title: T\n    rows:\n      - name: R\n        model: other\n",
        encoding="utf-8",
    )
    with pytest.raises(InvalidSetting, match=r"mine\.yaml:10: no model 'other'"):
        load_paper(path)
    path.write_text(path.read_text(encoding="utf-8").replace("videomme", "nothing"), encoding="utf-8")
    with pytest.raises(InvalidSetting, match=r"mine\.yaml:4: no benchmark 'nothing'"):
        load_paper(path)
