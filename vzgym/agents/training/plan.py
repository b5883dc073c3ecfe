"""Plan a training run before it starts: check tokens against the model's context, and estimate memory.

Tokens are measured on the largest tasks (or the longest trajectories) with the model's own processor, and a run whose
tokens do not fit is refused. Memory is estimated from the model's configuration (`vzgym.agents.training.memory`), and
an estimate that exceeds the device is advice. No weight is loaded, nothing is written.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from vzgym.agents.metadata import saved_budget, saved_extras
from vzgym.agents.training.common import check_tracker, check_trainer
from vzgym.agents.training.duration import RunLength, device_flops, training_flops
from vzgym.agents.training.memory import GIB, Memory, ModelFacts, Sharding, device_memory, model_facts
from vzgym.agents.training.processes import check_launch, check_packages, fsdp_stage, missing_packages, zero_stage
from vzgym.agents.training.settings import GRPOSettings, SFTSettings, TrainSettings
from vzgym.agents.vlm.checkpoint import open_processor, resolve_protocol
from vzgym.core.documents import read_file
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.rewards import make_reward

__all__ = ["Plan", "launch_file", "launch_names", "plan_grpo", "plan_sft", "read_launch"]

_ADVICE = {
    "weights": "Shard them over more devices (--launch zero3), or load them in bfloat16 (model_options.dtype)",
    "reference model": "Train adapters (lora.rank), which need no copy, or set beta to 0",
    "gradients": "Train adapters (lora.rank), or shard over more devices (--launch zero3)",
    "optimizer": "Train adapters (lora.rank), or shard over more devices (--launch zero3)",
    "activations": "Set gradient_checkpointing, lower batch_size, or the budget's frames, zooms or max_pixels",
    "logits": "Lower batch_size or turn_tokens",
    "pictures": "Lower groups or group_size (SFT: batch_size), or the budget's frames or max_pixels",
    "generation, beyond the backward pass": "Lower groups or group_size, or generate with vLLM (vllm)",
    "vLLM engine": "Lower trainer.vllm_gpu_memory_utilization",
}
"""Advice by the largest part of the memory."""

_SERVER = {"host": "127.0.0.1", "port": 8000}
"""Where a vLLM server listens, if the settings do not say."""


@dataclass
class Plan:
    """Requirements of a run.

    Attributes:
        settings: As resolved.
        tokens: Rows of `(item, count, explanation)`.
        memory: Of one device.
        facts: The model's size.
        sharding: How the run is distributed.
        available: Memory of one device in bytes.
        device: Name of the device.
        length: Steps and time of the run.
        missing: Packages that the machine that trains needs and this one lacks.
        on_gpu: Whether that device is a GPU.
    """

    settings: TrainSettings
    facts: ModelFacts
    sharding: Sharding
    available: int
    device: str
    tokens: list[tuple[str, int, str]] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    length: RunLength | None = None
    missing: list[str] = field(default_factory=list)
    on_gpu: bool = True

    @property
    def server(self) -> str | None:
        """The command that starts the run's vLLM server; None if it has none."""
        settings = self.settings
        if not isinstance(settings, GRPOSettings) or not settings.vllm or settings.trainer.get("vllm_mode") != "server":
            return None
        longest = max(count for what, count, _ in self.tokens if what == "longest dialogue")
        limit = settings.trainer.get("vllm_max_model_length") or longest
        host, port = (settings.trainer.get(f"vllm_server_{name}", value) for name, value in _SERVER.items())
        return (
            f"VLLM_SERVER_DEV_MODE=1 vllm serve {shlex.quote(settings.model)} --host {host} --port {port} "
            '--enable-scale-out --weight-transfer-config \'{"backend": "nccl"}\' --logprobs-mode processed_logprobs '
            f"--max-logprobs -1 --max-model-len {limit}"
        )

    @property
    def notes(self) -> list[str]:
        """Advice in full sentences: estimated memory that exceeds the device, settings that train badly."""
        notes = []
        excess = self.memory.excess(self.available, self.device)
        if excess:
            largest = max(self.memory.parts, key=lambda part: self.memory.parts[part] if part in _ADVICE else 0)
            notes.append(f"{excess} {_ADVICE.get(largest, 'Use a smaller model')}.")
        if not self.facts.adapters and self.facts.bytes < 4 and not self.sharding.stage:
            notes.append(
                f"Weights of {self.facts.bytes} bytes are trained in place: with a learning rate of "
                f"{self.settings.learning_rate:g} most updates round away. Use DeepSpeed (--launch zero2), which keeps "
                "float32 masters, train adapters (lora.rank), or load float32 (model_options.dtype)."
            )
        return notes


def launch_names() -> list[str]:
    """Names of vzgym's launch configurations."""
    folder = resources.files("vzgym.agents.training") / "launch"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def launch_file(name: str) -> Path:
    """The file of a launch configuration, given by name or as a path.

    Raises:
        UnknownName: If there is neither.
    """
    if name in launch_names():
        return Path(str(resources.files("vzgym.agents.training") / "launch" / f"{name}.yaml"))
    if not Path(name).is_file():
        raise UnknownName(
            "launch configuration", name, launch_names(), "Or give the path of an accelerate configuration."
        )
    return Path(name)


def read_launch(name: str | None, devices: int | None) -> Sharding:
    """How a launch configuration of accelerate distributes a run.

    Args:
        name: See `launch_file`; None: a single process.
        devices: Overrides the file's number of processes.

    Raises:
        UnknownName: If there is no such file.
        InvalidSetting: If it cannot be read, is not an accelerate configuration, or the number of devices is not an
            integer >= 1.
    """
    values: Any = None if name is None else read_file(launch_file(name)).data
    place = f"the launch configuration {name}"
    values = _mapping(values, place)
    count = _whole(values, "num_processes", 1, place) if devices is None else devices
    if count < 1:
        raise InvalidSetting(f"a run needs at least one device, got {count}")
    deepspeed = _mapping(values.get("deepspeed_config"), f"deepspeed_config of {place}")
    options = _mapping(values.get("fsdp_config"), f"fsdp_config of {place}")
    kind, stage = values.get("distributed_type"), 0
    # Without options, accelerate uses its own defaults.
    fsdp = bool(options) or kind == "FSDP"
    if fsdp:
        stage = fsdp_stage(options, place)
    elif deepspeed or kind == "DEEPSPEED":
        stage = zero_stage(deepspeed, place)
    return Sharding(count, stage, str(values.get("mixed_precision", "")), fsdp)


def _mapping(values: Any, place: str) -> Mapping[str, Any]:
    """A part of a launch configuration as a mapping; an empty part is an empty mapping."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidSetting(f"{place} must hold 'name: value' lines, as accelerate's do, got {values!r}")
    return values


def _whole(values: Mapping[str, Any], name: str, default: int, place: str) -> int:
    found = values.get(name, default)
    if not isinstance(found, int) or isinstance(found, bool):
        raise InvalidSetting(f"{name} in {place} must be an integer, got {found!r}")
    return found


def plan_grpo(settings: GRPOSettings, sharding: Sharding | None = None, memory_gib: float | None = None) -> Plan:
    """Plan a GRPO run.

    Args:
        settings: See `GRPOSettings`; `out` may be empty.
        sharding: How the run is distributed; a single device if not given.
        memory_gib: Memory of a device in GiB; if not given, that of the first GPU (or of this machine).

    Raises:
        InvalidSetting: If a setting cannot work, or the tokens do not fit; with the numbers and what to change.
        UnknownName: If there is no such reward.
    """
    from trl.trainer.grpo_config import GRPOConfig

    from vzgym.agents.training.grpo import check_groups, check_whole_groups, split_rollouts
    from vzgym.agents.training.mixture import training_tasks

    plan = _begin(settings, GRPOConfig, sharding, memory_gib)
    if not settings.tasks:
        raise InvalidSetting('GRPOSettings.tasks must be given, such as "needle-micro/train"')
    batch, passes = split_rollouts(settings, plan.sharding.devices)
    check_whole_groups(settings, make_reward(settings.reward), batch * passes)
    extras = settings.extras(saved_extras(settings.model))
    processor = open_processor(settings.model)
    protocol = resolve_protocol(settings.model, settings.protocol)
    parts = training_tasks(settings, processor, protocol, extras, saved_budget(settings.model))
    playable = sum(len(part.found.playable) for part in parts)
    check_groups(settings, playable)
    limit = max(part.need.check(settings, plan.facts.positions) for part in parts)
    # The largest episodes decide; those of a mixture's other sets need less.
    largest = max(parts, key=lambda part: part.need.prompt + part.need.completion)
    need, budget = largest.need, largest.budget
    frames, each = need.overview
    longest = need.prompt + limit
    plan.tokens = [
        ("overview", frames * each, f"{frames} frames of {each} tokens, the longest: task {need.prompt_task}"),
        ("rules, question, times", need.prompt - frames * each, "text of the prompt"),
        (
            "zooms",
            need.zooms * need.reply,
            f"{need.zooms} replies of {need.clip} frames of {need.frame} tokens and text: task {need.reply_task}",
        ),
        ("turns", (need.zooms + 1) * need.turn, f"{need.zooms + 1} turns of at most {need.turn} tokens"),
        ("longest dialogue", longest, f"prompt {need.prompt} and completion {limit}, with a margin"),
        ("context", plan.facts.positions, "the model's longest input"),
    ]
    _add_training(
        plan, batch * longest, batch * limit, batch * budget.max_frames * max(each, need.frame), settings.beta > 0
    )
    rollouts = batch * passes
    # With dynamic sampling, the pictures of a further batch are in memory beside those of the batch.
    batches = 2 if settings.dynamic_sampling else 1
    visual = rollouts * budget.max_frames * max(each, need.frame)
    plan.memory.add_pictures(plan.facts, batches * visual * plan.facts.merged)
    if settings.vllm:
        _add_engine(plan, settings, longest)
    else:
        plan.memory.add_generation(plan.facts, rollouts, longest, settings.bf16)
    # Each cycle of roll-outs serves this many optimizer steps.
    cycle = settings.updates * settings.iterations / settings.accumulation
    reads = 1 if settings.vllm else need.zooms + 1
    played = rollouts * (1 + settings.dynamic_sampling)
    trained = plan.facts.trained(settings.freeze_vision)
    training = training_flops(
        plan.facts, rollouts * longest, trained=trained, checkpointing=settings.gradient_checkpointing
    )
    plan.length = RunLength(
        epoch_steps=playable // settings.groups * cycle,
        steps=settings.steps,
        flops=(training * settings.iterations + played * longest * reads * 2 * plan.facts.weights) / cycle,
        **_speed(settings, memory_gib),
    )
    return plan


def plan_sft(settings: SFTSettings, sharding: Sharding | None = None, memory_gib: float | None = None) -> Plan:
    """Plan an SFT run; see `plan_grpo`.

    Raises:
        InvalidSetting: If a setting cannot work, or the tokens do not fit; with the numbers and what to change.
    """
    from trl.trainer.sft_config import SFTConfig

    from vzgym.agents.data.dataset import load_trajectories
    from vzgym.agents.training.sft import check_accumulation, taught_protocol, trajectory_chat
    from vzgym.agents.vlm.chat import encode
    from vzgym.agents.vlm.image_checks import image_token

    plan = _begin(settings, SFTConfig, sharding, memory_gib)
    if not settings.data:
        raise InvalidSetting("SFTSettings.data must be given: a folder that `vzgym collect` wrote")
    rows = load_trajectories(settings.data)
    used = min(settings.limit or len(rows), len(rows))
    check_accumulation(settings, used, plan.sharding.devices)
    taught_protocol(settings)
    processor = open_processor(settings.model)
    counts = [len(images) for images in load_trajectories(settings.data, in_blocks=False)["images"]]
    fullest = sorted(range(len(counts)), key=counts.__getitem__, reverse=True)[:8]
    encoded = [encode(processor, trajectory_chat(rows[place]), reply=False)["input_ids"] for place in fullest]
    longest = max(encoded, key=len)
    images = int((longest == image_token(processor)).sum())
    limit = min(settings.max_length or plan.facts.positions, plan.facts.positions)
    plan.tokens = [
        ("frames", images, f"visual tokens of the longest of {len(encoded)} trajectories with most frames"),
        ("text", len(longest) - images, "its other tokens"),
        ("longest trajectory", len(longest), f"of {len(rows)}"),
        ("limit", limit, "max_length, or the model's longest input"),
    ]
    if len(longest) > limit:
        raise InvalidSetting(
            f"the longest trajectory has {len(longest)} tokens ({images} of frames), but at most {limit} are read: "
            "raise SFTSettings.max_length, or collect with a budget of fewer frames, zooms or max_pixels"
        )
    tokens = settings.batch_size * len(longest)
    _add_training(plan, tokens, tokens, settings.batch_size * images, False)
    plan.memory.add_pictures(plan.facts, settings.batch_size * images * plan.facts.merged)
    epoch = math.ceil(math.ceil(used / (settings.batch_size * plan.sharding.devices)) / settings.accumulation)
    plan.length = RunLength(
        epoch_steps=epoch,
        steps=settings.max_steps or math.ceil(settings.epochs * epoch),
        flops=training_flops(
            plan.facts,
            tokens * settings.accumulation,
            trained=plan.facts.trained(settings.freeze_vision),
            checkpointing=settings.gradient_checkpointing,
        ),
        **_speed(settings, memory_gib),
    )
    return plan


def _speed(settings: TrainSettings, memory_gib: float | None) -> dict[str, Any]:
    speed, device = device_flops(settings.bf16, planned=memory_gib is not None)
    return {"speed": speed, "device": device}


def _begin(settings: TrainSettings, config: type[Any], sharding: Sharding | None, memory_gib: float | None) -> Plan:
    if not settings.model:
        raise InvalidSetting(f"{type(settings).__name__}.model must be given")
    if memory_gib is not None and not (math.isfinite(memory_gib) and memory_gib > 0):
        raise InvalidSetting(f"a device's memory must be a finite number of GiB > 0, got {memory_gib}")
    check_trainer(settings, config)
    check_tracker(settings)
    sharding = sharding or Sharding()
    check_launch(settings, sharding)
    # A plan for a device of a given size is one for another machine, on which other packages may be installed.
    if memory_gib is None:
        check_packages(settings, sharding)
    facts = model_facts(settings.model, settings.lora, settings.model_options)
    missing = missing_packages(settings, sharding)
    if memory_gib is not None:
        device = f"a device of {memory_gib:g} GiB"
        return Plan(settings, facts, sharding, int(memory_gib * GIB), device, missing=missing)
    available, device, on_gpu = device_memory()
    return Plan(settings, facts, sharding, available, device, missing=missing, on_gpu=on_gpu)


def _add_training(plan: Plan, tokens: int, loss_tokens: int, visual: int, reference: bool) -> None:
    settings = plan.settings
    plan.memory.add_training(
        plan.facts,
        plan.sharding,
        freeze_vision=settings.freeze_vision,
        checkpointing=settings.gradient_checkpointing,
        mixed=settings.bf16,
        triton=plan.on_gpu,
        tokens=tokens,
        loss_tokens=loss_tokens,
        patches=visual * plan.facts.merged,
        # With adapters, the reference is the same model with the adapters disabled.
        reference=reference and not settings.lora.rank,
    )


def _add_engine(plan: Plan, settings: GRPOSettings, longest: int) -> None:
    """Add vLLM's share of the device, and check that the weights and one dialogue fit into it."""
    options = settings.trainer
    length = options.get("vllm_max_model_length")
    if length is not None and (not isinstance(length, int) or isinstance(length, bool)):
        raise InvalidSetting(f"trainer.vllm_max_model_length must be an integer number of tokens, got {length!r}")
    if length is not None and length < longest:
        raise InvalidSetting(
            f"trainer.vllm_max_model_length is {length}, but the longest dialogue has {longest} tokens: raise it to at "
            f"least {longest}, or lower turn_tokens, or the budget's frames, zooms or max_pixels"
        )
    if options.get("vllm_mode", "colocate") != "colocate":
        return
    share = options.get("vllm_gpu_memory_utilization", 0.3)
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share <= 1:
        raise InvalidSetting(
            f"trainer.vllm_gpu_memory_utilization must be a share of the device's memory, above 0 and at most 1, "
            f"got {share!r}"
        )
    engine = int(share * plan.available)
    least = plan.facts.weights * plan.facts.bytes + plan.facts.kv_bytes * longest
    if engine < least:
        raise InvalidSetting(
            f"vLLM gets {share:g} of {plan.device}'s {plan.available / GIB:.2f} GiB: {engine / GIB:.2f} GiB, but the "
            f"weights and one dialogue of {longest} tokens take {least / GIB:.2f} GiB: raise "
            f"trainer.vllm_gpu_memory_utilization to at least {least / plan.available:.2f}, or use a vLLM server"
        )
    plan.memory.parts["vLLM engine"] = engine
