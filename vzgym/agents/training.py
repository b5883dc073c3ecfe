"""What imitation and reinforcement share around TRL's trainers: freezing, adapters, logs, resuming, saving."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from vzgym.agents.checkpoints import Checkpoint, complete_checkpoint, save_checkpoint
from vzgym.agents.settings import LoraSettings, TrainSettings
from vzgym.core.errors import InvalidSetting

__all__ = [
    "LogFile",
    "PolicyFiles",
    "adapted_layers",
    "adapters",
    "common_options",
    "freeze_vision",
    "newest_checkpoint",
    "save_result",
]


class LogFile(TrainerCallback):  # type: ignore[misc]
    """Appends each log line of a trainer to a JSONL file, with step and seconds since the start.

    Args:
        path: The file. A run that does not resume begins it anew.
        fresh: Whether to begin anew.
    """

    def __init__(self, path: Path, fresh: bool) -> None:
        self.path = path
        self.started = time.perf_counter()
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.write_text("")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        """Called by the trainer."""
        if not state.is_world_process_zero or not logs:
            return
        line = {"step": state.global_step, "seconds": round(time.perf_counter() - self.started, 2), **logs}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class PolicyFiles(TrainerCallback):  # type: ignore[misc]
    """Makes each checkpoint of a trainer a policy's folder, as the finished model's is.

    Args:
        start: What is trained: its configuration, processor and protocol.
    """

    def __init__(self, start: Checkpoint) -> None:
        self.start = start

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        complete_checkpoint(folder, self.start.model.config, self.start.processor, self.start.protocol)


def common_options(settings: TrainSettings) -> dict[str, Any]:
    """Options that both of TRL's configurations share."""
    return {
        "output_dir": settings.out,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        # Below 1 it is a share of all steps.
        "warmup_steps": min(settings.warmup_ratio, 0.999),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": settings.bf16,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "seed": settings.seed,
        "logging_steps": settings.log_steps,
        "save_strategy": "steps" if settings.save_steps else "no",
        "save_steps": settings.save_steps or 500,
        "save_total_limit": settings.save_limit,
        "report_to": settings.report_to,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "disable_tqdm": not sys.stderr.isatty(),
    }


def check_places(settings: TrainSettings) -> None:
    """Check that a run says where it starts and where its results go.

    Raises:
        InvalidSetting: If it does not.
    """
    for name in ("model", "out"):
        if not getattr(settings, name):
            raise InvalidSetting(f"{type(settings).__name__}.{name} must be given")


def freeze_vision(model: Any) -> int:
    """Keep the vision tower's weights as they are.

    Returns:
        How many weights were frozen.

    Raises:
        InvalidSetting: If the model has no vision tower that the library knows of.
    """
    tower = model.get_encoder(modality="image")
    if any(tower is part for part in (model, model.base_model)):
        raise InvalidSetting(f"freeze_vision: {type(model).__name__} has no vision tower that could be told apart")
    tower.requires_grad_(False)
    return sum(weight.numel() for weight in tower.parameters())


def adapters(settings: TrainSettings, model: Any) -> Any:
    """Give the configuration of the adapters; None if there are none."""
    lora = settings.lora
    if not lora.rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=adapted_layers(model, lora),
        task_type="CAUSAL_LM",
    )


def adapted_layers(model: Any, lora: LoraSettings) -> str:
    """A pattern for the full names of the layers that get adapters: those of the language model alone.

    Raises:
        InvalidSetting: If the language model has none of them.
    """
    language = model.get_decoder()
    place = next(name for name, part in model.named_modules() if part is language)
    pattern = rf"{re.escape(place)}\..*\.({'|'.join(map(re.escape, lora.targets))})"
    if not any(re.fullmatch(pattern, name) for name, _ in model.named_modules()):
        raise InvalidSetting(f"{type(model).__name__} has no layers named {', '.join(lora.targets)} to adapt")
    return pattern


def newest_checkpoint(settings: TrainSettings) -> str | None:
    """The checkpoint to go on from; None to begin anew."""
    if not settings.resume or not Path(settings.out).is_dir():
        return None
    from transformers.trainer_utils import get_last_checkpoint

    found: str | None = get_last_checkpoint(settings.out)
    return found


def save_result(settings: TrainSettings, trainer: Any, start: Checkpoint, seconds: float) -> Path:
    """Save the finished model, adapters merged, and a note of the run: settings, seconds, peak memory.

    The adapters alone go into the folder `adapter`, as peft saves them.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    out = Path(settings.out)
    if settings.lora.rank:
        if trainer.is_world_process_zero():
            model.save_pretrained(out / "adapter")
        model = model.merge_and_unload()
    if trainer.is_world_process_zero():
        save_checkpoint(out, model, start.processor, start.protocol)
        facts = {
            "steps": trainer.state.global_step,
            "seconds": round(seconds, 1),
            "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            "settings": settings.to_dict(),
        }
        (out / "training.json").write_text(json.dumps(facts, indent=2, default=str))
    return out
