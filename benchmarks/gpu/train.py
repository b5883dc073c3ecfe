"""Measure SFT and GRPO on a GPU, with a Qwen-VL of real size and random weights. Nothing is downloaded.

    python benchmarks/gpu/train.py             # 0.6 billion weights, bfloat16, the first CUDA device
    python benchmarks/gpu/train.py --size large         # 2.0 billion
    python benchmarks/gpu/train.py --device cpu --size tiny   # the same path, in a minute, without a GPU

First, loss and gradient of a small model on the device in bfloat16 are compared with the CPU's in float32. Then SFT and
GRPO steps run through the package's trainers, and their cost is printed as a Markdown table. Random weights produce no
valid turns, so the turns of the roll-outs are scripted (two zooms, an answer); the model still computes every token.
Without a CUDA device the script prints a message and exits with status 0.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from transformers import LogitsProcessor, LogitsProcessorList, TrainerCallback

from vzgym.agents.data.dataset import collect, load_trajectories
from vzgym.agents.data.phrases import compose
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.training.grpo import make_trainer
from vzgym.agents.training.memory import GIB, model_facts
from vzgym.agents.training.plan import plan_grpo, plan_sft
from vzgym.agents.training.settings import GRPOSettings, LoraSettings, SFTSettings
from vzgym.agents.training.sft import TrajectoryCollator, train_sft
from vzgym.agents.training.tool_environment import ToolEnvironment
from vzgym.agents.vlm.chat import assistant_header, turn_end
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.core.actions import Answer, Zoom
from vzgym.episode import Episode
from vzgym.testing.models import FAMILIES, SIZES, build_checkpoint

TOLERANCE = 0.02
"""Largest relative difference of loss and gradient between bfloat16 (eight bits) and float32."""

ZOOMS = 2


class Clock:
    """Seconds by part."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.parts: dict[str, float] = defaultdict(float)

    def now(self) -> float:
        """Wall seconds after synchronizing the device; on the CPU, processor seconds."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the body's time to a part."""
        began = self.now()
        yield
        self.parts[part] += self.now() - began

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function to count its time."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.measure(part):
                return function(*args, **kwargs)

        return run


class Steps(TrainerCallback):  # type: ignore[misc]
    """Records each optimizer step's duration, and the clock's parts at its end."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds: list[float] = []
        self.parts: list[dict[str, float]] = []
        self._began = 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self._began = self.clock.now()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self.seconds.append(self.clock.now() - self._began)
        self.parts.append(dict(self.clock.parts))
        self.clock.parts.clear()


class Script(LogitsProcessor):  # type: ignore[misc]
    """Forces a model to generate given turns: the n-th text in the n-th turn of a dialogue.

    Args:
        turns: Token ids of each turn, end token included; the last turn is repeated.
        header: Tokens that open a turn.
        prompt: Number of prompt tokens of a row.
    """

    def __init__(self, turns: list[list[int]], header: list[int], prompt: int) -> None:
        self.turns, self.header, self.prompt = turns, header, prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Raise the score of the script's next token far above all others."""
        place = input_ids.shape[1] - self.prompt
        forced = torch.full_like(scores, -1e4)
        for row, ids in enumerate(input_ids[:, : self.prompt].tolist()):
            width = len(self.header)
            begun = sum(ids[i : i + width] == self.header for i in range(len(ids) - width + 1))
            turn = self.turns[min(begun, len(self.turns)) - 1]
            forced[row, turn[min(place, len(turn) - 1)]] = 0.0
        return forced


def follow(start: Any, script: list[str]) -> None:
    """Force a model to generate the script's turns."""
    tokenizer = start.processor.tokenizer
    end, header = turn_end(start.processor), assistant_header(start.processor)
    turns = [[*tokenizer.encode(text, add_special_tokens=False), end] for text in script]
    generate = start.model.generate

    def scripted(*args: Any, **kwargs: Any) -> Any:
        processors = LogitsProcessorList([Script(turns, header, kwargs["input_ids"].shape[1])])
        return generate(*args, **{**kwargs, "logits_processor": processors})

    start.model.generate = scripted


def compare(folder: Path, data: Path, device: str) -> list[tuple[float, float]]:
    """A small model's loss and gradient norm, on the CPU in float32 and on the device in bfloat16."""
    found = []
    for place, dtype in (("cpu", "float32"), (device, "bfloat16")):
        start = open_checkpoint(folder, dtype=getattr(torch, dtype))
        start.model.to(place).eval()
        rows = load_trajectories(data)
        batch = TrajectoryCollator(start.processor, 100_000)([rows[i] for i in range(2)])
        placed = {
            key: value.to(place, start.model.dtype if value.is_floating_point() else value.dtype)
            for key, value in batch.items()
        }
        loss = start.model(**placed).loss
        loss.backward()
        lengths = [float(weight.grad.float().norm()) for weight in start.model.parameters() if weight.grad is not None]
        found.append((float(loss.detach()), math.hypot(*lengths)))
    return list(zip(*found, strict=True))


def peak(device: str) -> float:
    """Peak memory in GiB: of the GPU, or else of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def median(values: list[float]) -> float:
    """The statistic over all steps except the first, which warms up."""
    return statistics.median(values[1:] or values)


def run_sft(options: argparse.Namespace, model: Path, data: Path, out: Path) -> dict[str, str]:
    """Run SFT steps; returns rows of the table."""
    clock = Clock(options.device)
    steps = Steps(clock)
    settings = SFTSettings(
        **common(options, model, out / "sft"),
        data=str(data), max_steps=options.steps, freeze_vision=True, batch_size=options.batch,
    )  # fmt: skip
    planned = plan_sft(settings, memory_gib=10_000).memory.total / GIB
    rows = load_trajectories(data)
    collator = TrajectoryCollator(open_checkpoint(model).processor, 100_000)
    tokens = statistics.mean(len(collator([rows[i]])["input_ids"][0]) for i in range(min(8, len(rows))))
    reset(options.device)
    train_sft(settings, callbacks=[steps])
    seconds = median(steps.seconds)
    return {
        "SFT: seconds a step": f"{seconds:.3f}",
        "SFT: tokens a step": f"{tokens * options.batch:.0f}",
        "SFT: tokens a second": f"{tokens * options.batch / seconds:.0f}",
        "SFT: peak memory, GiB (estimated)": f"{peak(options.device):.2f} ({planned:.2f})",
    }


def run_grpo(options: argparse.Namespace, model: Path, out: Path) -> dict[str, str]:
    """Run GRPO steps; returns rows of the table."""
    clock = Clock(options.device)
    steps = Steps(clock)
    settings = GRPOSettings(
        **common(options, model, out / "grpo"),
        tasks=options.tasks, budget=budget(options), steps=options.steps, groups=1, group_size=options.rollouts,
        batch_size=options.batch, turn_tokens=96, freeze_vision=True,
    )  # fmt: skip
    planned = plan_grpo(settings, memory_gib=10_000).memory.total / GIB
    reset(options.device)
    environment, look = (ToolEnvironment.reset, ToolEnvironment.video_zoom), Episode._look
    trainer, start = make_trainer(settings, [steps])
    zoom = compose(start.protocol, Zoom(0.0, 2.0, options.clip / 2), "look")
    follow(start, [zoom] * ZOOMS + [compose(start.protocol, Answer("A"), "seen")])
    made: list[int] = []
    generate = trainer._generate_single_turn

    def counted(*args: Any, **kwargs: Any) -> Any:
        with clock.measure("generation"):
            found = generate(*args, **kwargs)
        made.append(sum(len(ids) for ids in found[0]))
        return found

    trainer._generate_single_turn = counted
    trainer._generate_and_score_completions = clock.timed("roll-outs", trainer._generate_and_score_completions)
    for name in ("reset", "video_zoom"):
        setattr(ToolEnvironment, name, in_place(clock, "environment", getattr(ToolEnvironment, name)))
    Episode._look = in_place(clock, "decode", look)  # type: ignore[method-assign]
    try:
        trainer.train()
    finally:
        ToolEnvironment.reset, ToolEnvironment.video_zoom = environment  # type: ignore[method-assign]
        Episode._look = look  # type: ignore[method-assign]
    played = [json.loads(line) for line in (out / "grpo" / "rollouts.jsonl").read_text().splitlines()]
    zooms = statistics.mean(sum(turn["outcome"] == "executed" for turn in record["turns"]) for record in played)
    parts = {name: median([found.get(name, 0.0) for found in steps.parts]) for name in steps.parts[0]}
    seconds = median(steps.seconds)
    update = seconds - parts["roll-outs"]
    other = parts["roll-outs"] - parts["generation"] - parts["environment"]
    tokens = sum(made) / options.steps
    return {
        "GRPO: seconds a step": f"{seconds:.3f}",
        "- generation": f"{parts['generation']:.3f}",
        "- environment (of it decoding)": f"{parts['environment']:.3f} ({parts.get('decode', 0.0):.3f})",
        "- update": f"{update:.3f}",
        "- the rest: pictures to patches, old log-probabilities, rewards": f"{other:.3f}",
        "GRPO: roll-outs a step, zooms of each": f"{options.rollouts}, {zooms:.2f}",
        "GRPO: tokens generated a second, while generating": f"{tokens / parts['generation']:.1f}",
        "GRPO: peak memory, GiB (estimated)": f"{peak(options.device):.2f} ({planned:.2f})",
    }


def in_place(clock: Clock, part: str, function: Callable[..., Any]) -> Any:
    """Wrap a method to count its time, with the signature and docstring that trainers read."""
    from functools import wraps

    return wraps(function)(clock.timed(part, function))


def reset(device: str) -> None:
    """Reset the peak memory."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def common(options: argparse.Namespace, model: Path, out: Path) -> dict[str, Any]:
    """Settings of both stages."""
    return {
        "model": str(model), "out": str(out), "protocol": options.protocol, "learning_rate": 1e-5, "log_steps": 1,
        "bf16": True, "gradient_checkpointing": options.size != "tiny", "model_options": {"dtype": "bfloat16"},
        "trainer": {"use_cpu": True} if options.device == "cpu" else {},
        "lora": LoraSettings(rank=options.lora, alpha=max(1, 2 * options.lora)),
    }  # fmt: skip


def budget(options: argparse.Namespace) -> dict[str, Any]:
    """The budget of the episodes."""
    return {"overview_fps": 0.5, "overview_frames": options.overview, "clip_frames": options.clip, "max_zooms": ZOOMS,
            "max_pixels": options.pixels, "min_pixels": min(options.pixels, 784)}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=sorted(SIZES), default="mid")
    parser.add_argument("--family", choices=sorted(FAMILIES), default="qwen3_vl")
    parser.add_argument("--protocol", choices=("tags", "tool_calls"), default="tags")
    parser.add_argument("--tasks", default="needle/train")
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps of each stage; the first is not counted")
    parser.add_argument("--batch", type=int, default=2, help="trajectories or roll-outs per backward pass")
    parser.add_argument("--rollouts", type=int, default=8, help="roll-outs per GRPO step, all of one task")
    parser.add_argument("--overview", type=int, default=32, help="frames of the overview")
    parser.add_argument("--clip", type=int, default=16, help="frames of a zoom")
    parser.add_argument("--pixels", type=int, default=100_352, help="most pixels of a frame")
    parser.add_argument("--lora", type=int, default=0, help="rank of adapters; 0: all weights but the vision tower's")
    parser.add_argument("--out", type=Path, help="folder for models, runs and table.md; temporary if not given")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "No CUDA device was found: nothing was measured. `--device cpu --size tiny` runs the same path on the CPU."
        )
        return
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        data = out / "data"
        collect(
            CollectSettings(
                tasks=options.tasks,
                episodes=max(8, 2 * options.batch),
                mix={"exemplar": 1.0},
                protocol=options.protocol,
                budget=budget(options),
                filters=(),
            ),
            data,
        )
        small = build_checkpoint(options.family, out / "small")
        (loss, gradient) = compare(small, data, options.device)
        apart = [abs(rounded - exact) / exact for exact, rounded in (loss, gradient)]
        model = build_checkpoint(options.family, out / "model", SIZES[options.size])
        facts = model_facts(str(model), LoraSettings(), {})
        device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
        table = {
            "device; torch": f"{device}; {torch.__version__}",
            "model": f"{options.family}, {facts.weights / 1e9:.4f} billion weights, bfloat16, {options.protocol}"
            f"{f', adapters of rank {options.lora}' if options.lora else ''}",
            "frames": f"{options.overview} + {ZOOMS} x {options.clip}, at most {options.pixels} pixels",
            "small model on CPU, device: loss": f"{loss[0]:.5f}, {loss[1]:.5f} ({apart[0]:.2%} apart)",
            "- length of its gradient": f"{gradient[0]:.4f}, {gradient[1]:.4f} ({apart[1]:.2%} apart)",
            **run_sft(options, model, data, out),
            **run_grpo(options, model, out),
        }
        lines = ["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in table.items())]
        print("\n".join(lines))
        (out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if max(apart) > TOLERANCE:
            raise SystemExit(
                f"device and CPU are {max(apart):.2%} apart, more than {TOLERANCE:.0%}: other figures are unreliable"
            )


if __name__ == "__main__":
    main()
