"""Train in two processes on the CPU under each launch configuration, and compare the first losses.

    python -m benchmarks.processes --model runs/sft --data runs/data          SFT and GRPO: DDP, ZeRO 2 and 3, LoRA
    python -m benchmarks.processes --model runs/sft --only grpo-zero3         one run

Each row is a run of `vzgym train` of a few steps: its losses, its roll-outs and the distinct numbers among them in each
step, and whether it continued from its checkpoint after its last step had been undone. DeepSpeed compiles its operators
once, which needs a C++ compiler and takes a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from vzgym.agents.training.plan import launch_file

PROCESSES = 2
GRPO = {"tasks": "needle-micro/train", "groups": 8, "group_size": 8, "turn_tokens": 20, "freeze_vision": True}
GRPO |= {"learning_rate": 4e-4, "steps": 2, "reward": {"accuracy": 1.0, "format": 0.2, "conditional_tool": 0.5}}
SFT = {"batch_size": 16, "max_steps": 2, "learning_rate": 1e-4}
LORA = {"lora": {"rank": 8}}


def runs(model: str, data: str) -> dict[str, tuple[str, str | None, dict[str, Any]]]:
    """By name: the stage, the launch configuration (None: torchrun; "": one process), the settings."""
    grpo, sft = {"model": model, **GRPO}, {"model": model, "data": data, **SFT}
    found: dict[str, tuple[str, str | None, dict[str, Any]]] = {
        "grpo-1-process": ("grpo", "", grpo),
        "grpo-ddp": ("grpo", None, grpo),
        # The weights that DeepSpeed samples with under bf16, so that the first losses are comparable.
        "grpo-ddp-bf16": ("grpo", None, grpo | {"bf16": True, "model_options": {"dtype": "bfloat16"}}),
        "grpo-zero2": ("grpo", "zero2", grpo),
        "grpo-zero2-lora": ("grpo", "zero2", grpo | LORA),
        "grpo-zero3": ("grpo", "zero3", grpo),
    }
    if data:
        found |= {"sft-1-process": ("sft", "", sft | {"batch_size": 32})}
        found |= {f"sft-{launch or 'ddp'}": ("sft", launch, sft) for launch in (None, "zero2", "zero3")}
    return found


def train(stage: str, launch: str | None, settings: dict[str, Any]) -> None:
    """Run `vzgym train`.

    Raises:
        CalledProcessError: If it fails; its output is printed.
    """
    program = [sys.executable, "-m", "vzgym"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    if launch is None:
        program[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(PROCESSES)]
    elif launch:
        program[1:1] = ["-m", "accelerate.commands.launch", "--config_file", str(launch_file(launch))]
        program[5:5] = ["--num_processes", str(PROCESSES)]
        settings = settings | {"bf16": True}
    if not launch:
        environment["ACCELERATE_USE_CPU"] = "true"
    values = settings | {"trainer": {"use_cpu": True}, "log_steps": 1, "save_steps": 1, "save_limit": 9}
    command = [*program, "train", stage, *(f"--set={name}={json.dumps(value)}" for name, value in values.items())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def measure(stage: str, launch: str | None, settings: dict[str, Any], out: Path) -> dict[str, Any]:
    """Train, take the last step back, and resume."""
    train(stage, launch, settings | {"out": str(out)})
    losses = [line["loss"] for line in lines(out / "log.jsonl") if "loss" in line]
    played = lines(out / "rollouts.jsonl")
    numbers = [
        {line["info"]["rollout"] for line in played if line["info"]["step"] == step} for step in range(len(losses))
    ]
    shutil.rmtree(out / f"checkpoint-{len(losses)}")
    train(stage, launch, settings | {"out": str(out), "resume": True})
    again = [line["loss"] for line in lines(out / "log.jsonl") if "loss" in line]
    return {
        "losses": [round(loss, 5) for loss in losses],
        "rollouts": len(played),
        "numbers": [len(step) for step in numbers] if played else [],
        "resumed": len(again) == len(losses) and again[:-1] == losses[:-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder of `vzgym train sft`")
    parser.add_argument("--data", default="", help="a folder of `vzgym collect`, for the runs of SFT")
    parser.add_argument("--only", action="append", default=[], help="the name of a run; repeatable")
    parser.add_argument("--json", type=Path, help="write the rows into this file")
    arguments = parser.parse_args()
    found = runs(arguments.model, arguments.data)
    rows = {}
    for name in arguments.only or found:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = measure(*found[name], Path(folder) / "run")
        print(name, json.dumps(rows[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
