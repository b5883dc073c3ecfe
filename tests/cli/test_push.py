"""`vzgym push --dry-run`: the card says what the run's files say, and nothing is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from vzgym.cli import app
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting

REPORT = {
    "tasks": "needle/test", "episodes": 200, "seed": 0, "budget": {"max_zooms": 2},
    "metrics": {
        "correct": {"value": 0.625, "low": 0.556, "high": 0.689, "n": 200},
        "zooms": {"value": 1.5, "low": 1.4, "high": 1.6, "n": 200},
        "frames": {"value": 40.0, "low": 39.0, "high": 41.0, "n": 200},
    },
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The files that a run of GRPO on a cold-started hub model leaves."""
    sft, grpo, data = tmp_path / "sft", tmp_path / "grpo", tmp_path / "data"
    for folder in (sft, grpo, data):
        folder.mkdir()
    (data / "collect.json").write_text(json.dumps({"tasks": str(tmp_path / "mine.jsonl")}))
    shared = {"learning_rate": 1e-5, "seed": 3, "lora": {"rank": 8}, "freeze_vision": True}
    runs: dict[Path, dict[str, Any]] = {
        sft: {"settings": {**shared, "model": "Qwen/Qwen2.5-VL-3B-Instruct", "data": str(data)}},
        grpo: {
            "settings": {
                **shared, "model": str(sft), "tasks": "needle/train", "reward": {"accuracy": 0.9, "format": 0.1},
                "groups": 4, "group_size": 8, "model_options": {"token": "hf_secret"},
            },
            "reward_terms": {
                "format": {"firing_rate": 1.0, "mean": 0.1, "variance_share": 0.0, "groups_moved": 0.0},
            },
        },
    }  # fmt: skip
    for folder, facts in runs.items():
        (folder / "config.json").write_text("{}")
        (folder / "training.json").write_text(json.dumps({"steps": 100, "seconds": 60.0, **facts}))
    budget = Budget(max_zooms=2).to_dict()
    (grpo / "vzgym.json").write_text(json.dumps({"protocol": {"name": "tags"}, "run_id": "abc123", "budget": budget}))
    for name in ("model.safetensors", "rollouts.jsonl", "log.jsonl", "settings.yaml", ".lock"):
        (grpo / name).write_text("x")
    (grpo / "checkpoint-50").mkdir()
    return grpo


def evaluated(folder: Path, run_id: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"policy": "grpo", "options": {"files": f"10, run {run_id}"}}))
    (folder / "report.json").write_text(json.dumps(REPORT))
    return folder


def push(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["push", *map(str, arguments)])


def test_the_card_is_true_and_the_files_are_those_that_a_model_needs(model: Path, tmp_path: Path) -> None:
    evaluated(tmp_path / "runs" / "mine", "abc123")
    evaluated(tmp_path / "runs" / "other", "other")
    result = push(model, "me/zoomer", "--scores", tmp_path / "runs", "--dry-run")
    assert result.exit_code == 0, result.output
    listed = [line.split()[-1] for line in result.output.splitlines() if " MiB " in line]
    assert listed == ["README.md", "config.json", "model.safetensors", "vzgym.json"]
    card = (model / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["base_model"] == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert header["tags"] == ["vzgym", "video", "sft", "grpo"]
    assert card.count("62.5 [55.6, 68.9]") == 1
    for text in ('{"accuracy": 0.9, "format": 0.1}', "max_zooms 2", "needle/train", "adapters of rank 8", "mine.jsonl",
                 "| format | 100 | 0.1 | 0 |"):  # fmt: skip
        assert text in card
    # Neither paths of this machine nor secrets.
    assert str(tmp_path) not in card
    assert "hf_secret" not in card


def test_a_model_without_scores_says_so(model: Path) -> None:
    result = push(model, "me/zoomer", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "It has not been evaluated." in (model / "README.md").read_text()
    assert "no scores" in result.output


def test_what_is_wrong_is_named_before_anything_is_written(model: Path, tmp_path: Path) -> None:
    other = evaluated(tmp_path / "runs", "other")
    for arguments, words in (
        ((model, "no/such/name"), "is not a repository name"),
        ((tmp_path, "me/zoomer"), "holds no finished model"),
        ((model, "me/zoomer", "--scores", other), "holds no report of the model"),
    ):
        result = push(*arguments, "--dry-run")
        assert isinstance(result.exception, InvalidSetting)
        assert words in str(result.exception)
    assert not (model / "README.md").exists()
