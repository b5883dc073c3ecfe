"""Shared by the trainers: starting and resuming a run, its checkpoints, saving its result."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vzgym.agents.training.common import (
    adapters,
    freeze_vision,
    newest_checkpoint,
    output_lock,
    prepare_output,
    save_result,
)
from vzgym.agents.training.config import load_settings, save_settings
from vzgym.agents.training.grpo import train_grpo
from vzgym.agents.training.memory import Sharding
from vzgym.agents.training.plan import plan_sft
from vzgym.agents.training.settings import GRPOSettings, LoraSettings, SFTSettings
from vzgym.agents.training.sft import train_sft
from vzgym.agents.vlm.checkpoint import open_checkpoint, saved_protocol
from vzgym.core.errors import FolderInUse, InvalidSetting
from vzgym.core.files import folder_lock
from vzgym.testing.models import build_config, build_tokenizer

LORA = LoraSettings(rank=2, alpha=4, targets=("q_proj",))


@pytest.fixture
def settings(small_model, trajectories, tmp_path):
    """Makes settings of a short run."""

    def make(**more):
        values = {"max_steps": 2, "save_steps": 1, "batch_size": 4, "learning_rate": 1e-3, "log_steps": 1, **more}
        return SFTSettings(model=str(small_model), data=str(trajectories), out=str(tmp_path / "run"), **values)

    return make


def weights(folder):
    return open_checkpoint(folder).model.state_dict()


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def facts(out):
    return json.loads((out / "training.json").read_text())


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# Checkpoints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [LoraSettings(), LORA])
def test_a_trainers_checkpoint_opens_as_the_finished_model_does(settings, small_model, lora):
    out = train_sft(settings(lora=lora))
    assert not same(weights(out / "checkpoint-1"), weights(out))
    last = open_checkpoint(out / "checkpoint-2")
    finished = weights(out)
    assert set(last.model.state_dict()) == set(finished)
    for name, weight in last.model.state_dict().items():
        torch.testing.assert_close(weight, finished[name])
    assert all(weight.requires_grad for weight in last.model.parameters())
    assert last.protocol.spec == saved_protocol(small_model).spec
    assert last.protocol.spec["name"] == "compact_tags"
    for name in ("tokenizer_config.json", "processor_config.json", "chat_template.jinja"):
        assert (out / "checkpoint-2" / name).read_text() == (out / name).read_text()


def test_adapters_on_top_of_a_checkpoint_of_adapters_open_too(settings, tmp_path):
    first = train_sft(settings(lora=LORA))
    second = tmp_path / "second"
    train_sft(SFTSettings(**{**vars(settings(lora=LORA)), "model": str(first / "checkpoint-1"), "out": str(second)}))
    finished = weights(second)
    for name, weight in weights(second / "checkpoint-2").items():
        torch.testing.assert_close(weight, finished[name])


def test_a_checkpoint_whose_saving_was_cut_off_is_passed_over(settings, tmp_path):
    save_settings(settings(), tmp_path / "run")
    for number, whole in ((8, True), (9, True), (10, True), (11, False)):
        folder = tmp_path / "run" / f"checkpoint-{number}"
        folder.mkdir(parents=True)
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    assert newest_checkpoint(settings(resume=True)) == str(tmp_path / "run" / "checkpoint-10")
    with pytest.raises(InvalidSetting, match=r"run holds checkpoints of a run, up to checkpoint-10: resume it"):
        newest_checkpoint(settings())


# Beginning and going on ---------------------------------------------------------------------------------------------


def test_a_new_run_is_refused_where_checkpoints_of_another_lie(settings):
    out = train_sft(settings())
    before = weights(out)
    with pytest.raises(InvalidSetting, match=r"holds checkpoints of a run, up to checkpoint-2.*another folder"):
        train_sft(settings(max_steps=1, save_steps=0))
    assert same(weights(out), before)
    assert {folder.name for folder in out.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}


def test_a_second_run_in_a_folder_is_refused_on_its_first_process(settings, monkeypatch):
    run = settings()
    with folder_lock(run.out):
        with pytest.raises(FolderInUse, match="is being written by another process"):
            train_sft(run)
        # The other processes of a run that is spread over several devices.
        monkeypatch.setenv("RANK", "1")
        with output_lock(run):
            pass


def test_a_new_run_clears_away_what_was_cut_off(settings, tmp_path):
    half = tmp_path / "run" / "checkpoint-7"
    half.mkdir(parents=True)
    train_sft(settings(max_steps=1, save_steps=0))
    assert not half.exists()


def test_resume_without_a_checkpoint_says_that_the_run_begins_anew(settings, caplog):
    with caplog.at_level(logging.WARNING, logger="vzgym.agents"):
        out = train_sft(settings(max_steps=1, resume=True))
    assert f"{out}: this is a new run (there is no complete checkpoint to resume from)" in caplog.text


def test_a_run_that_begins_leaves_its_settings(settings):
    wanted = settings(max_steps=1, save_steps=0)
    out = train_sft(wanted)
    assert load_settings(SFTSettings, file=out / "settings.yaml") == wanted
    # From Python, values may be objects that YAML has no word for.
    shutil.rmtree(out)
    told = settings(max_steps=1, save_steps=1, model_options={"dtype": torch.float32})
    train_sft(told)
    assert load_settings(SFTSettings, file=out / "settings.yaml").model_options == {"dtype": "torch.float32"}
    assert newest_checkpoint(told.replace(resume=True)) == str(out / "checkpoint-1")


def saved_run(settings, folder):
    """As a run that was stopped after its second step leaves its folder."""
    save_settings(settings, folder)
    (folder / "checkpoint-2").mkdir()
    (folder / "checkpoint-2" / "trainer_state.json").write_text('{"global_step": 2}')


@pytest.mark.parametrize(
    ("changes", "was"),
    [
        ({"model": "runs/other"}, "model='.*'"),
        ({"seed": 7, "learning_rate": 1.0}, "learning_rate=0.001, seed=0"),
        ({"batch_size": 2}, "batch_size=4"),
        ({"lora": {"rank": 2}}, r"lora\.rank=0"),
        ({"trainer": {"adam_beta1": 0.5}}, r"trainer\.adam_beta1=None"),
    ],
)
def test_a_run_with_other_settings_is_not_resumed(settings, tmp_path, changes, was):
    saved_run(settings(), tmp_path / "run")
    before = (tmp_path / "run" / "settings.yaml").read_text()
    with pytest.raises(InvalidSetting, match=rf"run holds a run with {was}: resume with the same, or choose"):
        train_sft(settings(resume=True).replace(**changes))
    assert (tmp_path / "run" / "settings.yaml").read_text() == before


def test_a_grpo_run_with_another_reward_is_not_resumed(tmp_path):
    first = GRPOSettings(model="m", tasks="needle-micro/train", reward="videozoomer", out=str(tmp_path / "run"))
    saved_run(first, tmp_path / "run")
    with pytest.raises(InvalidSetting, match="holds a run with reward='videozoomer': resume"):
        train_grpo(first.replace(reward={"iou": 1.0}, resume=True))


def test_a_resumed_run_may_be_longer_and_save_and_log_otherwise(settings, tmp_path, monkeypatch):
    saved_run(settings(), tmp_path / "run")
    changes = {"max_steps": 9, "epochs": 2.0, "save_steps": 3, "save_limit": 1, "log_steps": 5, "resume": True}
    trainer = {"use_cpu": True, "dataloader_num_workers": 1}
    now = settings(**changes, trainer=trainer)
    assert newest_checkpoint(now) == str(tmp_path / "run" / "checkpoint-2")
    # The same folder by another path.
    monkeypatch.chdir(Path(now.data).parent)
    assert newest_checkpoint(now.replace(data=Path(now.data).name)) == str(tmp_path / "run" / "checkpoint-2")


@pytest.mark.parametrize("train", [train_sft, train_grpo])
def test_a_finished_run_without_checkpoints_is_kept(settings, tmp_path, caplog, train):
    """GRPO saves no checkpoints unless told to."""
    run = settings(save_steps=0)
    if train is train_grpo:
        run = GRPOSettings(model=run.model, tasks="needle-micro/train", out=run.out)
    out = save_settings(run, run.out).parent
    for name in ("model.safetensors", "training.json", "log.jsonl", "rollouts.jsonl"):
        (out / name).write_text(name)
    with pytest.raises(InvalidSetting, match="run holds a finished run: choose another folder, or delete this one"):
        train(run)
    longer = {"steps": 200} if train is train_grpo else {"max_steps": 200}
    with pytest.raises(InvalidSetting, match=r"holds a run with (max_)?steps="):
        train(run.replace(**longer, resume=True))
    assert train(run.replace(resume=True)) == out
    assert f"{out} holds the finished run: nothing is trained" in caplog.text
    for name in ("model.safetensors", "training.json", "log.jsonl", "rollouts.jsonl"):
        assert (out / name).read_text() == name


@pytest.mark.parametrize("wanted", [{"max_steps": 2}, {"max_steps": 1}, {"max_steps": 0, "epochs": 0.25}])
def test_a_finished_run_is_not_trained_further(settings, wanted):
    out = train_sft(settings())
    before, lines = weights(out), log(out)
    # A run's own seconds end with its last checkpoint, so they are set to a value that no later part reaches.
    (out / "checkpoint-2" / "vzgym_progress.json").write_text('{"seconds": 1000}')
    (out / "model.safetensors").unlink()
    (out / "training.json").unlink()
    assert train_sft(settings(resume=True, **wanted)) == out
    assert same(weights(out), before)
    assert log(out) == lines
    assert facts(out)["steps"] == 2
    assert 1000 <= facts(out)["seconds"] < 1600


def test_a_finished_run_of_adapters_has_model_and_adapters(settings):
    out = train_sft(settings(lora=LORA))
    before = weights(out)
    adapter = (out / "adapter" / "adapter_model.safetensors").read_bytes()
    shutil.rmtree(out / "adapter")
    (out / "model.safetensors").unlink()
    train_sft(settings(lora=LORA, resume=True))
    for name, weight in weights(out).items():
        torch.testing.assert_close(weight, before[name])
    assert (out / "adapter" / "adapter_model.safetensors").read_bytes() == adapter


def test_steps_that_are_done_again_are_logged_once_and_the_seconds_of_all_parts_count(settings):
    out = train_sft(settings(max_steps=3))
    # As if it had been killed in the third step, in the middle of a line.
    shutil.rmtree(out / "checkpoint-3")
    with (out / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "los')
    (out / "checkpoint-2" / "vzgym_progress.json").write_text('{"seconds": 1000}')
    train_sft(settings(max_steps=4, resume=True))
    assert [line["step"] for line in log(out) if "loss" in line] == [1, 2, 3, 4]
    assert [line["seconds"] > 1000 for line in log(out) if "loss" in line] == [False, False, True, True]
    assert 1000 < facts(out)["seconds"] < 1600
    assert facts(out)["steps"] == 4


# Over devices -------------------------------------------------------------------------------------------------------


class Sharded:
    """A trainer whose model holds no whole weight in any process, as under ZeRO-3."""

    def __init__(self, model, main=True):
        self.whole = {name: weight.clone() for name, weight in model.state_dict().items()}
        self.model, self.model_wrapped = model, object()
        self.main = main
        self.asked = []
        self.state = SimpleNamespace(global_step=7)
        plugin = SimpleNamespace(zero_stage=3)
        self.accelerator = SimpleNamespace(
            unwrap_model=lambda model: model, get_state_dict=self.gather, state=SimpleNamespace(deepspeed_plugin=plugin)
        )
        for weight in model.parameters():
            weight.data = torch.empty(0)

    def gather(self, wrapped):
        self.asked.append(wrapped)
        return self.whole if self.main else None

    def is_world_process_zero(self):
        return self.main


def test_weights_in_parts_are_gathered_before_they_are_saved(settings, small_model, tmp_path):
    start = open_checkpoint(small_model)
    trainer = Sharded(start.model)
    out = save_result(settings(), trainer, start, 5.0)
    assert trainer.asked == [trainer.model_wrapped]
    assert same(weights(out), trainer.whole)
    assert (facts(out)["steps"], facts(out)["seconds"]) == (7, 5.0)


def test_the_other_processes_take_part_in_gathering_and_write_nothing(settings, small_model, tmp_path):
    start = open_checkpoint(small_model)
    trainer = Sharded(start.model, main=False)
    save_result(settings(), trainer, start, 5.0)
    assert trainer.asked == [trainer.model_wrapped]
    assert not (tmp_path / "run").exists()


def test_adapters_on_weights_in_parts_are_refused_at_the_start(settings, small_model, tmp_path):
    old = tmp_path / "run" / "checkpoint-1"
    old.mkdir(parents=True)
    for refuse in (
        lambda: prepare_output(settings(lora=LORA), Sharded(open_checkpoint(small_model).model), None),
        lambda: plan_sft(settings(lora=LORA), Sharding(2, 3)),
    ):
        with pytest.raises(InvalidSetting, match=r"lora\.rank is 2 under DeepSpeed ZeRO-3.*zero2"):
            refuse()
    assert old.is_dir()


@pytest.mark.parametrize("options", [{"fsdp_version": 2}, {"fsdp_version": 1, "sharding_strategy": "FULL_SHARD"}])
def test_adapters_on_weights_in_parts_are_refused_under_fsdp_of_the_trainers_options(settings, small_model, options):
    from accelerate import FullyShardedDataParallelPlugin

    trainer = Sharded(open_checkpoint(small_model).model)
    trainer.accelerator.state = SimpleNamespace(fsdp_plugin=FullyShardedDataParallelPlugin(**options))
    with pytest.raises(InvalidSetting, match=r"lora\.rank is 2 under FSDP"):
        prepare_output(settings(lora=LORA), trainer, None)


@pytest.mark.parametrize("frozen_by", ["adapters", "freeze_vision"])
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_no_gradient_enters_a_frozen_tower(family, frozen_by):
    """Gradient checkpointing lets gradients begin at the text's embeddings, not at the patches of pictures."""
    from peft import get_peft_model
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_config(build_config(family, build_tokenizer(family)))
    tower = model.get_encoder(modality="image")
    if frozen_by == "adapters":
        model = get_peft_model(model, adapters(SFTSettings(lora=LoraSettings(rank=2)), model))
    else:
        freeze_vision(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    assert model.get_input_embeddings()(torch.tensor([[1, 2]])).requires_grad
    size = tower.config.temporal_patch_size * 3 * tower.config.patch_size**2
    seen = tower.train()(torch.zeros(16, size), grid_thw=torch.tensor([[1, 4, 4]]))
    assert not any(part.requires_grad for part in (seen.last_hidden_state, seen.pooler_output))
