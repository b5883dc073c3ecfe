"""Settings of the training stages of a language model: pre-training, SFT (cold start), GRPO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from vzgym.agents.settings import BudgetedSettings, BudgetSetting, ExtrasSettings, Named, RunSettings
from vzgym.agents.tiny.size import TinySize
from vzgym.core.errors import InvalidSetting
from vzgym.core.settings import FilePath, ListOf, Settings, problem

__all__ = ["GRPOSettings", "LoraSettings", "MixtureSettings", "PretrainSettings", "SFTSettings", "TrainSettings"]


class LoraSettings(Settings):
    """Low-rank adapters in place of full training (peft's LoRA)."""

    rank: NonNegativeInt = 0
    """Rank of the adapters. 0: no adapters; all weights that are not frozen are trained."""

    alpha: PositiveInt = 32
    """Scale of the adapters; their output is multiplied by `alpha / rank`."""

    dropout: float = Field(0.0, ge=0, le=1)
    """Share of the adapters' inputs dropped while training."""

    targets: ListOf[str] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )
    """Names of the language model's linear layers that get adapters. Not `lm_head`: vLLM cannot load that."""

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        if "lm_head" in self.targets:
            raise problem(f"targets must be linear layers without lm_head, got {list(self.targets)}", "targets")
        return self


def _no_adapters(value: Any) -> Any:
    return {} if value is None else value


_LORA_SCHEMA = {"anyOf": [LoraSettings.model_json_schema(), {"type": "null"}]}


class TrainSettings(RunSettings):
    """Settings that SFT and GRPO share."""

    model: FilePath = ""
    """Model to start from: a checkpoint folder, or a name on the Hugging Face hub."""

    protocol: Named | None = None
    """Text protocol. null: that of the trajectories (SFT), else the one saved with the model, else `tags`, the
    paper's."""

    model_options: Mapping[str, Any] = Field(default_factory=dict)
    """Arguments of the model's `from_pretrained`, such as `dtype` (default: as saved) or `attn_implementation`."""

    scheduler: Literal["constant", "linear", "cosine", "constant_with_warmup"] = "constant"
    """Learning-rate schedule."""

    warmup_ratio: float = Field(0.0, ge=0, le=1)
    """Share of the steps over which the learning rate rises from 0."""

    weight_decay: NonNegativeFloat = 0.0
    """AdamW's weight decay."""

    max_grad_norm: PositiveFloat = 1.0
    """Gradients are clipped to this norm."""

    accumulation: PositiveInt = 1
    """Batches (GRPO: generation batches) whose gradients are accumulated for one optimizer step."""

    freeze_vision: bool = False
    """Whether the vision tower keeps its weights. The paper freezes it in SFT."""

    lora: Annotated[LoraSettings, BeforeValidator(_no_adapters), WithJsonSchema(_LORA_SCHEMA)] = LoraSettings()
    """Low-rank adapters; null: none."""

    bf16: bool = False
    """Train in bfloat16. For GPUs; slower on most CPUs."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass, which saves memory. For large models."""

    save_steps: NonNegativeInt = 0
    """Steps between two checkpoints; 0: only the finished model is saved."""

    save_limit: PositiveInt = 2
    """Number of checkpoints kept; older ones are deleted."""

    resume: bool = False
    """Continue from the newest checkpoint in `out`, if there is one."""

    report_to: str = "none"
    """Experiment tracker beside `out/log.jsonl`: `none`, `tensorboard`, `wandb`, `trackio`, `mlflow`, `swanlab`,
    `comet_ml`, `clearml`."""

    trainer: Mapping[str, Any] = Field(default_factory=dict)
    """Further options of TRL's own configuration, by its names; they override everything else."""

    def check_sharding(self, splits_weights: str) -> None:
        """Check that the result can be saved if each process holds parts of the weights only.

        Args:
            splits_weights: See `Sharding.splits_weights`.

        Raises:
            InvalidSetting: If adapters could not be merged, since no process holds a whole weight.
        """
        if self.lora.rank and splits_weights:
            raise InvalidSetting(
                f"{type(self).__name__}.lora.rank is {self.lora.rank} under {splits_weights}, where no process holds a "
                "whole weight that the adapters could be merged into: spread the run by ddp or zero2 (--launch), whose "
                "gradients and optimizer are small with adapters, or set lora.rank to 0"
            )


class SFTSettings(TrainSettings):
    """Supervised fine-tuning on trajectories: the cold start. The loss covers the model's own turns only."""

    save_steps: NonNegativeInt = 50
    """Steps between two checkpoints, from which `resume` continues; 0: only the finished model is saved."""

    data: FilePath = ""
    """Folder that `vzgym collect` wrote: a saved `datasets.Dataset` with the columns `messages` and `images`."""

    limit: NonNegativeInt = 0
    """Use only the first trajectories, this many; 0: all."""

    epochs: PositiveFloat = 1.0
    """Passes over the data; ignored if `max_steps` is given."""

    max_steps: NonNegativeInt = 0
    """Optimizer steps; 0: as many as `epochs` takes."""

    batch_size: PositiveInt = 32
    """Trajectories per batch and device."""

    max_length: NonNegativeInt = 0
    """Most tokens of a trajectory, image tokens included; 0: the model's own limit. Longer trajectories are refused,
    not truncated: a truncated trajectory loses frames."""


class MixtureSettings(Settings):
    """A further task set of a GRPO run, with its own budget."""

    tasks: str
    """Tasks to play: a suite, with or without its split and a slice (`count-micro/train[:200]`), or a .jsonl file."""

    num_tasks: NonNegativeInt = 0
    """Use only the first tasks, this many; 0: all."""

    budget: BudgetSetting | None = None
    """As the run's `budget`, for these tasks; null: as the run's. `max_zooms` and `zooms_per_turn` are the same for
    all tasks of a run."""


class GRPOSettings(TrainSettings, BudgetedSettings, ExtrasSettings):
    """Reinforcement learning by GRPO: groups of roll-outs of the same task are compared with each other."""

    num_tasks: NonNegativeInt = 0
    """Use only the first tasks, this many; 0: all."""

    mixture: ListOf[MixtureSettings] = ()
    """Further task sets, whose tasks are mixed with `tasks`. Each task is used equally often: `num_tasks` sets the
    shares."""

    reward: str | Mapping[str, Any] = "videozoomer"
    """A reward preset, a YAML file, or terms by name. Each term is logged."""

    steps: PositiveInt = 100
    """Optimizer steps."""

    groups: PositiveInt = 8
    """Tasks per generation batch, over all devices."""

    group_size: int = Field(8, ge=2)
    """Roll-outs of each task."""

    batch_size: NonNegativeInt = 0
    """Roll-outs per backward pass and device; 0: a whole generation batch. Times the number of devices, it must divide
    `groups * group_size`. A step takes as many passes as the generation batch needs."""

    updates: PositiveInt = 1
    """Optimizer steps among which a generation batch is divided (the paper's mini-batches: 4)."""

    dynamic_sampling: NonNegativeInt = 0
    """Most further batches of as many tasks that are played for a generation batch, to replace groups whose roll-outs
    all have the same reward, which teach nothing. 0: none; such groups stay in the batch."""

    iterations: PositiveInt = 1
    """Number of times that each generation batch is used (mu of the GRPO paper)."""

    temperature: PositiveFloat = 1.0
    """Sampling temperature of the roll-outs."""

    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus (top-p) of the sampled roll-outs."""

    turn_tokens: PositiveInt = 512
    """Most tokens of one turn of the model."""

    completion_tokens: NonNegativeInt = 0
    """Most tokens of all turns and replies together, image tokens included; 0: the most that the budget can need.
    A smaller value is refused at the start: an over-long reply would be dropped without an answer."""

    beta: NonNegativeFloat = 0.0
    """Weight of the KL divergence from the starting model (paper: 1e-3)."""

    epsilon: PositiveFloat = 0.2
    """Lower clipping range of the probability ratio."""

    epsilon_high: PositiveFloat = 0.27
    """Upper clipping range of the probability ratio ("clip higher")."""

    loss: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    """TRL's loss type."""

    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Standard deviation that divides advantages: of the group, of the batch, or none."""

    save_rollouts: NonNegativeInt = 1
    """Steps between two saves of roll-outs as episode records (`out/rollouts.jsonl`); 0: never."""

    log_rollouts_steps: NonNegativeInt = 0
    """Steps between two sets of pictures of roll-outs for the tracker of `report_to`; 0: none."""

    vllm: bool = False
    """Generate with vLLM on the same devices."""

    @model_validator(mode="after")
    def _check_pictures(self) -> Self:
        if self.log_rollouts_steps and self.report_to == "none":
            raise problem(
                "log_rollouts_steps sends pictures to a tracker: set report_to, such as tensorboard",
                "log_rollouts_steps",
            )
        return self

    @model_validator(mode="after")
    def _check_dynamic_sampling(self) -> Self:
        if self.dynamic_sampling and self.trainer.get("multi_objective_aggregation") == "normalize_then_sum":
            raise problem(
                "dynamic_sampling compares total rewards, but trainer.multi_objective_aggregation is "
                "normalize_then_sum, by which each term has a signal of its own: leave one of the two out",
                "dynamic_sampling",
            )
        return self

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        total = self.groups * self.group_size
        if self.batch_size and total % self.batch_size:
            raise problem(
                f"batch_size must be a divisor of groups * group_size ({total}), got {self.batch_size}", "batch_size"
            )
        return self


class PretrainSettings(RunSettings):
    """Perception pre-training of the tiny model, which is built from a seed and learns to name and find events."""

    tasks: str = "needle-micro/train"
    """Suite whose frames and vocabulary the model learns; its questions are not used."""

    protocol: Named = "compact_tags"
    """Text protocol of the model; its tokenizer is trained on this protocol's dialogues."""

    videos: PositiveInt = 300
    """Videos of the suite that frames are taken from."""

    size: TinySize = TinySize()
    """Size of the model."""

    max_steps: PositiveInt = 1500
    """Most optimizer steps."""

    batch_size: PositiveInt = 64
    """Videos per batch."""

    learning_rate: PositiveFloat = 3e-3
    """Highest learning rate."""

    target: float = Field(0.97, ge=0, le=1)
    """Share of right tokens (teacher-forced) in every exercise at which pre-training stops."""

    log_steps: PositiveInt = 25
    """Optimizer steps between two reports of progress."""
