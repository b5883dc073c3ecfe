"""The command around experiments: its plan, its exit status, its report. (What runs: tests/evaluation/experiments.)"""

from __future__ import annotations

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


def test_a_failed_cell_is_shown_with_its_log_and_the_rest_is_done(run: Callable, trial: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("ablate", trial, "--out", out)
    assert result.exit_code == 1
    assert "100.0" in result.output
    assert "uniform needs a whole number of frames >= 1, got -3" in result.output
    assert (out / "trial" / "index.html").is_file()
    dry = run("ablate", trial, "--out", out, "--dry-run")
    assert "expert / seed 0: done" in dry.output
    assert "broken / seed 0: to do" in dry.output
    assert "1 finished" in dry.output  # what the estimate rests on


def test_a_report_runs_nothing(run: Callable, trial: Path, tmp_path: Path) -> None:
    result = run("ablate", trial, "--out", tmp_path / "out", "--report")
    assert result.exit_code == 0
    assert "Nothing is finished yet." in result.output
    assert not (tmp_path / "out" / "works").exists()


def test_a_mistake_in_the_file_is_named(run: Callable, trial: Path) -> None:
    trial.write_text(TRIAL.replace("seeds", "seds"), encoding="utf-8")
    result = run("ablate", trial, "--dry-run")
    assert isinstance(result.exception, InvalidSetting)
    assert "trial.yaml:3" in str(result.exception)
