"""One part of the GPU benchmark, run by `benchmarks/gpu/run.py` in a process of its own. Nothing is downloaded.

    python benchmarks/gpu/parts.py sft-0.6b --out runs/gpu                # on the first CUDA device
    python benchmarks/gpu/parts.py sft-0.6b --out runs/gpu --device cpu   # the same path at tiny sizes

Models are built from configurations with random weights. These produce no valid turns, so the turns of roll-outs are
scripted (two zooms, an answer); the model still computes every token. The result is written to OUT/PART.json.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
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
from vzgym.agents.training.memory import GIB, Memory
from vzgym.agents.training.plan import Plan, plan_grpo, plan_sft
from vzgym.agents.training.settings import GRPOSettings, LoraSettings, SFTSettings
from vzgym.agents.training.sft import TrajectoryCollator, train_sft
from vzgym.agents.training.tool_environment import ToolEnvironment
from vzgym.agents.vlm.chat import (
    assistant_header,
    chat_of,
    encode,
    end_tokens,
    join_inputs,
    suppressed_tokens,
    turn_end,
)
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.core.actions import Answer, Zoom
from vzgym.core.memory import peak_memory
from vzgym.episode import Episode
from vzgym.tasks import load_tasks
from vzgym.tasks.budgets import resolve_budget
from vzgym.testing.models import SIZES, ModelSize, build_checkpoint

ZOOMS = 2
STEPS = 4
"""Optimizer steps of a training part; the first, which warms up, is not counted."""


@dataclass(frozen=True)
class Scale:
    """How large a benchmark is.

    Attributes:
        tasks: The suite whose videos are watched.
        overview: Frames of an overview.
        clip: Frames of a zoom.
        pixels: Most pixels of a frame.
        batch: Trajectories or roll-outs of a backward pass.
        rollouts: Roll-outs of a GRPO step.
        tokens: Tokens that are generated for each dialogue in the comparison of engines.
        models: Sizes of models by the name that a part ends with.
    """

    tasks: str
    overview: int
    clip: int
    pixels: int
    batch: int
    rollouts: int
    tokens: int
    models: dict[str, ModelSize]


# vLLM takes no heads of fewer than 32 channels.
TINY = ModelSize(width=64, heads=2, kv_heads=1)
SCALES = {
    "cuda": Scale("needle/train", 32, 16, 100_352, 2, 8, 128, {"0.6b": SIZES["mid"], "2b": SIZES["large"]}),
    "cpu": Scale("needle-tiny/train", 8, 4, 4096, 2, 2, 8, {"0.6b": TINY, "2b": TINY}),
}
"""The scale by device: on a CPU a rehearsal of every line."""


class Clock:
    """Seconds by part.

    Args:
        device: "cuda" or "cpu".
        wall: Whether to count wall seconds on a CPU too: vLLM works in other processes.
    """

    def __init__(self, device: str, wall: bool = False) -> None:
        self.device = device
        self.wall = wall
        self.parts: dict[str, float] = defaultdict(float)

    def now(self) -> float:
        """Wall seconds after synchronizing the device; on the CPU, processor seconds."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        elif not self.wall:
            return time.process_time()
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


class Bench:
    """What the parts share.

    Args:
        device: "cuda" or "cpu".
        out: Folder for models, trajectories and runs, which later parts use again.
    """

    def __init__(self, device: str, out: Path) -> None:
        self.device = device
        self.out = out
        self.scale = SCALES[device]
        pixels = self.scale.pixels
        self.budget = {"overview_fps": 0.5, "overview_frames": self.scale.overview, "clip_frames": self.scale.clip,
                       "max_zooms": ZOOMS, "max_pixels": pixels, "min_pixels": min(pixels, 784)}  # fmt: skip

    def data(self) -> Path:
        """Trajectories, collected once."""
        folder = self.out / "data"
        if not (folder / "dataset_info.json").is_file():
            mix = {"exemplar": 1.0}
            episodes = max(8, 2 * self.scale.batch)
            collect(
                CollectSettings(tasks=self.scale.tasks, episodes=episodes, mix=mix, budget=self.budget, filters=()),
                folder,
            )
        return folder

    def model(self, name: str) -> Path:
        """A model of a size, in bfloat16, built once: on the device, where it takes seconds."""
        folder = self.out / f"model-{name}"
        if not (folder / "chat_template.jinja").is_file():  # written last
            with torch.device(self.device):
                build_checkpoint("qwen3_vl", folder, self.scale.models[name], dtype="bfloat16")
        return folder

    def common(self, name: str, run: str) -> dict[str, Any]:
        """Settings of both stages: adapters on a frozen model, as for a single GPU."""
        return {
            "model": str(self.model(name)), "out": str(self.out / f"{run}-{os.getpid()}"), "protocol": "tags",
            "learning_rate": 1e-5, "log_steps": 1, "bf16": True, "gradient_checkpointing": True, "freeze_vision": True,
            "batch_size": self.scale.batch, "lora": LoraSettings(rank=32, alpha=64),
            "trainer": {"use_cpu": True} if self.device == "cpu" else {},
        }  # fmt: skip

    def reset_peak(self) -> None:
        """Forget the peak memory so far."""
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def memory(self, plan: Plan) -> dict[str, Any]:
        """The peak beside the estimate, in GiB. PyTorch does not count the CUDA context and other constants."""
        parts = {name: size for name, size in plan.memory.parts.items() if name != "rest"}
        found: dict[str, Any] = {"estimated_gib": Memory(parts).total / GIB}
        if self.device == "cuda":
            found["peak_gib"] = torch.cuda.max_memory_allocated() / GIB
            found["estimate_error"] = found["estimated_gib"] / found["peak_gib"] - 1
            found["reserved_gib"] = torch.cuda.max_memory_reserved() / GIB
        else:
            found["process_peak_gib"] = peak_memory()
        return found


def precision(bench: Bench, name: str) -> dict[str, Any]:
    """A small model's loss and gradient norm: on the CPU in float32, on the device in float32 and bfloat16."""
    folder = bench.out / "model-small"
    if not (folder / "chat_template.jinja").is_file():
        build_checkpoint("qwen3_vl", folder)
    rows = load_trajectories(bench.data())
    found: dict[str, Any] = {}
    for label, place, dtype in (
        ("cpu_float32", "cpu", torch.float32),
        ("device_float32", bench.device, torch.float32),
        ("device_bfloat16", bench.device, torch.bfloat16),
    ):
        start = open_checkpoint(folder, dtype=dtype)
        start.model.to(place).eval()
        batch = TrajectoryCollator(start.processor, 100_000)([rows[i] for i in range(2)])
        placed = {
            key: value.to(place, dtype if value.is_floating_point() else value.dtype) for key, value in batch.items()
        }
        loss = start.model(**placed).loss
        loss.backward()
        norms = [float(weight.grad.float().norm()) for weight in start.model.parameters() if weight.grad is not None]
        found[label] = {"loss": float(loss.detach()), "gradient": math.hypot(*norms)}
    exact = found["cpu_float32"]
    for label in ("device_float32", "device_bfloat16"):
        found[label]["apart"] = max(abs(found[label][what] / exact[what] - 1) for what in ("loss", "gradient"))
    return found


def sft(bench: Bench, name: str) -> dict[str, Any]:
    """Steps of SFT with adapters."""
    clock = Clock(bench.device)
    steps = Steps(clock)
    data = bench.data()
    settings = SFTSettings(**bench.common(name, f"sft-{name}"), data=str(data), max_steps=STEPS)
    plan = plan_sft(settings)
    rows = load_trajectories(data)
    collator = TrajectoryCollator(open_checkpoint(bench.model(name)).processor, 100_000)
    tokens = statistics.mean(len(collator([rows[i]])["input_ids"][0]) for i in range(min(8, len(rows))))
    bench.reset_peak()
    train_sft(settings, callbacks=[steps])
    seconds = median(steps.seconds)
    step = tokens * settings.batch_size
    return {
        "weights": plan.facts.weights, "seconds_a_step": seconds, "tokens_a_step": step,
        "tokens_a_second": step / seconds, **bench.memory(plan),
    }  # fmt: skip


def grpo(bench: Bench, name: str) -> dict[str, Any]:
    """Steps of GRPO with adapters, by their parts."""
    clock = Clock(bench.device)
    steps = Steps(clock)
    rollouts = bench.scale.rollouts
    settings = GRPOSettings(
        **bench.common(name, f"grpo-{name}"), tasks=bench.scale.tasks, budget=bench.budget, steps=STEPS, groups=1,
        group_size=rollouts, turn_tokens=96,
    )  # fmt: skip
    plan = plan_grpo(settings)
    bench.reset_peak()
    trainer, start = make_trainer(settings, [steps])
    zoom = compose(start.protocol, Zoom(0.0, 2.0, bench.scale.clip / 2), "look")
    follow(start, [zoom] * ZOOMS + [compose(start.protocol, Answer("A"), "seen")])
    made: list[int] = []
    generate = trainer._generate_single_turn

    def counted(*args: Any, **kwargs: Any) -> Any:
        with clock.measure("generation"):
            found = generate(*args, **kwargs)
        made.append(sum(len(ids) for ids in found[0]))
        return found

    trainer._generate_single_turn = counted
    trainer._generate_and_score_completions = clock.timed("rollouts", trainer._generate_and_score_completions)
    for method in ("reset", "video_zoom"):
        setattr(ToolEnvironment, method, in_place(clock, "environment", getattr(ToolEnvironment, method)))
    Episode._look = in_place(clock, "decode", Episode._look)  # type: ignore[method-assign]
    trainer.train()
    played = [json.loads(line) for line in (Path(settings.out) / "rollouts.jsonl").read_text().splitlines()]
    zooms = statistics.mean(sum(turn["outcome"] == "executed" for turn in record["turns"]) for record in played)
    parts = {part: median([found.get(part, 0.0) for found in steps.parts]) for part in
             ("rollouts", "generation", "environment", "decode")}  # fmt: skip
    seconds = median(steps.seconds)
    return {
        "weights": plan.facts.weights, "rollouts": rollouts, "zooms": zooms, "seconds_a_step": seconds,
        "generation_seconds": parts["generation"], "environment_seconds": parts["environment"],
        "decode_seconds": parts["decode"], "update_seconds": seconds - parts["rollouts"],
        "other_seconds": parts["rollouts"] - parts["generation"] - parts["environment"],
        "environment_share": parts["environment"] / seconds,
        "tokens_generated_a_second": sum(made) / len(steps.seconds) / parts["generation"], **bench.memory(plan),
    }  # fmt: skip


def generation(bench: Bench, name: str) -> dict[str, Any]:
    """Greedy turns for the same dialogues by transformers, and by vLLM if it can be imported."""
    folder, count, tokens = bench.model(name), bench.scale.rollouts, bench.scale.tokens
    start = open_checkpoint(folder, "tags")
    start.model.to(bench.device).eval()
    tasks = load_tasks(bench.scale.tasks)
    budget = resolve_budget(bench.budget, tasks)
    chats = [chat_of(Episode(tasks[place], budget, start.protocol).messages) for place in range(count)]
    encoded = [encode(start.processor, chat) for chat in chats]
    batch = join_inputs(encoded, start.processor.tokenizer.pad_token_id)
    placed = {
        key: value.to(bench.device, start.model.dtype if value.is_floating_point() else value.dtype)
        for key, value in batch.items()
    }
    suppressed = [token for token in suppressed_tokens(start.processor) if token < _vocabulary(start.model)]
    options = {"do_sample": False, "suppress_tokens": suppressed, "min_new_tokens": tokens, "max_new_tokens": tokens}
    clock = Clock(bench.device, wall=True)
    with torch.inference_mode():
        start.model.generate(**placed, **{**options, "min_new_tokens": 2, "max_new_tokens": 2})
        with clock.measure("transformers"):
            made = start.model.generate(**placed, **options)
    width = placed["input_ids"].shape[1]
    ours = [row[width:].tolist() for row in made]
    found: dict[str, Any] = {
        "dialogues": count, "prompt_tokens": width, "new_tokens": tokens,
        "transformers_tokens_a_second": count * tokens / clock.parts["transformers"],
    }  # fmt: skip
    if importlib.util.find_spec("vllm") is None:
        return {**found, "vllm": "not installed"}
    try:
        vllm: Any = importlib.import_module("vllm")
    except (ImportError, OSError, RuntimeError) as error:  # it has binary parts for one release of torch
        return {**found, "vllm": f"cannot be imported: {error}"}
    # The engine needs the device.
    processor = start.processor
    del start, placed, made
    bench.reset_peak()
    images = [[block["image"] for message in chat for block in message["content"] if block["type"] == "image"]
              for chat in chats]  # fmt: skip
    texts = [processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
    share = {"gpu_memory_utilization": 0.5} if bench.device == "cuda" else {}
    engine = vllm.LLM(
        model=str(folder), dtype="bfloat16", max_model_len=width + tokens + 64, max_num_seqs=count, enforce_eager=True,
        limit_mm_per_prompt={"image": len(images[0])}, **share,
    )  # fmt: skip
    greedy = {"temperature": 0.0, "logit_bias": dict.fromkeys(suppressed, -100.0)}
    prompts = [{"prompt": text, "multi_modal_data": {"image": seen}} for text, seen in zip(texts, images, strict=True)]
    engine.generate(prompts, vllm.SamplingParams(**greedy, max_tokens=2), use_tqdm=False)
    stop = vllm.SamplingParams(**greedy, min_tokens=tokens, max_tokens=tokens, stop_token_ids=end_tokens(processor))
    with clock.measure("vllm"):
        outputs = engine.generate(prompts, stop, use_tqdm=False)
    theirs = [list(output.outputs[0].token_ids) for output in outputs]
    first = [next((i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), tokens)
             for a, b in zip(ours, theirs, strict=True)]  # fmt: skip
    read = [len(output.prompt_token_ids) for output in outputs]
    return {
        **found, "vllm": str(vllm.__version__), "vllm_tokens_a_second": count * tokens / clock.parts["vllm"],
        "same_prompt_tokens": read == [len(row["input_ids"]) for row in encoded],
        "tokens_until_they_differ": statistics.mean(first),
    }  # fmt: skip


def _vocabulary(model: Any) -> int:
    return int(model.config.get_text_config().vocab_size)


def median(values: list[float]) -> float:
    """The statistic over all steps except the first, which warms up."""
    return statistics.median(values[1:] or values)


def in_place(clock: Clock, part: str, function: Callable[..., Any]) -> Any:
    """Wrap a method to count its time, with the signature and docstring that trainers read."""
    return wraps(function)(clock.timed(part, function))


PARTS: dict[str, Callable[[Bench, str], dict[str, Any]]] = {
    "precision": precision,
    "sft": sft,
    "grpo": grpo,
    "generation": generation,
}
"""What a part measures, by the first word of its name; the rest names the size of its model."""


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", help="such as precision, sft-0.6b, grpo-2b, generation-0.6b")
    parser.add_argument("--device", choices=sorted(SCALES), default="cuda")
    parser.add_argument("--out", type=Path, required=True, help="folder for models and runs")
    options = parser.parse_args()
    kind, _, size = options.part.partition("-")
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.device, options.out)
    if kind not in PARTS or size not in ("", *bench.scale.models):
        parser.error(
            f"no part {options.part}: one of {', '.join(PARTS)}, and a size of {', '.join(bench.scale.models)}"
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device was found; --device cpu runs the same path at tiny sizes")
    found = PARTS[kind](bench, size)
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    result = json.dumps({**found, "device": name, "torch": torch.__version__})
    # Not to the output, where vLLM logs.
    (options.out / f"{options.part}.json").write_text(result + "\n", encoding="utf-8")
    print(result)


if __name__ == "__main__":
    main()
