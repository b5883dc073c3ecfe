"""`vzgym eval --frames`: budgets, the table of accuracy against frames, and bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vzgym.cli import app
from vzgym.cli.frame_curve import conditions, frame_budget, parse_frames
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting

RUNNER = CliRunner()


def test_budgets() -> None:
    assert frame_budget({"max_pixels": 1}, None, no_zoom=False) == {"max_pixels": 1}
    assert frame_budget({"clip_frames": 8}, 32, no_zoom=True) == {
        "clip_frames": 8,
        "overview_frames": 32,
        "overview_fps": math.inf,
        "max_zooms": 0,
    }
    named = frame_budget("paper", 32, no_zoom=False)
    assert isinstance(named, Budget)
    assert (named.overview_frames, named.overview_fps, named.max_zooms) == (32, math.inf, 4)


def test_several_numbers_of_frames(tmp_path: Path) -> None:
    options = ["--policy", "overview", "--policy", "uniform", "--tasks", "needle-tiny", "--episodes", "4"]
    result = RUNNER.invoke(app, ["eval", *options, "--frames", "2,6", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    reports = json.loads(result.stdout)
    assert [report["policy"] for report in reports] == [
        "overview, 2 frames",
        "uniform, 2 frames",
        "overview, 6 frames",
        "uniform, 6 frames",
    ]
    # The uniform control shows what the zooms of an agent would show besides, too.
    assert [report["budget"]["overview_frames"] for report in reports[::2]] == [2, 6]
    assert all(found["metrics"]["frames"]["value"] > 6 for found in reports[1::2])
    assert len(list(tmp_path.glob("*/records.jsonl"))) == 4
    shown = RUNNER.invoke(app, ["eval", *options, "--frames", "2,6", "--out", str(tmp_path)], env={"COLUMNS": "140"})
    assert "uniform - overview" in shown.stdout


def test_no_zoom(tmp_path: Path) -> None:
    options = ["--policy", "random", "--tasks", "needle-tiny", "--episodes", "3", "--no-zoom", "--json"]
    (report,) = json.loads(RUNNER.invoke(app, ["eval", *options]).stdout)
    assert report["budget"]["max_zooms"] == 0
    assert report["metrics"]["zooms"]["value"] == 0


@pytest.mark.parametrize("text", ["many", "1.5", "-3", "8,8", "8,,9"])
def test_bad_numbers_are_named(text: str) -> None:
    with pytest.raises(InvalidSetting, match="--frames"):
        parse_frames(text)


def test_one_field_is_set_once() -> None:
    with pytest.raises(InvalidSetting, match="max_zooms"):
        frame_budget({"max_zooms": 2}, None, no_zoom=True)


def test_conditions_name_what_a_score_depends_on() -> None:
    text = conditions(
        Budget(overview_frames=32, overview_fps=math.inf, max_zooms=0), subtitles="none", prompt="official"
    )
    assert text.startswith(
        "32 overview frames; no zooms; at most 100,352 pixels a frame; subtitles: none; prompt: official"
    )
    assert "64 overview frames at most, at 0.5 fps; 4 zooms" in conditions(Budget(), subtitles="shown", prompt="agent")
