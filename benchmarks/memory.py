"""Compare the memory estimate of training runs with what they take on a CPU, and print a Markdown table.

    python benchmarks/memory.py                    # every case, one after the other: half an hour on one core
    python benchmarks/memory.py tiny-sft tiny-grpo # these cases

Models are built from configurations with random weights. Each case runs a step or two in a process of its own: measured
is the largest resident memory during the steps, beyond that of the process before it opened the model (so without
Python, torch and the data). Freed blocks go back to the system at once (glibc's `MALLOC_MMAP_THRESHOLD_`): by default
its heap keeps some, a gibibyte for a model of 0.6 billion weights (`--keep-freed` measures that). The estimate is that
of `vzgym train --dry-run`, without its constant for a GPU's context. No case takes more than 8 GiB.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from vzgym.agents.training.memory import GIB
from vzgym.testing.models import SIZES, ModelSize, build_checkpoint

SMALL = ModelSize(
    width=512, layers=12, heads=8, kv_heads=2, inner=2048, vision_width=384, vision_layers=6, vision_heads=6,
    vision_inner=1536, positions=32_768, vocabulary=64_000,
)  # fmt: skip
"""About 0.09 billion weights as a Qwen3-VL."""


@dataclass(frozen=True)
class Case:
    """A run to measure.

    Attributes:
        family: Of `vzgym.testing.models`.
        size: The model's size.
        stage: "sft" or "grpo".
        lora: Rank of the adapters; 0: all weights.
        frozen: Whether the vision tower is frozen.
        checkpointing: Whether gradient checkpointing is used.
        bf16: Whether it is trained in mixed precision.
        batch: Dialogues in a backward pass.
        overview: Frames of the overview.
        pixels: Most pixels of a frame.
        steps: Optimizer steps; the first makes AdamW's averages, so full weights take two.
    """

    family: str = "qwen3_vl"
    size: ModelSize = SMALL
    stage: str = "sft"
    lora: int = 0
    frozen: bool = True
    checkpointing: bool = False
    bf16: bool = False
    batch: int = 2
    overview: int = 8
    pixels: int = 28 * 28 * 16
    steps: int = 2


TINY: dict[str, Any] = {"size": SIZES["tiny"], "pixels": 28 * 28 * 4}
MIDDLE: dict[str, Any] = {
    "size": SIZES["mid"], "lora": 16, "checkpointing": True, "batch": 1, "overview": 4, "pixels": 28 * 28 * 4,
    "steps": 1,
}  # fmt: skip
CASES = {
    "tiny-sft": Case(**TINY, batch=8),
    "tiny-grpo": Case(**TINY, stage="grpo", batch=4),
    "small-sft": Case(),
    "small-sft-vision": Case(frozen=False),
    "small-sft-bf16": Case(bf16=True),
    "small-sft-checkpointed": Case(checkpointing=True),
    "small-sft-lora": Case(lora=16),
    "small-grpo": Case(stage="grpo"),
    "mid-sft-lora": Case(**MIDDLE),
    "mid-sft-lora-qwen2.5": Case(family="qwen2_5_vl", **MIDDLE),
    "mid-grpo-lora": Case(stage="grpo", **{**MIDDLE, "batch": 2}),
}  # fmt: skip
"""The cases by name."""


def status(name: str) -> int:
    """An entry of this process's memory in bytes, as Linux counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def settle() -> None:
    """Return freed memory to the system, and forget the peak so far."""
    import gc

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def run(case: Case, model: Path, out: Path) -> dict[str, Any]:
    """Train; the estimate and the peak."""
    import torch
    import trl.trainer.sft_trainer  # noqa: F401 - a part of the program, not of the run

    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings
    from vzgym.agents.training import episode_trainer, grpo, sft  # noqa: F401
    from vzgym.agents.training.plan import plan_grpo, plan_sft
    from vzgym.agents.training.settings import GRPOSettings, LoraSettings, SFTSettings

    torch.set_num_threads(1)
    budget = {"overview_fps": 1.0, "overview_frames": case.overview, "clip_frames": 4, "max_zooms": 1,
              "max_pixels": case.pixels, "min_pixels": 784}  # fmt: skip
    common: dict[str, Any] = {
        "model": str(model), "out": str(out / "run"), "protocol": "tags", "batch_size": case.batch,
        "freeze_vision": case.frozen, "gradient_checkpointing": case.checkpointing, "bf16": case.bf16,
        "lora": LoraSettings(rank=case.lora, alpha=max(1, 2 * case.lora)), "trainer": {"use_cpu": True},
    }  # fmt: skip
    if case.stage == "sft":
        data = out / "data"
        mix = {"exemplar": 1.0}
        collect(CollectSettings(tasks="needle/train", episodes=8, mix=mix, budget=budget, filters=()), data)
        imitation = SFTSettings(**common, data=str(data), max_steps=case.steps)
        plan, make = plan_sft(imitation), partial(sft.make_trainer, imitation)
    else:
        practice = GRPOSettings(**common, tasks="needle/train", budget=budget, steps=case.steps, groups=1,
                                group_size=max(2, case.batch), turn_tokens=8)  # fmt: skip
        plan, make = plan_grpo(practice), partial(grpo.make_trainer, practice)
    settle()
    before = status("VmRSS")
    trainer, _ = make()
    settle()
    trainer.train()
    peak = status("VmHWM") - before
    tokens = {what: count for what, count, _ in plan.tokens}
    return {
        "weights": plan.facts.weights,
        "trained": plan.facts.trained(case.frozen),
        "tokens": tokens.get("longest trajectory", tokens.get("longest dialogue")),
        "measured": peak,
        "parts": {name: size for name, size in plan.memory.parts.items() if name != "rest"},
    }


def measure(name: str, folder: Path, *, keep_freed: bool = False) -> dict[str, Any]:
    """Measure a case in a process of its own."""
    case = CASES[name]
    allocator = {} if keep_freed else {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    model = folder / f"{case.family}-{case.size.width}"
    for step in ("--build", "--run"):
        command = [sys.executable, __file__, name, step, str(model), "--out", str(folder / name)]
        if step == "--build" and model.is_dir():
            continue
        done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **allocator})
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"default: all of {', '.join(CASES)}")
    parser.add_argument("--parts", action="store_true", help="print the parts of each estimate too")
    parser.add_argument("--keep-freed", action="store_true", help="let the C library's heap keep freed blocks")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.cases or list(CASES)
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    case = CASES[names[0]]
    if options.build:
        build_checkpoint(case.family, options.build, replace(case.size))
        return
    if options.run:
        print(json.dumps(run(case, options.run, options.out)))
        return
    print(f"Python {platform.python_version()}, {platform.machine()}, one core.\n")
    print("| case | weights | trained | tokens a dialogue | measured, GiB | estimated, GiB | error |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            found = measure(name, Path(folder), keep_freed=options.keep_freed)
            estimated, measured = sum(found["parts"].values()), found["measured"]
            print(
                f"| {name} | {found['weights'] / 1e6:.1f} M | {found['trained'] / 1e6:.1f} M | {found['tokens']} | "
                f"{measured / GIB:.2f} | {estimated / GIB:.2f} | {estimated / measured - 1:+.0%} |",
                flush=True,
            )
            if options.parts:
                print("    " + ", ".join(f"{part} {size / GIB:.3f}" for part, size in found["parts"].items()))


if __name__ == "__main__":
    main()
