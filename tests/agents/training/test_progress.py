"""What a training run says while it trains, and what it refuses before it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vzgym.agents.training.common import check_device, check_tracker
from vzgym.agents.training.config import load_settings
from vzgym.agents.training.duration import RunLength, calibrate
from vzgym.agents.training.grpo import check_groups
from vzgym.agents.training.plan import plan_grpo, plan_sft
from vzgym.agents.training.progress import StepProgress
from vzgym.agents.training.settings import GRPOSettings, SFTSettings
from vzgym.agents.training.sft import check_accumulation, train_sft
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting


def sft_settings(small_model: Path, trajectories: Path, **more: Any) -> SFTSettings:
    values = {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 0, **more}
    return SFTSettings(model=str(small_model), data=str(trajectories), **values)


def test_a_line_has_the_measures_that_matter_and_the_time_left() -> None:
    measures = {"reward": 0.8312, "episode/correct": 0.625, "episode/zooms": 1.4, "episode/frames": 9.0}
    assert str(StepProgress(3, 100, 754.0, measures)) == (
        "step 3/100, reward 0.831, right % 62.5, zooms 1.40, 13 min left"
    )


def test_the_last_step_is_logged_and_nothing_goes_to_stdout(
    small_model: Path, trajectories: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[StepProgress] = []
    settings = sft_settings(small_model, trajectories, out=str(tmp_path / "run"), log_steps=10)
    out = train_sft(settings, progress=seen.append)
    logged = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "loss" in line] == [3]
    assert [(progress.step, progress.steps, progress.seconds_left) for progress in seen] == [(3, 3, 0.0)]
    assert "loss" in seen[0].summary
    assert capsys.readouterr().out == ""


def test_sft_saves_checkpoints_by_default() -> None:
    assert SFTSettings().save_steps > 0
    # A preset of minutes need not.
    assert load_settings(SFTSettings, "tiny").save_steps == 0


def test_no_adapters_is_null() -> None:
    assert SFTSettings(lora=None).lora.rank == 0
    assert load_settings(GRPOSettings, "single-gpu").lora.rank == 32
    assert load_settings(GRPOSettings, "single-gpu", overrides={"lora": None}).lora.rank == 0


@pytest.mark.parametrize("cls", [SFTSettings, GRPOSettings])
def test_a_preset_for_gpus_names_all_that_a_cpu_needs_at_once(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    with pytest.raises(InvalidSetting) as error:
        check_device(load_settings(cls, "single-gpu"))
    changes = ["bf16=false", "model_options={}"]
    if cls is GRPOSettings:
        changes += ["vllm=false", "trainer={}", "budget=null"]
    assert all(f"--set {change}" in str(error.value).replace("'", "") for change in changes)
    changed = dict(change.split("=") for change in changes)
    values = {"false": False, "{}": {}, "null": None}
    check_device(load_settings(cls, "single-gpu", overrides={name: values[text] for name, text in changed.items()}))


def test_a_missing_tracker_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyNotInstalled, match="wandb is not installed; run: pip install wandb"):
        check_tracker(SFTSettings(report_to="wandb"))
    with pytest.raises(InvalidSetting, match=r"one of none, tensorboard, wandb, trackio.*got 'wandbb'"):
        check_tracker(SFTSettings(report_to="wandbb"))
    check_tracker(SFTSettings())


def test_accumulation_beyond_the_data_is_refused(small_model: Path, trajectories: Path, tmp_path: Path) -> None:
    check_accumulation(SFTSettings(batch_size=4, accumulation=3), 10, 1)
    with pytest.raises(InvalidSetting, match="lower accumulation to at most 3"):
        check_accumulation(SFTSettings(batch_size=4, accumulation=4), 10, 1)
    with pytest.raises(InvalidSetting, match="lower accumulation to at most 2"):
        check_accumulation(SFTSettings(batch_size=4, accumulation=3), 10, 2)
    settings = sft_settings(small_model, trajectories, out=str(tmp_path / "run"), accumulation=100)
    for refuse in (train_sft, plan_sft):
        with pytest.raises(InvalidSetting, match="accumulation is 100"):
            refuse(settings)
    check_groups(GRPOSettings(groups=4, accumulation=2), 8)
    with pytest.raises(InvalidSetting, match="groups is 4, but there are only 3 tasks"):
        check_groups(GRPOSettings(groups=4), 3)
    with pytest.raises(InvalidSetting, match="lower accumulation to at most 2"):
        check_groups(GRPOSettings(groups=4, accumulation=3), 8)


def test_the_rule_for_the_time() -> None:
    length = RunLength(epoch_steps=2, steps=10, flops=3e12, speed=1e12, device="a device")
    assert length.step_seconds == pytest.approx(10.0)
    assert "30% of 1 TFLOP/s (a device)" in length.rule


def test_a_plan_says_steps_and_time(small_model: Path, trajectories: Path) -> None:
    settings = sft_settings(small_model, trajectories, max_steps=0, epochs=2.5, accumulation=2, limit=20)
    length = plan_sft(settings, memory_gib=8).length
    assert length is not None
    assert (length.epoch_steps, length.steps) == (3, 8)
    assert "312 TFLOP/s (an A100 in bfloat16)" in length.rule
    frozen = plan_sft(settings.replace(freeze_vision=True), memory_gib=8).length
    assert frozen is not None
    assert 0 < frozen.flops < length.flops
    practice = GRPOSettings(
        model=str(small_model), tasks="needle-micro/train", num_tasks=40, groups=4, group_size=2, turn_tokens=8,
        steps=7, batch_size=2, updates=2,
    )  # fmt: skip
    length = plan_grpo(practice, memory_gib=8).length
    assert length is not None
    assert (length.epoch_steps, length.steps) == (20, 7)
    served = plan_grpo(practice.replace(iterations=2), memory_gib=8).length
    assert served is not None
    assert served.epoch_steps == 40


def test_a_calibration_measures_steps_and_writes_nothing(small_model: Path, trajectories: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert calibrate(sft_settings(small_model, trajectories, out=str(out))) > 0
    assert not out.exists()
