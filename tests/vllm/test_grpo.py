"""GRPO whose turns a vLLM engine generates: in the trainer's process, and on a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from trl.generation import vllm_generation
from vllm import LLM

from vzgym.agents.training.grpo import make_trainer
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.vlm.chat import suppressed_tokens
from vzgym.agents.vlm.image_checks import image_token
from vzgym.episode import EpisodeRecord

GROUPS, GROUP_SIZE = 2, 4
COLOCATED = 4
"""Steps of the run with the engine in this process."""
RUN = {
    "tasks": "needle-micro/test",
    "num_tasks": 8,
    "reward": {"accuracy": 1.0, "format": 0.1, "curiosity": 0.2},
    "learning_rate": 1e-3,
    "steps": 1,
    "groups": GROUPS,
    "group_size": GROUP_SIZE,
    "turn_tokens": 24,
    "log_steps": 1,
    "vllm": True,
}


def log(out):
    return [line for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "loss" in line]


@pytest.fixture(scope="module")
def colocated(model, engine_environment, free_port, tmp_path_factory):
    """A run with the engine in this process: its folder, and the trainer's batches."""
    out = tmp_path_factory.mktemp("colocate") / "run"
    engine = {"use_cpu": True, "vllm_mode": "colocate", "vllm_max_model_length": 512}
    engine |= {"vllm_gpu_memory_utilization": 0.2}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engine_environment.items():
            patch.setenv(name, value)
        # The trainer sets these for the engine; they are taken back at the end.
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            patch.delenv(name, raising=False)
        patch.setenv("MASTER_PORT", str(free_port()))
        # As the server: no compilation, which takes minutes, and weights that are not rounded.
        patch.setattr(vllm_generation, "LLM", partial(LLM, enforce_eager=True, dtype="float32"))
        # With oneDNN's layers, which newer CPUs get, the engine drops the weights that a trainer would replace.
        patch.setattr("vllm._custom_ops._supports_onednn", False)
        trainer, start = make_trainer(
            GRPOSettings(model=str(model), out=str(out), trainer=engine, **(RUN | {"steps": COLOCATED}))
        )
        batches, score = [], trainer._generate_and_score_completions

        def watch(inputs):
            batches.append(score(inputs))
            return batches[-1]

        trainer._generate_and_score_completions = watch
        trainer.train()
    return out, batches, start.processor


def test_an_engine_in_the_trainer_plays_and_trains(colocated):
    out, batches, _ = colocated
    lines = log(out)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    records = [EpisodeRecord.from_line(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]
    assert len(records) == COLOCATED * GROUPS * GROUP_SIZE
    assert sum(record.zooms for record in records) >= 4
    # The engine has the trained weights, those of the vision tower included, whose features of images it keeps: without
    # being told to drop them, it was 0.1 off. A rest is left, since it leaves out the suppressed tokens.
    assert any(line["grad_norm"] > 0 for line in lines[:-1])
    assert all(line["sampling/sampling_logp_difference/mean"] < 0.01 for line in lines), lines
    assert len(batches) == COLOCATED


def test_pictures_of_tools_have_their_tokens_in_the_engines_turns(colocated):
    _, batches, processor = colocated
    image, merged = image_token(processor), processor.image_processor.merge_size**2
    banned = torch.tensor(suppressed_tokens(processor))
    for batch in batches:
        shown = int((batch["completion_ids"] == image).sum())
        assert shown > 0
        pads = int((batch["prompt_ids"] == image).sum()) + shown
        assert pads == int(batch["image_grid_thw"].prod(-1).sum()) // merged
        own = batch["completion_ids"][(batch["completion_mask"] * batch["tool_mask"]).bool()]
        assert not torch.isin(own, banned).any()


@pytest.mark.parametrize(("devices", "further"), [(1, 0), (2, 0), (1, 2)])
def test_turns_of_a_server_are_those_of_the_model(model, server, engine_environment, tmp_path, devices, further):
    out = tmp_path / "run"
    settings = RUN | {"trainer": {"use_cpu": True, "vllm_mode": "server", "vllm_server_base_url": server}}
    # Answers from memory are all right: without dynamic sampling there would be nothing to learn from.
    settings |= {"dynamic_sampling": further, "reward": {"accuracy": 1.0}} if further else {}
    # Of sampled turns; the importance ratio is then that of the same model.
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(devices), "--standalone"]
    command += [str(Path(__file__).with_name("through_server.py")), "train", "grpo", "--model", str(model)]
    for name, value in settings.items():
        command += ["--set", f"{name}={json.dumps(value)}"]
    environment = {**os.environ, **engine_environment}
    done = subprocess.run([*command, "--out", str(out)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = log(out)
    # A server draws other turns each time. Rare ones have a rest: the engine leaves out the suppressed tokens.
    assert line["sampling/sampling_logp_difference/mean"] < 1e-3, line
    assert line["sampling/sampling_logp_difference/max"] < 0.02, line
    records = [EpisodeRecord.from_line(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]
    batches = int(line["dynamic_sampling/batches"]) if further else 1
    assert batches > 1 or not further
    assert sorted(record.info.rollout or 0 for record in records) == list(range(batches * GROUPS * GROUP_SIZE))
    assert sum(not record.info.discarded for record in records) == GROUPS * GROUP_SIZE
    assert sum(record.zooms for record in records) >= 2
