"""The demo's learning half: stages that are kept, and its picture. (The stages themselves: tests/agents.)"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vzgym.cli import demo, learning


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    runs: list[int] = []
    folder = tmp_path / "stage"

    def work() -> None:
        folder.mkdir(exist_ok=True)
        runs.append(1)

    for _ in range(3):
        learning._stage(folder, "a stage", work)
    assert runs == [1]


def test_a_stage_that_failed_runs_again(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learning._stage(folder, "a stage", work)
    learning._stage(folder, "a stage", work)
    assert runs == [1, 1]


def test_the_demo_goes_on_with_what_another_process_collected(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="trajectories need the extra 'llm'")
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings
    from vzgym.agents.training.config import load_settings

    settings = load_settings(CollectSettings, learning.PRESET, None, {"episodes": 6})
    helper = learning._start(learning._collect, settings, tmp_path / "data")
    helper.join()
    assert helper.exitcode == 0
    made = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "data").iterdir()}
    counts: list[int] = []
    collect(settings, tmp_path / "data", progress=counts.append)
    assert counts == [6]
    assert made == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "data").iterdir()}


def test_the_curve_is_drawn_from_the_log(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'plots'")
    lines = [{"step": i, "rewards/accuracy/mean": str(i / 20), "episode/zooms": str(1 + i / 20)} for i in range(20)]
    lines.append({"train_runtime": 3.0})  # the trainer's closing line has no accuracy
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    learning.draw_curve(tmp_path, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    blue = (pixels[..., 2].astype(int) - pixels[..., 0]) > 80
    rows, columns = np.nonzero(blue[:, : pixels.shape[1] // 2])
    assert np.corrcoef(rows, columns)[0, 1] < -0.9  # the line rises from left to right


def test_without_the_packages_the_demo_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("torch", "trl") else find(name))
    assert learning.missing_packages() == ["torch", "trl"]
    demo._learn(tmp_path / "learning", 8, 0)
    assert 'requires torch, trl): pip install "vzgym[llm,plots]"' in capsys.readouterr().out
    assert not (tmp_path / "learning").exists()
