"""The measurement for GPUs, on the CPU: a real family through SFT and GRPO with native tool calls and adapters."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "train.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so_and_ends_well(script, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    script.main([])
    assert "No CUDA device was found: nothing was measured." in capsys.readouterr().out


def test_the_path_works_at_small_size(script, tmp_path):
    script.main(
        "--device cpu --size tiny --family qwen2_5_vl --protocol tool_calls --lora 4 --tasks needle-tiny/train "
        f"--steps 1 --overview 3 --clip 2 --pixels 1024 --rollouts 2 --batch 1 --out {tmp_path}".split()
    )
    table = (tmp_path / "table.md").read_text()
    assert "| GRPO: roll-outs a step, zooms of each | 2, 2.00 |" in table
    played = [json.loads(line) for line in (tmp_path / "grpo" / "rollouts.jsonl").read_text().splitlines()]
    assert all("<tool_call>" in record["turns"][0]["text"] for record in played)
    saved = json.loads((tmp_path / "sft" / "training.json").read_text())
    assert (saved["steps"], saved["settings"]["lora"]["rank"]) == (1, 4)
    assert json.loads((tmp_path / "sft" / "vzgym.json").read_text())["protocol"]["name"] == "tool_calls"
