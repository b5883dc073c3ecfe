"""`vzgym eval --tool-modes`: tables, JSON, files, curves, and options that do not fit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vzgym.cli import app
from vzgym.core.errors import InvalidSetting

RUNNER = CliRunner()
OPTIONS = ["eval", "--policy", "overview", "--tasks", "mixed-micro", "--episodes", "4", "--tool-modes"]


def test_the_modes_are_reported_side_by_side(tmp_path: Path) -> None:
    files = ["--out", str(tmp_path / "runs"), "--csv", str(tmp_path / "table.csv"), "--figures", str(tmp_path)]
    result = RUNNER.invoke(app, [*OPTIONS, *files], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    for text in ("free - no tool", "forced - free", "By category:", "needle", "control", "of 4", "of 2"):
        assert text in result.stdout
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "overview-forced-mixed-micro-test",
        "overview-free-mixed-micro-test",
        "overview-no-tool-mixed-micro-test",
    ]
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["policy"], row["mode"], row["effect"]) for row in rows] == [
        ("overview", "free", "free - no tool"),
        ("overview", "no tool", ""),
        ("overview", "forced", "forced - free"),
    ]
    assert float(rows[0]["difference"]) == 0.0
    assert (tmp_path / "tool_modes.pdf").is_file()
    assert not (tmp_path / "curve.pdf").exists()
    # It resumes: nothing is played again.
    again = RUNNER.invoke(app, [*OPTIONS, "--out", str(tmp_path / "runs"), "--json"])
    data = json.loads(again.stdout)
    assert [report["policy"] for report in data["reports"]] == [
        "overview, free",
        "overview, no tool",
        "overview, forced",
    ]
    (modes,) = data["tool_modes"]
    assert modes["policy"] == "overview"
    assert list(modes["by"]["category"]) == ["control", "needle"]
    assert modes["effects"]["benefit"]["difference"]["n"] == 4


def test_with_several_numbers_of_frames_they_are_curves(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, [*OPTIONS, "--frames", "2,4", "--name", "mine", "--json", "--figures", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["tool_modes"]
    assert [(modes["policy"], modes["frames"]) for modes in found] == [("mine", 2), ("mine", 4)]
    assert [modes["modes"]["no_tool"]["frames"]["value"] for modes in found] == [2.0, 4.0]
    assert (tmp_path / "curve.pdf").is_file()


@pytest.mark.parametrize("mode", [["--tool-modes"], ["--frames", "4,8"]])
def test_policies_of_one_name_are_refused_where_they_are_compared(mode: list[str]) -> None:
    options = ["eval", "--tasks", "mixed-micro", "--episodes", "2", "--policy", "overview", "--policy", "random"]
    result = RUNNER.invoke(app, [*options, *mode, "--name", "one", "--name", "one"])
    assert isinstance(result.exception, InvalidSetting)
    assert "two policies are named 'one': give distinct names with --name" in str(result.exception)


@pytest.mark.parametrize(
    ("option", "words"),
    [(["--no-zoom"], "leave out --no-zoom"), (["--prompt", "direct"], "--prompt direct has no zoom")],
)
def test_options_without_zooms_are_refused(option: list[str], words: str) -> None:
    result = RUNNER.invoke(app, [*OPTIONS, *option])
    assert isinstance(result.exception, InvalidSetting)
    assert words in str(result.exception)
