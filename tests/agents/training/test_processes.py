"""Runs over several processes: what is refused, and two real processes on the CPU."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vzgym.agents.training.episode_trainer import _SparseClient
from vzgym.agents.training.grpo import train_grpo
from vzgym.agents.training.memory import Sharding
from vzgym.agents.training.plan import launch_file, plan_grpo
from vzgym.agents.training.processes import check_launch, check_packages, missing_packages, running, unmet_requirements
from vzgym.agents.training.settings import GRPOSettings, SFTSettings
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.episode import EpisodeRecord

GROUPS, GROUP_SIZE, STEPS = 2, 4, 2


def settings(**more):
    values = {"tasks": "needle-micro/train", "groups": GROUPS, "group_size": GROUP_SIZE, "turn_tokens": 8}
    return GRPOSettings(**{**values, **more})


# Refusals -----------------------------------------------------------------------------------------------------------


def test_the_launcher_tells_how_a_run_is_distributed(monkeypatch, tmp_path):
    names = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_CONFIG_FILE", "ACCELERATE_USE_FSDP", "WORLD_SIZE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert running() == Sharding(1)
    monkeypatch.setenv("WORLD_SIZE", "7")
    assert running() == Sharding(7)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert running() == Sharding(7, 3, "bf16")
    monkeypatch.delenv("ACCELERATE_DEEPSPEED_ZERO_STAGE")
    assert running() == Sharding(7, 2, "bf16")
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 3}}')
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(tmp_path / "ds.json"))
    assert running() == Sharding(7, 3, "bf16")
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv("FSDP_RESHARD_AFTER_FORWARD", "false")
    assert running() == Sharding(7, 2, "bf16", fsdp=True)
    monkeypatch.setenv("FSDP_VERSION", "1")
    monkeypatch.setenv("FSDP_SHARDING_STRATEGY", "NO_SHARD")
    assert running() == Sharding(7, 0, "bf16", fsdp=True)


@pytest.mark.parametrize(
    ("run", "sharding", "words"),
    [
        (SFTSettings(), Sharding(8, 2, "bf16"), r"SFTSettings\.bf16 is false, but the launch configuration has"),
        (settings(bf16=True, lora={"rank": 4}), Sharding(8, 3, "bf16"), r"lora\.rank is 4 under DeepSpeed ZeRO-3"),
        (settings(lora={"rank": 4}), Sharding(8, 3, fsdp=True), r"lora\.rank is 4 under FSDP, where no process holds"),
        (settings(lora={"rank": 4}), Sharding(8, 2, fsdp=True), r"lora\.rank is 4 under FSDP, where no process holds"),
        (settings(vllm=True, trainer={"vllm_tensor_parallel_size": 2}), Sharding(8), "tensor_parallel_size is 2: eng"),
    ],
)
def test_launches_that_cannot_work_are_refused(run, sharding, words):
    with pytest.raises(InvalidSetting, match=words):
        check_launch(run, sharding)


def test_launches_that_work_are_not(tmp_path):
    check_launch(settings(bf16=True), Sharding(8, 3, "bf16"))
    check_launch(settings(), Sharding(8, 0, "bf16"))
    check_launch(settings(lora={"rank": 4}), Sharding(8, 0, fsdp=True))
    server = {"vllm_mode": "server", "vllm_tensor_parallel_size": 2}
    check_launch(settings(model=str(tmp_path), vllm=True, trainer=server), Sharding(8))
    (tmp_path / "adapter_config.json").write_text("{}")
    check_launch(settings(model=str(tmp_path)), Sharding(8, 2))
    with pytest.raises(InvalidSetting, match=r"a folder of adapters .* into which no process could merge them under"):
        check_launch(settings(model=str(tmp_path)), Sharding(8, 3))
    with pytest.raises(InvalidSetting, match="into which no process could merge them under FSDP"):
        check_launch(settings(model=str(tmp_path)), Sharding(8, 2, fsdp=True))
    with pytest.raises(InvalidSetting, match="a folder of adapters without the model's own weights, which vLLM"):
        check_launch(settings(model=str(tmp_path), vllm=True), Sharding(8))


@pytest.mark.parametrize("reward", ["quality_first", "difficulty", "curiosity"])
def test_a_group_is_not_split_where_its_rollouts_are_compared(small_model, tmp_path, monkeypatch, reward):
    run = settings(model=str(small_model), out=str(tmp_path), groups=1, reward={"accuracy": 1.0, reward: 0.2})
    words = f"plays 2 roll-outs .* groups of 4 are split over processes, but {reward} compares"
    with pytest.raises(InvalidSetting, match=words):
        plan_grpo(run, Sharding(2), 8)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidSetting, match=words):
        train_grpo(run)
    plan_grpo(run.model_copy(update={"reward": {"accuracy": 1.0}}), Sharding(2), 8)
    plan_grpo(run.model_copy(update={"groups": 2}), Sharding(2), 8)


def test_missing_packages_are_named_before_a_model_is_loaded(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing_packages(settings(), Sharding(2)) == []
    run = settings(model=str(small_model), out=str(tmp_path), vllm=True, trainer={"use_cpu": True})
    with pytest.raises(DependencyNotInstalled, match=r'vllm is not installed: pip install .*"vzgym\[llm,gpu\]"'):
        check_packages(run, Sharding())
    for refuse in (lambda: train_grpo(run), lambda: plan_grpo(run)):
        with pytest.raises(DependencyNotInstalled, match="vllm is true, but vllm is not installed"):
            refuse()
    # A plan for another machine tells what that one needs.
    plan = plan_grpo(run, Sharding(2, 2), 16)
    assert [text.split(":")[0] for text in plan.missing] == [
        "vllm is true, but vllm is not installed",
        "the launch configuration has ZeRO stage 2, but deepspeed is not installed",
    ]


def test_releases_that_do_not_fit_are_named(monkeypatch):
    releases = {"torch": "2.13.0+cpu", "transformers": "5.23.0"}
    wants = ["transformers<5.18,>=5.0", "torch==2.13.0", "numpy<1", 'torch==1.0; extra == "old"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: wants)
    monkeypatch.setattr("importlib.metadata.version", releases.__getitem__)
    (fault,) = unmet_requirements("vllm")
    assert fault in ("transformers<5.18,>=5.0 (5.23.0 is installed)", "transformers>=5.0,<5.18 (5.23.0 is installed)")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(DependencyNotInstalled, match="vllm does not fit what is installed: it needs transformers"):
        check_packages(settings(vllm=True), Sharding())


def test_a_server_is_not_asked_about_empty_prompts():
    class Client:
        base_url = "http://here"

        def generate(self, prompts, features=None, n=1, **rest):
            self.asked = (prompts, features, rest)
            rows = [[sum(prompt)] for prompt in prompts for _ in range(n)]
            return {"prompt_ids": prompts, "completion_ids": rows, "logprobs": None}

    client = Client()
    sparse = _SparseClient(client)
    assert sparse.base_url == "http://here"
    made = sparse.generate(prompts=[[1, 2], [], [3], []], features=["a", None, "b", None], n=1, max_tokens=5)
    assert client.asked == ([[1, 2], [3]], ["a", "b"], {"max_tokens": 5})
    assert made == {"prompt_ids": [[1, 2], [], [3], []], "completion_ids": [[3], [], [3], []], "logprobs": None}
    assert sparse.generate(prompts=[[1], [2]], n=2)["completion_ids"] == [[1], [1], [2], [2]]


# Two processes ------------------------------------------------------------------------------------------------------


RUN = {"tasks": "needle-micro/train", "groups": GROUPS, "group_size": GROUP_SIZE, "steps": STEPS, "log_steps": 1}
RUN |= {
    "turn_tokens": 8,
    "trainer": {"use_cpu": True, "ddp_timeout": 120},
    "reward": {"accuracy": 1.0, "format": 0.5, "curiosity": 0.2},
}


def spread(program: list[str], model: Path, out: Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Train with GRPO in the processes of a launcher."""
    command = [*program, "train", "grpo", "--model", str(model), "--out", str(out)]
    for name, value in (RUN | more).items():
        command += ["--set", f"{name}={json.dumps(value)}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)


def launcher(name: str) -> list[str]:
    """The start of a command of docs/how-to/scale.md, up to the module that it runs."""
    page = Path(__file__).parents[3] / "docs" / "how-to" / "scale.md"
    (command,) = re.findall(rf"^\S+=\S+ {name} .*", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = shlex.split(command.partition(" -m vzgym ")[0])
    return ["env", words[0], str(Path(sys.executable).with_name(words[1])), *words[2:]]


@pytest.fixture(scope="module")
def spread_run(small_model, tmp_path_factory):
    """A run of two steps in two processes, of which the second's roll-outs end in their first turn."""
    out = tmp_path_factory.mktemp("spread") / "run"
    done = spread([*launcher("torchrun"), str(Path(__file__).with_name("in_step.py"))], small_model, out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out, done.stdout + done.stderr


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_processes_stay_in_step_though_their_rollouts_differ_in_length(spread_run):
    first, second = (json.loads((spread_run[0] / f"turns-{rank}.json").read_text()) for rank in (0, 1))
    assert len(first) == len(second) > STEPS
    # Each process begins its half of the roll-outs; those of the second end, and it only keeps up.
    half = GROUPS * GROUP_SIZE // 2
    assert first.count(half) >= STEPS
    assert sorted(set(second)) == [1, half]
    assert second.count(half) == STEPS


def test_processes_save_each_rollout_once_with_a_number_of_its_own(spread_run):
    lines = [EpisodeRecord.from_line(line) for line in (spread_run[0] / "rollouts.jsonl").read_text().splitlines()]
    assert len(lines) == STEPS * GROUPS * GROUP_SIZE
    for step in range(STEPS):
        played = sorted((line for line in lines if line.info.step == step), key=lambda line: line.info.rollout or 0)
        assert [line.info.rollout for line in played] == list(range(GROUPS * GROUP_SIZE))
        groups = [played[place : place + GROUP_SIZE] for place in range(0, len(played), GROUP_SIZE)]
        assert [len({line.task.id for line in group}) for group in groups] == [1] * GROUPS
        assert len({group[0].task.id for group in groups}) == GROUPS
        logged = next(line for line in log(spread_run[0]) if line["step"] == step + 1)
        rounds = sum(len(line.turns) for line in played) / len(played)
        assert logged["episode/rounds"] == pytest.approx(rounds)


def test_processes_write_one_model_and_speak_with_one_voice(spread_run):
    out, said = spread_run
    assert [line["step"] for line in log(out) if "loss" in line] == [1, 2]
    assert json.loads((out / "training.json").read_text())["steps"] == STEPS
    open_checkpoint(out)
    for message in ("step 1/2", "step 2/2", "Trained model:", "Next:"):
        assert said.count(message) == 1, said


def test_processes_draw_the_same_number_of_further_batches(small_model, tmp_path):
    """Each replaces its own groups; a process whose groups all have a signal plays on with the other."""
    out = tmp_path / "run"
    told = {"groups": 4, "group_size": 2, "steps": 1, "dynamic_sampling": 2, "reward": {"accuracy": 1.0, "format": 1.0}}
    done = spread([*launcher("torchrun"), "-m", "vzgym"], small_model, out, **told)
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in log(out) if "loss" in line)
    played = [EpisodeRecord.from_line(text) for text in (out / "rollouts.jsonl").read_text().splitlines()]
    # An untrained model has no reward, so that nothing is found before the limit.
    assert line["dynamic_sampling/flat_before"] > 0
    assert line["dynamic_sampling/rollouts"] == line["dynamic_sampling/batches"] * 8 == len(played) > 8
    assert sorted(record.info.rollout or 0 for record in played) == list(range(len(played)))
    assert sum(not record.info.discarded for record in played) == 8
    assert len({record.task.id for record in played}) == len(played) // 2


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_sharded_weights_give_the_loss_of_whole_ones(fluent_model, tmp_path, stage):
    pytest.importorskip("deepspeed", reason='needs DeepSpeed: pip install "vzgym[gpu]"')
    accelerate = [str(launch_file(stage)) if word == "zero3.yaml" else word for word in launcher("accelerate")]
    programs = {"ddp": [*launcher("torchrun"), "-m", "vzgym"], stage: [*accelerate, "-m", "vzgym"]}
    losses = {}
    for name, program in programs.items():
        out = tmp_path / name
        told = {"tasks": "needle-micro/test", "num_tasks": 4, "turn_tokens": 24, "save_steps": 1}
        done = spread(program, fluent_model, out, bf16=name != "ddp", **told)
        assert done.returncode == 0, done.stderr[-3000:]
        losses[name] = next(line["loss"] for line in log(out) if "loss" in line)
        open_checkpoint(out)
    # The optimizer's state is DeepSpeed's.
    assert list((tmp_path / stage).glob("checkpoint-1/global_step*"))
    assert losses["ddp"] != 0
    assert losses[stage] == pytest.approx(losses["ddp"], rel=1e-3)
