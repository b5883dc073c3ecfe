from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from vzgym.agents import GRPOSettings, PretrainSettings, SFTSettings
from vzgym.agents.data.dataset import collect
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.training.config import load_settings, save_settings
from vzgym.cli.train import app
from vzgym.core.errors import InvalidSetting, UnknownName, VzgymError


@dataclass
class Trainers:
    """In place of the trainers: keeps the settings that each was called with."""

    got: dict[str, Any]


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> Trainers:
    """The command line alone: what the trainers do is tested with them."""
    seen: dict[str, Any] = {}

    def keep(stage: str) -> Callable[..., Path]:
        def train(settings: Any, *rest: Any, **more: Any) -> Path:
            seen[stage] = settings
            return Path(settings.out)

        return train

    for module, function in (("sft", "train_sft"), ("grpo", "train_grpo"), ("pretrain", "pretrain")):
        fake = ModuleType(f"vzgym.agents.training.{module}")
        setattr(fake, function, keep(module))
        fake.Progress = object  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    return Trainers(seen)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_sft_gets_preset_file_flags_and_overrides_in_that_order(trainers: Trainers, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("sft:\n  batch_size: 5\n  epochs: 2\n  weight_decay: 0.5\n")
    result = run(
        "sft", "--preset", "tiny", "--config", str(file), "--model", "m", "--data", "d", "--out", str(tmp_path / "o"),
        "--seed", "0", "--set", "epochs=3", "--set", "lora.rank=4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    settings = trainers.got["sft"]
    assert isinstance(settings, SFTSettings)
    assert (settings.model, settings.data, settings.seed, settings.resume) == ("m", "d", 0, False)
    assert (settings.batch_size, settings.epochs, settings.weight_decay, settings.lora.rank) == (5, 3.0, 0.5, 4)
    assert settings.learning_rate == load_settings(SFTSettings, "tiny").learning_rate


def test_what_was_run_is_saved_and_can_be_run_again(trainers: Trainers, tmp_path: Path) -> None:
    out = tmp_path / "o"
    run("grpo", "--preset", "tiny", "--model", "m", "--out", str(out), "--set", "reward={accuracy: 1, format: 0.2}")
    first = trainers.got["grpo"]
    assert first.reward == {"accuracy": 1, "format": 0.2}
    # Where the run begins, the trainers save them: see tests/agents/test_training.py.
    assert not out.exists()
    run("grpo", "--config", str(save_settings(first, out)))
    assert trainers.got["grpo"] == first
    assert isinstance(first, GRPOSettings)


@pytest.mark.parametrize(
    ("stage", "arguments"),
    [
        ("sft", ["--data", "nope"]),
        ("grpo", ["--tasks", "needle-micro/train", "--reward", "nope"]),
        ("pretrain", ["--tasks", "nope"]),
    ],
)
def test_a_refused_run_changes_nothing_in_its_folder(stage: str, arguments: list[str], tmp_path: Path) -> None:
    from vzgym.testing.models import build_checkpoint

    out = tmp_path / "o"
    out.mkdir()
    (out / "settings.yaml").write_text("those of a finished run\n")
    model = [] if stage == "pretrain" else ["--model", str(build_checkpoint("qwen3_vl", tmp_path / "model"))]
    result = run(stage, *model, "--out", str(out), *arguments)
    assert isinstance(result.exception, VzgymError), result.output
    assert {file.name for file in out.iterdir()} - {".lock"} == {"settings.yaml"}
    assert (out / "settings.yaml").read_text() == "those of a finished run\n"


def test_resume_and_steps_reach_grpo(trainers: Trainers, tmp_path: Path) -> None:
    result = run("grpo", "--model", "m", "--tasks", "t", "--out", str(tmp_path / "o"), "--resume", "--steps", "7")
    assert result.exit_code == 0, result.output
    settings = trainers.got["grpo"]
    assert (settings.resume, settings.steps, settings.tasks) == (True, 7, "t")


def test_each_stage_says_what_comes_next(trainers: Trainers, tmp_path: Path) -> None:
    data = tmp_path / "data"
    collect(CollectSettings(tasks="needle-micro/train", episodes=2, protocol="compact_tags"), data)
    places = {name: str(tmp_path / name) for name in ("warm", "sft", "grpo")}
    warm = run("pretrain", "--preset", "tiny", "--out", places["warm"])
    assert isinstance(trainers.got["pretrain"], PretrainSettings)
    assert "vzgym collect --preset tiny" in warm.output
    assert f"vzgym train sft --preset tiny --model {places['warm']}" in warm.output
    sft = run("sft", "--preset", "tiny", "--model", places["warm"], "--data", str(data), "--out", places["sft"])
    assert f"vzgym train grpo --preset tiny --model {places['sft']} --tasks needle-micro/train" in sft.output
    assert f"vzgym eval --policy {places['sft']} --policy expert --tasks needle-micro/test" in sft.output
    grpo = run("grpo", "--preset", "tiny", "--model", places["sft"], "--out", places["grpo"])
    assert f"--policy {places['sft']} --policy {places['grpo']} --policy expert" in grpo.output
    assert "--tasks needle-micro/test" in grpo.output


@pytest.mark.parametrize("stage", ["pretrain", "sft", "grpo"])
def test_a_run_needs_a_place_for_its_results(trainers: Trainers, stage: str) -> None:
    result = run(stage)
    assert isinstance(result.exception, InvalidSetting)
    assert f"vzgym train {stage} --out" in str(result.exception)
    assert not trainers.got


def test_mistakes_are_named_before_anything_is_trained(trainers: Trainers, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("sft:\n  model: m\n  learning_rat: 1\n")
    out = ["--out", str(tmp_path / "o")]
    for arguments, error, words in (
        (["--config", str(file)], InvalidSetting, "run.yaml:3: sft has no setting 'learning_rat'"),
        (["--set", "epochs=long"], InvalidSetting, "--set epochs: epochs must be a number"),
        (["--preset", "huge"], UnknownName, "unknown preset 'huge'"),
    ):
        result = run("sft", *out, *arguments)
        assert isinstance(result.exception, error)
        assert words in str(result.exception)
    assert not trainers.got
    assert not (tmp_path / "o").exists()


def test_the_trainers_are_where_the_command_line_looks_for_them() -> None:
    for module, function in (("sft", "train_sft"), ("grpo", "train_grpo"), ("pretrain", "pretrain")):
        assert callable(getattr(importlib.import_module(f"vzgym.agents.training.{module}"), function))


def test_a_dry_run_prints_what_would_be_run_and_writes_nothing(tmp_path: Path) -> None:
    from vzgym.testing.models import build_checkpoint

    model = str(build_checkpoint("qwen3_vl", tmp_path / "model"))
    tasks = ("--tasks", "needle-tiny/train", "--set", "budget=null", "--set", "turn_tokens=64")
    common = ("grpo", "--preset", "single-gpu", "--model", model, *tasks, "--dry-run")
    here = sorted(tmp_path.iterdir())
    result = run(*common, "--device-memory", "8", "--launch", "ddp", "--devices", "2", "--set", "vllm=false")
    assert result.exit_code == 0, result.output
    for line in (
        "learning_rate: 1.0e-05",
        "longest dialogue",
        "memory of each of 2 device(s)",
        "in adapters of rank 32",
    ):
        assert line in result.output
    assert "--num_processes 2 -m vzgym train grpo --preset single-gpu" in " ".join(result.output.split())
    assert sorted(tmp_path.iterdir()) == here
    advised = run(*common, "--device-memory", "0.5", "--set", "vllm=false")
    assert advised.exit_code == 0, advised.output
    assert "but a device of 0.5 GiB has 0.50 GiB" in " ".join(advised.output.split())


def test_what_comes_next_names_files_of_one_s_own(trainers: Trainers, tmp_path: Path) -> None:
    train, test, out = tmp_path / "my train.jsonl", tmp_path / "my test.jsonl", tmp_path / "my runs" / "grpo"
    train.write_text("")
    told = run("grpo", "--model", "m", "--tasks", str(train), "--out", str(out)).output
    # The model has a name on the hub; the tasks may have no evidence, which the expert needs.
    assert f"vzgym eval --policy '{{name: vlm, path: m}}' --policy '{out}' --policy overview --policy uniform" in told
    assert f"--tasks '{train}'" in told
    test.write_text("")
    told = run("grpo", "--model", "m", "--tasks", f"{train}[:10]", "--out", str(out)).output
    assert f"--tasks '{test}'" in told
    sft = run("sft", "--model", "m", "--data", "imported", "--out", str(tmp_path / "my runs" / "sft")).output
    assert f"vzgym train grpo --model '{tmp_path / 'my runs' / 'sft'}' --tasks TASKS --out '{out}'" in sft
