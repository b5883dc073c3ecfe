"""What a run would take: right sizes, right sums, and refusals with numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

from vzgym.agents.training.common import adapters
from vzgym.agents.training.config import load_settings, preset_names
from vzgym.agents.training.grpo import train_grpo
from vzgym.agents.training.memory import GIB, Memory, Sharding, device_memory, model_facts
from vzgym.agents.training.plan import launch_file, launch_names, plan_grpo, plan_sft, read_launch
from vzgym.agents.training.settings import GRPOSettings, LoraSettings, SFTSettings
from vzgym.agents.training.sft import train_sft
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.testing.models import FAMILIES, SIZES, build_checkpoint, build_processor

LORA = LoraSettings(rank=32, alpha=64)


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """Qwen2.5-VL-7B's published sizes, as a folder without weights."""
    folder = tmp_path_factory.mktemp("seven")
    build_processor("qwen2_5_vl").save_pretrained(folder)
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
            "intermediate_size": 18944, "vocab_size": 152064,
            "max_position_embeddings": 128000, "rope_parameters": rope,
        },
        vision_config={
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584,
        },
        dtype="bfloat16", architectures=["Qwen2_5_VLForConditionalGeneration"],
    )  # fmt: skip
    config.save_pretrained(folder)
    return str(folder)


def practice(model, **more):
    values = {"tasks": "needle-tiny/train", "groups": 1, "group_size": 2, "batch_size": 1, "turn_tokens": 64}
    return GRPOSettings(**{"model": model, "gradient_checkpointing": True, **values, **more})


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_counted_without_loading_them(family, tmp_path):
    folder = str(build_checkpoint(family, tmp_path))
    model = AutoModelForImageTextToText.from_pretrained(folder)
    facts = model_facts(folder, LoraSettings(), {})
    assert facts.weights == sum(weight.numel() for weight in model.parameters())
    tower = model.get_encoder(modality="image")
    assert facts.vision == sum(weight.numel() for weight in tower.parameters()) > 0
    assert facts.bytes == 4
    assert model_facts(folder, LoraSettings(), {"dtype": "bfloat16"}).bytes == 2
    # Adapters: those that peft would make, in the language model alone.
    from peft import get_peft_model

    adapted = get_peft_model(model, adapters(SFTSettings(lora=LORA), model))
    trained = {name: w.numel() for name, w in adapted.named_parameters() if w.requires_grad}
    assert model_facts(folder, LORA, {}).adapters == sum(trained.values())
    assert not any(name in part for part in trained for name in ("visual", "vision"))


def test_the_size_of_a_published_model(seven):
    facts = model_facts(seven, LORA, {})
    assert facts.weights == 8_292_166_656
    assert facts.adapters == 80_740_352
    # Two, keys and values, times 28 layers of 4 heads of 128, in bfloat16.
    assert facts.kv_bytes == 57_344


OPTIONS = {
    "freeze_vision": True, "checkpointing": True, "mixed": True, "triton": True, "tokens": 1000, "loss_tokens": 100,
    "patches": 4000,
}  # fmt: skip


def test_the_parts_add_up(seven):
    facts = model_facts(seven, LoraSettings(), {})
    memory = Memory()
    memory.add_training(facts, Sharding(8, 3), reference=True, **OPTIONS)
    memory.add_pictures(facts, 4000)
    language = facts.weights - facts.vision
    layer = (10 * 3584 + 4 * 512 + 4 * 18944) * 2 + 6 * 3584
    assert memory.parts == {
        "weights": facts.weights * 2 // 8,
        "reference model": facts.weights * 2 // 8,
        "gradients": language * 2 // 8,
        "optimizer": language * 12 // 8,
        "activations": 1000 * (28 * 3584 * 2 + layer + (2 * 3584 + 2 * 18944) * 2 + 4 * 3584 * 2),
        # A tile of 100 tokens and 32,768 words, the gradient of their hidden states, and that of the output layer.
        "logits": 100 * 32_768 * 2 + 100 * 3584 * 4 + 152_064 * 3584 * 4,
        # Patches of 14 x 14 pixels, two frames, three colors.
        "pictures": 4000 * 1176 * 4,
        "rest": int(1.5 * GIB),
    }
    alone = Memory()
    alone.add_training(facts, Sharding(), reference=False, **OPTIONS)
    assert alone.parts["weights"] == facts.weights * 2
    assert alone.parts["optimizer"] == language * 2 * 2
    assert "reference model" not in alone.parts
    alone.add_generation(facts, dialogues=64, tokens=2000, mixed=True)
    rest = alone.parts["activations"] + alone.parts["logits"]
    read = 57_344 + (4 * 3584 + 3 * 18944) * 2
    assert alone.parts["generation, beyond the backward pass"] == read * 64 * 2000 - rest


def test_logits_do_not_grow_with_the_dialogue_and_vocabulary(seven):
    """TRL scores tokens in tiles: a quarter of a GiB each in bfloat16, and with a trained head its float32 gradient."""
    long = {**OPTIONS, "tokens": 20_000, "loss_tokens": 20_000}
    for lora, least, most in ((LORA, 0.25, 0.55), (LoraSettings(), 2.2, 2.6)):
        memory = Memory()
        memory.add_training(model_facts(seven, lora, {}), Sharding(), reference=False, **long)
        assert least < memory.parts["logits"] / GIB < most
    # Without Triton's kernel, a tile is worked on in float32, and every token is scored.
    cpu = Memory()
    cpu.add_training(model_facts(seven, LORA, {}), Sharding(), reference=False, **{**OPTIONS, "triton": False})
    assert cpu.parts["logits"] == 1000 * 32_768 * 40 + 1000 * 3584 * 4


def test_mixed_precision_of_float32_weights_casts_copies(seven):
    facts = model_facts(seven, LoraSettings(), {"dtype": "float32"})
    mixed, full = Memory(), Memory()
    mixed.add_training(facts, Sharding(), reference=False, **OPTIONS)
    full.add_training(facts, Sharding(), reference=False, **{**OPTIONS, "mixed": False})
    assert mixed.parts["weights"] - full.parts["weights"] == facts.weights * 2
    assert mixed.parts["activations"] < full.parts["activations"]


def test_a_run_that_fits_says_what_it_takes(seven):
    plan = plan_grpo(practice(seven, lora={"rank": 32}, freeze_vision=True), memory_gib=80)
    tokens = {what: count for what, count, _ in plan.tokens}
    assert (
        tokens["overview"] + tokens["rules, question, times"] + tokens["zooms"] + tokens["turns"]
        <= (tokens["longest dialogue"])
    )
    assert tokens["context"] == 128_000
    assert plan.memory.parts["weights"] == 8_292_166_656 * 2 + 80_740_352 * 4
    assert plan.memory.total < 80 * GIB
    assert plan.notes == []


def test_two_byte_weights_without_float32_masters_are_warned_of(small_model):
    settings = GRPOSettings(
        model=str(small_model), tasks="needle-micro/train", turn_tokens=10, model_options={"dtype": "bfloat16"}
    )
    assert "most updates round away" in plan_grpo(settings, memory_gib=8).notes[0]
    assert plan_grpo(settings, Sharding(2, 2), 8).notes == []


def test_a_part_of_a_budget_is_planned_over_the_tasks_own(small_model):
    settings = GRPOSettings(model=str(small_model), tasks="needle-micro/train", turn_tokens=10, budget={"max_zooms": 1})
    tokens = {what: (count, why) for what, count, why in plan_grpo(settings, memory_gib=8).tokens}
    assert tokens["overview"][0] == 8
    assert tokens["overview"][1].startswith("8 frames of 1 tokens")
    assert tokens["zooms"][1].startswith("1 replies of 6 frames of 1 tokens")


def number(pattern, text):
    return float(re.search(pattern, text).group(1))


def test_an_estimate_above_the_devices_memory_is_advice(seven):
    said = plan_grpo(practice(seven), memory_gib=24).notes[0]
    # Weights, gradients and two averages, two bytes each.
    assert number(r"about ([\d.]+) GiB", said) > 8_292_166_656 * 8 / GIB
    assert number(r"weights ([\d.]+)", said) == pytest.approx(8_292_166_656 * 2 / GIB, abs=0.01)
    assert number(r"optimizer ([\d.]+)", said) == pytest.approx(8_292_166_656 * 4 / GIB, abs=0.01)
    assert "a device of 24 GiB has 24.00 GiB" in said
    assert "Train adapters (lora.rank), or shard over more devices" in said


def test_an_engine_without_room_for_the_weights_is_refused(seven):
    with pytest.raises(InvalidSetting) as refusal:
        plan_grpo(practice(seven, lora={"rank": 32}, vllm=True, trainer={"vllm_gpu_memory_utilization": 0.3}), None, 40)
    said = str(refusal.value)
    assert "vLLM gets 0.3 of a device of 40 GiB's 40.00 GiB: 12.00 GiB" in said
    needed = number(r"take ([\d.]+) GiB", said)
    assert needed > 8_292_166_656 * 2 / GIB
    assert number(r"at least ([\d.]+), or", said) == pytest.approx(needed / 40, abs=0.01)


def test_dialogues_longer_than_the_context_are_refused(tmp_path):
    from dataclasses import replace

    folder = build_checkpoint("qwen2_5_vl", tmp_path, replace(SIZES["tiny"], positions=256))
    with pytest.raises(
        InvalidSetting,
        match=r"reads at most 256 tokens, but a prompt has about \d+ and 3 zooms with",
    ):
        plan_grpo(practice(str(folder)), memory_gib=8)


def test_what_vllm_can_read_must_hold_a_dialogue(seven):
    settings = practice(seven, groups=4, vllm=True, trainer={"vllm_mode": "server", "vllm_max_model_length": 300})
    with pytest.raises(InvalidSetting, match=r"vllm_max_model_length is 300, but the longest dialogue has \d+ tokens"):
        plan_grpo(settings, Sharding(8, 3), 80)


def test_a_system_that_reports_no_memory_asks_for_it(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("vzgym.agents.training.memory.machine_memory", lambda: None)
    with pytest.raises(InvalidSetting, match="does not report its memory: give it by --device-memory"):
        device_memory()


def test_imitation_is_planned_from_its_longest_trajectories(small_model, trajectories):
    settings = SFTSettings(model=str(small_model), data=str(trajectories), batch_size=4)
    plan = plan_sft(settings, memory_gib=4)
    start = open_checkpoint(small_model)
    tokens = {what: count for what, count, _ in plan.tokens}
    assert tokens["frames"] + tokens["text"] == tokens["longest trajectory"] <= 512
    assert plan.facts.weights == sum(weight.numel() for weight in start.model.parameters())
    short = SFTSettings(model=str(small_model), data=str(trajectories), max_length=20)
    with pytest.raises(InvalidSetting, match=r"longest trajectory has \d+ tokens \(\d+ of frames\), but at most 20"):
        plan_sft(short, memory_gib=4)


def test_launch_configurations_are_accelerates_and_say_how_a_run_is_spread():
    assert read_launch(None, None) == Sharding(1, 0)
    assert read_launch("zero3", None) == Sharding(7, 3, "bf16")
    assert read_launch("zero2", 4) == Sharding(4, 2, "bf16")
    assert read_launch("ddp", None) == Sharding(8, 0, "bf16")
    from accelerate.commands.config.config_args import ClusterConfig

    for name in launch_names():
        loaded = ClusterConfig.from_yaml_file(str(launch_file(name)))
        assert loaded.num_processes == yaml.safe_load(launch_file(name).read_text())["num_processes"]
    with pytest.raises(UnknownName, match="zero4"):
        launch_file("zero4")


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        ("fsdp_version: 2", 3),
        ("fsdp_version: 2, fsdp_reshard_after_forward: false", 2),
        ("fsdp_sharding_strategy: FULL_SHARD", 3),
        ("fsdp_sharding_strategy: SHARD_GRAD_OP", 2),
        ("fsdp_sharding_strategy: 3", 0),
    ],
)
def test_fsdp_is_planned_as_sharded(seven, tmp_path, options, stage):
    file = tmp_path / "fsdp.yaml"
    file.write_text(f"distributed_type: FSDP\nnum_processes: 4\nfsdp_config: {{{options}}}\n")
    found = read_launch(str(file), None)
    assert (found.devices, found.stage, found.fsdp, found.deepspeed) == (4, stage, True, False)
    facts, memory = model_facts(seven, LoraSettings(), {}), Memory()
    memory.add_training(facts, found, reference=False, **OPTIONS)
    share = 4 if stage == 3 else 1
    assert memory.parts["weights"] == facts.weights * 2 // share
    # No float32 masters, unlike under DeepSpeed.
    assert memory.parts["optimizer"] == (facts.weights - facts.vision) * 4 // (4 if stage else 1)


@pytest.mark.parametrize("options", ["", "fsdp_config: {}\n"])
def test_fsdp_without_options_is_planned_with_accelerates_own(tmp_path, options):
    file = tmp_path / "fsdp.yaml"
    file.write_text(f"distributed_type: FSDP\nnum_processes: 2\n{options}")
    assert read_launch(str(file), None) == Sharding(2, 3, fsdp=True)


@pytest.mark.parametrize(
    ("config", "stage"),
    [
        ("{}", 2),
        ("{gradient_clipping: 1.0}", 2),
        ("{zero_stage: 0}", 0),
        ("{deepspeed_config_file: three.json}", 3),
        ("{deepspeed_config_file: none.json, zero_stage: 3}", 0),
    ],
)
def test_the_stage_of_deepspeed_is_what_accelerate_uses(tmp_path, monkeypatch, config, stage):
    monkeypatch.chdir(tmp_path)
    Path("three.json").write_text('{"zero_optimization": {"stage": 3}}')
    Path("none.json").write_text("{}")
    Path("launch.yaml").write_text(f"distributed_type: DEEPSPEED\ndeepspeed_config: {config}\n")
    assert read_launch("launch.yaml", None) == Sharding(1, stage)
    Path("broken.json").write_text('{"zero_optimization": {"stage": "auto"}}')
    Path("launch.yaml").write_text("deepspeed_config: {deepspeed_config_file: broken.json}\n")
    with pytest.raises(InvalidSetting, match=r"zero_optimization.stage in broken.json, named by the launch .* 'auto'"):
        read_launch("launch.yaml", None)
    Path("launch.yaml").write_text("deepspeed_config: {deepspeed_config_file: missing.json}\n")
    with pytest.raises(InvalidSetting, match=r"cannot read missing.json"):
        read_launch("launch.yaml", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fsdp_config: {fsdp_sharding_strategy: SOME}", "fsdp_sharding_strategy in .* must be one of FULL_SHARD"),
        ("- a\n- b\n", "must hold 'name: value' lines"),
        ("just text\n", "must hold 'name: value' lines"),
        ("num_processes: many\n", "num_processes in .* must be an integer, got 'many'"),
        ("deepspeed_config: zero3\n", "deepspeed_config of .* must hold"),
        ("deepspeed_config: {zero_stage: three}\n", "zero_stage in .* must be an integer, got 'three'"),
        (b"\xff\xfe\x00", "cannot read the settings file"),
    ],
)
def test_a_launch_file_that_is_none_of_accelerates_is_refused(tmp_path, text, words):
    file = tmp_path / "launch.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidSetting, match=words):
        read_launch(str(file), None)
    file.write_text("")
    assert read_launch(str(file), None) == Sharding(1, 0)


@pytest.mark.parametrize("devices", [0, -1])
def test_no_device_is_refused(devices):
    with pytest.raises(InvalidSetting, match=f"at least one device, got {devices}"):
        read_launch("ddp", devices)


@pytest.mark.parametrize("gib", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_devices_memory_is_a_number(small_model, gib):
    with pytest.raises(InvalidSetting, match="finite number of GiB > 0"):
        plan_grpo(practice(str(small_model)), memory_gib=gib)


@pytest.mark.parametrize("name", ["vllm_max_model_length", "vllm_gpu_memory_utilization"])
def test_vllms_options_are_numbers(seven, name):
    with pytest.raises(InvalidSetting, match=rf"trainer\.{name} must be .* got 'abc'"):
        plan_grpo(practice(seven, lora={"rank": 32}, vllm=True, trainer={name: "abc"}), memory_gib=80)


@pytest.mark.parametrize("reward", ["nope", {"acuracy": 1}, {}, "broken.yaml"])
def test_a_reward_that_cannot_be_made_is_refused_by_the_plan_and_before_the_model_is_loaded(
    small_model, tmp_path, monkeypatch, reward
):
    if reward == "broken.yaml":
        reward = str(tmp_path / reward)
        (tmp_path / "broken.yaml").write_text("accuracy: {weight: much}\n")
    loaded = []
    monkeypatch.setattr("vzgym.agents.training.grpo.open_model", lambda *args, **options: loaded.append(args))
    settings = practice(str(small_model), reward=reward, out=str(tmp_path / "out"))
    for refuse in (lambda: plan_grpo(settings, memory_gib=8), lambda: train_grpo(settings)):
        with pytest.raises((InvalidSetting, UnknownName)):
            refuse()
    assert not loaded


def test_options_that_trl_does_not_have_are_refused_by_the_plan_and_the_run(small_model, trajectories, tmp_path):
    common = {"model": str(small_model), "out": str(tmp_path / "out"), "trainer": {"vllm_mod": "server"}}
    sft = SFTSettings(data=str(trajectories), **common)
    grpo = GRPOSettings(tasks="needle-micro/train", **common)
    for refuse, words in (
        (lambda: plan_sft(sft, memory_gib=8), "SFTSettings.trainer: TRL's SFTConfig has no option 'vllm_mod'"),
        (lambda: train_sft(sft), "SFTSettings.trainer: TRL's SFTConfig has no option 'vllm_mod'"),
        (lambda: plan_grpo(grpo, memory_gib=8), "GRPOConfig has no option 'vllm_mod'; did you mean 'vllm_mode'"),
        (lambda: train_grpo(grpo), "GRPOConfig has no option 'vllm_mod'; did you mean 'vllm_mode'"),
    ):
        with pytest.raises(InvalidSetting, match=re.escape(words)):
            refuse()


@pytest.mark.parametrize("name", ["paper", "single-gpu", "multi-gpu"])
def test_presets_are_complete_and_trls_own_options_take_them(name, tmp_path):
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

    assert name in preset_names()
    grpo, sft = (load_settings(cls, name, None, {"out": str(tmp_path)}) for cls in (GRPOSettings, SFTSettings))
    assert set(grpo.trainer) <= set(GRPOConfig.__dataclass_fields__)
    assert set(sft.trainer) <= set(SFTConfig.__dataclass_fields__)
    assert isinstance(getattr(torch, grpo.model_options["dtype"]), torch.dtype)


def test_the_papers_numbers():
    grpo, sft = load_settings(GRPOSettings, "paper"), load_settings(SFTSettings, "paper")
    assert (grpo.epsilon, grpo.epsilon_high, grpo.beta, grpo.learning_rate) == (0.2, 0.27, 1e-3, 1e-6)
    assert (grpo.groups, grpo.group_size, grpo.updates, grpo.reward) == (128, 16, 4, "videozoomer")
    assert grpo.trainer["entropy_coef"] == 1e-3
    assert (sft.learning_rate, sft.epochs, sft.freeze_vision) == (5e-6, 1, True)
    # On the paper's 16 GPUs.
    assert 16 * sft.batch_size * sft.accumulation == 64
