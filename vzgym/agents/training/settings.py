"""What the three training stages can be told, as typed data. Imports nothing heavy: presets and command lines read it.

Each field's docstring follows the field. Values are checked when the object is made; a wrong one raises
`InvalidSetting` with the setting's name, the value and what would be right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting

if TYPE_CHECKING:
    from vzgym.tasks import TaskSet

__all__ = ["GRPOSettings", "LoraSettings", "PretrainSettings", "SFTSettings", "TrainSettings"]


class _Checked:
    """Checks and conversions that all settings share."""

    def _need(self, ok: bool, name: str, rule: str) -> None:
        if not ok:
            raise InvalidSetting(f"{type(self).__name__}.{name} must be {rule}, got {getattr(self, name)!r}")

    def _need_count(self, least: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            good = isinstance(value, int) and not isinstance(value, bool) and value >= least
            self._need(good, name, f"an integer >= {least}")

    def _need_share(self, *names: str) -> None:
        for name in names:
            self._need(0.0 <= getattr(self, name) <= 1.0, name, "from 0 to 1")

    def _need_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._need(math.isfinite(value) and value > 0, name, "finite and > 0")

    def _need_text(self, *names: str) -> None:
        for name in names:
            self._need(bool(str(getattr(self, name))), name, "given")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping of field names, as found in YAML. Nested settings may be mappings.

        Raises:
            InvalidSetting: If a name is no field (the message lists the fields) or a value is out of range.
        """
        valid = [item.name for item in fields(cls)]  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(valid))
        if unknown:
            raise InvalidSetting(f"{cls.__name__} has no setting {', '.join(unknown)}; valid: {', '.join(valid)}")
        settings = dict(values)
        if isinstance(settings.get("lora"), Mapping):
            settings["lora"] = LoraSettings.from_mapping(settings["lora"])
        try:
            return cls(**settings)
        except TypeError as error:
            raise InvalidSetting(f"{cls.__name__}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """All fields, nested settings as mappings; what JSON and YAML hold."""
        return {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(self).items()  # type: ignore[call-overload]
        }


@dataclass(frozen=True, kw_only=True)
class LoraSettings(_Checked):
    """Low-rank adapters in place of full training (peft's LoRA)."""

    rank: int = 0
    """Rank of the adapters. 0: no adapters, all weights that are not frozen are trained."""

    alpha: int = 32
    """Scale of the adapters; their output is multiplied by `alpha / rank`."""

    dropout: float = 0.0
    """Share of the adapters' inputs dropped while training."""

    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Names of the language model's linear layers that get adapters. Not `lm_head`: vLLM cannot load that."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        self._need_count(0, "rank")
        self._need_count(1, "alpha")
        self._need_share("dropout")
        self._need(bool(self.targets) and "lm_head" not in self.targets, "targets", "linear layers without lm_head")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(_Checked):
    """What cold start and GRPO share."""

    model: str = ""
    """Where to start: a checkpoint folder, or a model's name on the Hugging Face hub."""

    out: str = ""
    """Folder for checkpoints, logs and the finished model. A run that was stopped goes on there with `resume`."""

    protocol: str | Mapping[str, Any] | None = None
    """Text protocol by name or mapping. None: that of the trajectories (SFT), else the one kept in the model's folder,
    else the paper's "tags"."""

    model_options: Mapping[str, Any] = field(default_factory=dict)
    """For the model's `from_pretrained`: `dtype` (as saved if not given), `attn_implementation`, ..."""

    learning_rate: float = 1e-5
    """Highest learning rate."""

    scheduler: str = "constant"
    """Course of the learning rate: "constant", "linear", "cosine", "constant_with_warmup"."""

    warmup_ratio: float = 0.0
    """Share of the steps over which the learning rate rises from 0."""

    weight_decay: float = 0.0
    """AdamW's weight decay."""

    max_grad_norm: float = 1.0
    """Gradients longer than this are shortened to it."""

    accumulation: int = 1
    """Batches (of GRPO: generation batches) whose gradients are added up for one step."""

    freeze_vision: bool = False
    """Whether the vision tower keeps its weights. The paper freezes it in the cold start."""

    lora: LoraSettings = field(default_factory=LoraSettings)
    """Low-rank adapters."""

    bf16: bool = False
    """Train in bfloat16. For GPUs; slower on most CPUs."""

    gradient_checkpointing: bool = False
    """Compute activations twice to save memory. For large models."""

    seed: int = 0
    """Of everything random in the run."""

    log_steps: int = 10
    """Steps between two log lines."""

    save_steps: int = 0
    """Steps between two checkpoints; 0: only the finished model is saved."""

    save_limit: int = 2
    """Checkpoints kept; older ones are deleted."""

    resume: bool = False
    """Go on from the newest checkpoint in `out`, if there is one."""

    report_to: str = "none"
    """Where metrics go beside `out/log.jsonl`: "none", "tensorboard", "wandb"."""

    trainer: Mapping[str, Any] = field(default_factory=dict)
    """Further options for TRL's own configuration, by its names; they go last and win."""

    def __post_init__(self) -> None:
        self._need_positive("learning_rate", "max_grad_norm")
        self._need_share("warmup_ratio")
        self._need(self.weight_decay >= 0, "weight_decay", ">= 0")
        self._need_count(1, "accumulation", "log_steps", "save_limit")
        self._need_count(0, "save_steps", "seed")
        courses = ("constant", "linear", "cosine", "constant_with_warmup")
        self._need(self.scheduler in courses, "scheduler", f"one of {', '.join(courses)}")

    def check_sharding(self, stage: int) -> None:
        """Check that the result can be saved if DeepSpeed spreads the run.

        Args:
            stage: DeepSpeed's ZeRO stage; 0: without it.

        Raises:
            InvalidSetting: If adapters could not be merged, since no process holds a whole weight.
        """
        if self.lora.rank and stage == 3:
            raise InvalidSetting(
                f"{type(self).__name__}.lora.rank is {self.lora.rank} under DeepSpeed ZeRO-3, where no process holds a "
                "whole weight that the adapters could be merged into: spread the run by ddp or zero2 (--launch), whose "
                "gradients and optimiser are small with adapters, or set lora.rank to 0"
            )


@dataclass(frozen=True, kw_only=True)
class SFTSettings(TrainSettings):
    """The cold start: imitate trajectories. Loss on the model's own turns only."""

    data: str = ""
    """Folder that `vzgym collect` wrote: a saved `datasets.Dataset` with the columns `messages` and `images`."""

    limit: int = 0
    """Use only the first so many trajectories; 0: all."""

    epochs: float = 1.0
    """Passes over the data; unused where `max_steps` is given."""

    max_steps: int = 0
    """Stop after so many steps; 0: after `epochs`."""

    batch_size: int = 32
    """Trajectories in a batch (on each device)."""

    max_length: int = 0
    """Refuse trajectories of more tokens than this, image tokens counted; 0: the model's own limit. They are never
    cut: a cut trajectory loses frames."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._need_count(1, "batch_size")
        self._need_count(0, "limit", "max_steps", "max_length")
        self._need_positive("epochs")


@dataclass(frozen=True, kw_only=True)
class GRPOSettings(TrainSettings):
    """Reinforcement learning: groups of roll-outs of the same task, compared with each other (GRPO)."""

    tasks: str = ""
    """Tasks to practise on, e.g. "needle-micro/train" (a suite's training split if it names none) or a JSONL file."""

    num_tasks: int = 0
    """Use only the first so many tasks; 0: all."""

    budget: Mapping[str, Any] | None = None
    """What may be looked at otherwise than the tasks' own budget says, as a mapping of `Budget`'s fields."""

    reward: str | Mapping[str, Any] = "videozoomer"
    """A reward preset, or weights by module name; each module gets a logged column of its own."""

    steps: int = 100
    """Optimiser steps."""

    groups: int = 8
    """Tasks per generation batch (over all devices)."""

    group_size: int = 8
    """Roll-outs of each task, >= 2."""

    batch_size: int = 0
    """Roll-outs per backward pass (on each device); 0: all of a generation batch at once. It times the number of
    devices must divide `groups * group_size`. A step takes as many passes as the generation batch needs."""

    updates: int = 1
    """Optimiser steps among which a generation batch is shared out (the paper's mini-batches: 4)."""

    iterations: int = 1
    """Times that each generation batch is used (mu of the GRPO paper)."""

    temperature: float = 1.0
    """Of the sampled roll-outs."""

    top_p: float = 1.0
    """Nucleus of the sampled roll-outs."""

    turn_tokens: int = 512
    """Most tokens of one turn of the model."""

    completion_tokens: int = 0
    """Most tokens of all turns and replies together, image tokens counted; 0: what the budget can need at most.
    A smaller value is refused at the start: an over-long reply would be dropped without an answer."""

    beta: float = 0.0
    """Weight of the KL divergence from the starting model (paper: 1e-3)."""

    epsilon: float = 0.2
    """Clipping of the probability ratio, downwards."""

    epsilon_high: float = 0.27
    """Clipping of the probability ratio, upwards ("clip higher")."""

    loss: str = "dapo"
    """Which of TRL's GRPO losses: "dapo", "grpo", "dr_grpo", "bnpo"."""

    scale_rewards: str = "group"
    """Divide advantages by the standard deviation of the "group", of the "batch", or not: "none"."""

    save_rollouts: int = 1
    """Steps between two savings of roll-outs as episode records (`out/rollouts.jsonl`); 0: never."""

    vllm: bool = False
    """Generate with vLLM on the same devices."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._need_count(1, "steps", "groups", "updates", "iterations", "turn_tokens")
        self._need_count(2, "group_size")
        self._need_count(0, "num_tasks", "batch_size", "completion_tokens", "save_rollouts")
        self._need_positive("temperature", "epsilon", "epsilon_high")
        self._need(0 < self.top_p <= 1, "top_p", "in (0, 1]")
        self._need(self.beta >= 0, "beta", ">= 0")
        losses = ("dapo", "grpo", "dr_grpo", "bnpo")
        self._need(self.loss in losses, "loss", f"one of {', '.join(losses)}")
        scales = ("group", "batch", "none")
        self._need(self.scale_rewards in scales, "scale_rewards", f"one of {', '.join(scales)}")
        total = self.groups * self.group_size
        self._need(not self.batch_size or total % self.batch_size == 0, "batch_size", f"a divisor of {total}")

    def budget_for(self, tasks: TaskSet) -> Budget:
        """What may be looked at: the tasks' own budget, and the run's settings over it.

        Raises:
            InvalidSetting: If `budget` names no limit, or one that cannot work.
        """
        from vzgym.tasks import resolve_budget

        return resolve_budget(self.budget, tasks)


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(_Checked):
    """The tiny model's perception: built from a seed, then taught to name and to look up what frames show."""

    out: str = ""
    """Folder for the finished checkpoint."""

    tasks: str = "needle-micro/train"
    """The suite whose pictures and words the model learns to see and to read; never asks its questions."""

    protocol: str | Mapping[str, Any] = "compact_tags"
    """The text protocol that the model will speak; its tokenizer is trained on this protocol's dialogues."""

    videos: int = 300
    """Videos of the suite that frames are taken from."""

    size: Mapping[str, int] = field(default_factory=dict)
    """Other sizes of the model than the default ones, by the names of `vzgym.agents.tiny.TinySize`."""

    max_steps: int = 1500
    """Stop after so many steps, whatever has been reached."""

    batch_size: int = 64
    """Videos in a batch."""

    learning_rate: float = 3e-3
    """Highest learning rate."""

    target: float = 0.97
    """Stop once all exercises are this well solved (share of right tokens, teacher-forced)."""

    seed: int = 0
    """Of the model's weights and of everything random in the exercises."""

    log_steps: int = 25
    """Steps between two reports of progress."""

    def __post_init__(self) -> None:
        self._need_count(1, "videos", "max_steps", "batch_size", "log_steps")
        self._need_count(0, "seed")
        self._need_positive("learning_rate")
        self._need_share("target")
