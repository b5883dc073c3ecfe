"""The command around experiments: dry run, exit status, report. (What runs: tests/evaluation/experiments.)"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting

TRIAL = """\
title: A trial
tasks: needle-micro
seeds: 1
evaluate: {episodes: 3}
learners:
  expert: {kind: policy, policy: expert}
  broken: {kind: policy, policy: {name: "vzgym.baselines:Uniform", frames: -3}}
"""


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    path = tmp_path / "trial.yaml"
    path.write_text(TRIAL, encoding="utf-8")
    return path


@pytest.mark.usefixtures("in_process")
def test_a_failed_cell_is_shown_with_its_log_and_the_rest_is_done(run: Callable, trial: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("ablate", trial, "--out", out)
    assert result.exit_code == 1
    assert "100.0" in result.output
    assert "uniform needs a whole number of frames >= 1, got -3" in result.output
    assert (out / "trial" / "index.html").is_file()
    dry = run("ablate", trial, "--out", out, "--dry-run")
    assert re.search(r"evaluate +2 +1 +1", dry.output)
    line = (
        "  evaluate broken on needle-micro, usual, seed 0: failed before: InvalidSetting: uniform needs a whole number"
    )
    assert line in dry.output.replace("\n", " ").replace("  evaluate", "  evaluate")


@pytest.mark.usefixtures("in_process")
def test_the_dry_run_says_what_runs_and_why(run: Callable, trial: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trial.write_text(TRIAL.partition("  broken")[0].replace("seeds: 1", "seeds: 2"), encoding="utf-8")
    dry = run("ablate", trial, "--out", out, "--dry-run")
    assert "evaluate expert on needle-micro, usual, seeds 0, 1: has not run yet" in dry.output
    assert not out.exists()
    assert run("ablate", trial, "--out", out).exit_code == 0
    assert "Everything is done." in run("ablate", trial, "--out", out, "--dry-run").output
    trial.write_text(trial.read_text(encoding="utf-8").replace("episodes: 3", "episodes: 2"), encoding="utf-8")
    changed = run("ablate", trial, "--out", out, "--dry-run")
    assert "evaluate expert on needle-micro, usual, seeds 0, 1: episodes changed from 3 to 2" in changed.output


def test_the_dry_run_counts_the_names_that_cells_have(run: Callable, trial: Path, tmp_path: Path) -> None:
    def first_line() -> str:
        return run("ablate", trial, "--out", tmp_path / "out", "--dry-run").output.splitlines()[0]

    assert first_line() == "A trial: 2 cells (2 learners, 1 task, 1 budget, 1 seed)"
    rewards = (
        "rewards: {plain: {accuracy: 1.0}, bonus: {accuracy: 1.0, tool_bonus: 0.5}}\ngrid: [{learners: [trained]}]\n"
    )
    trial.write_text(TRIAL + "  trained: {kind: sb3}\n" + rewards, encoding="utf-8")
    assert first_line() == "A trial: 2 cells (2 rewards, 1 learner, 1 task, 1 budget, 1 seed)"


@pytest.mark.usefixtures("in_process")
def test_differences_are_explained_only_where_they_are_shown(run: Callable, trial: Path, tmp_path: Path) -> None:
    text = TRIAL.partition("  broken")[0] + "  blind: {kind: policy, policy: blind}\nreference: {learner: blind}\n"
    trial.write_text(text, encoding="utf-8")
    result = run("ablate", trial, "--out", tmp_path / "out")
    assert "3 held-out tasks per cell." in result.output
    assert "The reference is" not in result.output
    assert "differences in points of accuracy" in (tmp_path / "out" / "trial" / "table.md").read_text(encoding="utf-8")


def test_a_report_runs_nothing(run: Callable, trial: Path, tmp_path: Path) -> None:
    result = run("ablate", trial, "--out", tmp_path / "out", "--report")
    assert result.exit_code == 0
    assert "Nothing is finished yet." in result.output
    assert not (tmp_path / "out" / "store").exists()


def test_a_mistake_in_the_file_is_named(run: Callable, trial: Path) -> None:
    trial.write_text(TRIAL.replace("seeds", "seds"), encoding="utf-8")
    result = run("ablate", trial, "--dry-run")
    assert isinstance(result.exception, InvalidSetting)
    assert "trial.yaml:3" in str(result.exception)


def test_an_unknown_key_to_break_down_by_is_refused_before_anything_runs(
    run: Callable, trial: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("ablate", trial, "--out", out, "--by", "metadata.length")
    assert isinstance(result.exception, InvalidSetting)
    assert "no task has 'length' in its metadata; there are: " in str(result.exception)
    assert "difficulty" in str(result.exception)
    assert not out.exists()
    assert run("ablate", trial, "--out", out, "--by", "metadata.difficulty", "--dry-run").exit_code == 0
