"""Code around TRL's trainers that SFT and GRPO share: freezing, adapters, logs, resuming, saving."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from vzgym.agents.settings import check_same_run
from vzgym.agents.training.config import SETTINGS, load_settings, save_settings
from vzgym.agents.training.lora import adapted_layers
from vzgym.agents.training.memory import Sharding
from vzgym.agents.training.processes import check_launch, check_packages, first_process, fsdp_stage, running
from vzgym.agents.training.settings import TrainSettings
from vzgym.agents.vlm.checkpoint import Checkpoint, complete_checkpoint, open_model, save_checkpoint
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.core.files import append_json_line, drop_torn_line, folder_lock, read_json, replace_file, write_json
from vzgym.core.memory import peak_memory
from vzgym.core.text import close_name

__all__ = [
    "LogFile",
    "PolicyFiles",
    "adapters",
    "check_device",
    "check_paths",
    "check_run",
    "check_tracker",
    "check_trainer",
    "common_options",
    "freeze_vision",
    "is_finished",
    "newest_checkpoint",
    "output_lock",
    "prepare_output",
    "save_result",
    "train",
]

LOG, ROLLOUTS, FACTS = "log.jsonl", "rollouts.jsonl", "training.json"

_PROGRESS = "vzgym_progress.json"
"""In a trainer's checkpoint: the seconds that the run took up to it, over all restarts."""

_STATE = "trainer_state.json"
"""In a trainer's checkpoint, written by the trainer after the weights and the optimizer state."""

_log = logging.getLogger("vzgym.agents")


class LogFile(TrainerCallback):  # type: ignore[misc]
    """Appends each log line of a trainer to a JSONL file, with step and seconds since the start.

    Args:
        path: The file.
        resumed: The checkpoint that the run resumes from; its seconds are included.
    """

    def __init__(self, path: Path, resumed: str | None = None) -> None:
        self.path = path
        self._earlier = _seconds(resumed)
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of the run so far, over all restarts."""
        return self._earlier + time.perf_counter() - self._started

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        """Called by the trainer."""
        if not state.is_world_process_zero or not logs:
            return
        line = {"step": state.global_step, "seconds": round(self.seconds, 2), **logs}
        # JSON has no NaN, and a loss may be one.
        finite = {key: value if not isinstance(value, float) or math.isfinite(value) else str(value)
                  for key, value in line.items()}  # fmt: skip
        append_json_line(self.path, finite)


class PolicyFiles(TrainerCallback):  # type: ignore[misc]
    """Completes each checkpoint of a trainer, so that it opens as a policy; saves the seconds so far.

    Args:
        start: The model that is trained: its configuration, processor and protocol.
        log: Counts the seconds.
    """

    def __init__(self, start: Checkpoint, log: LogFile) -> None:
        self.start = start
        self.log = log

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        start = self.start
        complete_checkpoint(folder, start.model.config, start.processor, start.protocol, start.budget, start.extras)
        write_json(folder / _PROGRESS, {"seconds": round(self.log.seconds, 2)})


def common_options(settings: TrainSettings) -> dict[str, Any]:
    """Options that TRL's `SFTConfig` and `GRPOConfig` share."""
    return {
        "output_dir": settings.out,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        # Below 1, a fraction of all steps.
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
        "disable_tqdm": True,
    }


def check_run(settings: TrainSettings, config: type[Any]) -> None:
    """Check what can be checked before a model is loaded.

    Args:
        settings: Of the run.
        config: TRL's own dataclass, `SFTConfig` or `GRPOConfig`.

    Raises:
        InvalidSetting: If a path is missing, a setting is unknown to the trainer, or there is no GPU for settings that
            need one, or the run cannot be distributed as its launcher says.
        DependencyNotInstalled: If the experiment tracker, vLLM or DeepSpeed is missing.
    """
    check_paths(settings)
    check_trainer(settings, config)
    check_tracker(settings)
    check_device(settings)
    check_launch(settings, running())
    check_packages(settings, running())


def check_paths(settings: TrainSettings) -> None:
    """Check that `model` and `out` are given.

    Raises:
        InvalidSetting: If one is not.
    """
    for name in ("model", "out"):
        if not getattr(settings, name):
            raise InvalidSetting(f"{type(settings).__name__}.{name} must be given")


_TRACKERS = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "mlflow": "mlflow",
    "swanlab": "swanlab",
    "comet_ml": "comet-ml",
    "clearml": "clearml",
}
"""Packages of experiment trackers, by their module's name, which is also that of `report_to`."""


def check_tracker(settings: TrainSettings) -> None:
    """Check that the experiment tracker is known and installed.

    Raises:
        InvalidSetting: If there is no such tracker.
        DependencyNotInstalled: If its package is missing; with the command that installs it.
    """
    name = settings.report_to
    if name == "none":
        return
    if name not in _TRACKERS:
        raise InvalidSetting(
            f"{type(settings).__name__}.report_to must be one of none, {', '.join(_TRACKERS)}; got {name!r}"
        )
    if importlib.util.find_spec(name) is None:
        raise DependencyNotInstalled(f"report_to: {name} is not installed; run: pip install {_TRACKERS[name]}")


def check_device(settings: TrainSettings) -> None:
    """Check that there is a GPU for settings that need one.

    Raises:
        InvalidSetting: If there is none; the message lists the changes for training on a CPU.
    """
    import torch

    if settings.trainer.get("use_cpu") or torch.accelerator.is_available():
        return
    changes = []
    if settings.bf16:
        changes.append("bf16=false")
    if getattr(settings, "vllm", False):
        changes.append("vllm=false")
    if not changes:
        return
    # Further GPU settings of the presets.
    if "dtype" in settings.model_options:
        changes.append("model_options={}")
    if settings.trainer:
        changes.append("trainer={}")
    if getattr(settings, "budget", None) is not None:
        changes.append("budget=null")
    flags = " ".join(f"--set '{change}'" if "{" in change else f"--set {change}" for change in changes)
    why = " (budget=null: that of the tasks, which a small model's context fits)" if "budget=null" in changes else ""
    raise InvalidSetting(
        f"these settings need a GPU, but none was found. To try them on a CPU, add: {flags}{why}. To plan a run on "
        "another machine, add --dry-run"
    )


def check_trainer(settings: TrainSettings, config: type[Any]) -> None:
    """Check that TRL's configuration has the options of `settings.trainer`.

    Args:
        settings: Of the run.
        config: TRL's own dataclass, `SFTConfig` or `GRPOConfig`.

    Raises:
        InvalidSetting: If it has no option of a name; with similar names.
    """
    valid = [item.name for item in fields(config) if item.init]
    for name in settings.trainer:
        if name not in valid:
            close = close_name(name, valid)
            guess = f"; did you mean {close!r}?" if close else ""
            raise InvalidSetting(
                f"{type(settings).__name__}.trainer: TRL's {config.__name__} has no option {name!r}{guess}"
            )


def freeze_vision(model: Any) -> int:
    """Freeze the vision tower.

    Returns:
        The number of frozen weights.

    Raises:
        InvalidSetting: If the library does not know the model's vision tower.
    """
    tower = model.get_encoder(modality="image")
    if any(tower is part for part in (model, model.base_model)):
        raise InvalidSetting(f"freeze_vision: {type(model).__name__} has no vision tower that the library knows")
    tower.requires_grad_(False)
    _end_gradients_at(tower)
    return sum(weight.numel() for weight in tower.parameters())


def _end_gradients_at(tower: Any, within: Any = None) -> None:
    """Keep gradients out of a frozen vision tower.

    With gradient checkpointing, transformers makes the output of every embedding of a model require gradients, its
    towers' patch embeddings among them. The whole frozen tower would be recomputed and back-propagated for nothing.

    Args:
        tower: The tower. It has no embeddings afterwards, as far as the library asks.
        within: The whole model: nothing is done if `tower` is no part of it but the model itself.
    """
    if within is not None and any(tower is part for part in (within, within.base_model)):
        return
    for part in tower.modules():
        if hasattr(part, "get_input_embeddings"):
            part.get_input_embeddings = _no_embeddings


def _no_embeddings() -> None:
    return None


def adapters(settings: TrainSettings, model: Any) -> Any:
    """The configuration of the adapters; None if there are none."""
    lora = settings.lora
    if not lora.rank:
        return None
    # Adapters are in the language model alone.
    _end_gradients_at(model.get_encoder(modality="image"), within=model)
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=adapted_layers(model, lora),
        task_type="CAUSAL_LM",
    )


_LENGTH = ("steps", "max_steps", "epochs", "trainer.max_steps", "trainer.num_train_epochs")
"""Settings of a run's length."""

_FREE = (
    "out", "resume", "save_*", "log_*", "report_to", "gradient_checkpointing", "model_options.attn_implementation",
    "trainer.save_*", "trainer.logging_*", "trainer.report_to", "trainer.use_cpu", "trainer.ddp_*", "trainer.fsdp*",
    "trainer.deepspeed*", "trainer.dataloader_num_workers", "trainer.dataloader_pin_memory", "trainer.vllm_mode",
    "trainer.vllm_server_*", "trainer.vllm_group_port", "trainer.vllm_gpu_memory_utilization",
    "trainer.vllm_tensor_parallel_size", "trainer.vllm_enable_sleep_mode",
)  # fmt: skip
"""Settings with which a run may be resumed though they differ: what is saved and logged, and on which devices."""


def is_finished(settings: TrainSettings) -> bool:
    """Whether `out` holds this run, finished and without checkpoints: there is nothing to resume, nor to train.

    Raises:
        InvalidSetting: If it holds another finished run without checkpoints, or `resume` is not set.
    """
    out = Path(settings.out)
    if not (out / FACTS).is_file() or _whole_checkpoints(out):
        return False
    if not settings.resume:
        raise InvalidSetting(f"{out} holds a finished run: choose another folder, or delete this one")
    # Without a checkpoint it cannot be trained further.
    _check_settings(settings, _FREE)
    _log.warning("%s holds the finished run: nothing is trained", out)
    return True


def newest_checkpoint(settings: TrainSettings) -> str | None:
    """The checkpoint to resume from; None for a new run. Partly saved checkpoints are ignored.

    Raises:
        InvalidSetting: If there are checkpoints, but `resume` is not set, or the settings are not those of their run.
    """
    whole = _whole_checkpoints(Path(settings.out))
    if not whole:
        return None
    if not settings.resume:
        # They may hold hours of training, and a later `resume` must not use another run's.
        raise InvalidSetting(
            f"{settings.out} holds checkpoints of a run, up to {whole[-1].name}: resume it (resume), choose another "
            "folder, or delete this one"
        )
    _check_settings(settings, (*_FREE, *_LENGTH))
    return str(whole[-1])


def _check_settings(settings: TrainSettings, free: Collection[str]) -> None:
    """Check that the settings of the run in `out` are these, except for those that may differ."""
    before = load_settings(type(settings), file=Path(settings.out) / SETTINGS)
    check_same_run(settings.out, before, settings, free)


def _whole_checkpoints(out: Path) -> list[Path]:
    """A trainer's checkpoints in a folder that were saved completely, oldest first."""
    return [folder for folder in _checkpoints(out) if (folder / _STATE).is_file()]


def _checkpoints(out: Path) -> list[Path]:
    """A trainer's checkpoints in a folder, oldest first."""
    found = [(re.fullmatch(r"checkpoint-(\d+)", folder.name), folder) for folder in out.glob("checkpoint-*")]
    return [folder for _, folder in sorted((int(name[1]), folder) for name, folder in found if name)]


def _step(checkpoint: str) -> int:
    # Written by the trainer, whose JSON may hold NaN.
    return int(json.loads((Path(checkpoint) / _STATE).read_text(encoding="utf-8"))["global_step"])


def _seconds(checkpoint: str | None) -> float:
    """Seconds that a run took up to a checkpoint; 0 if unknown."""
    notes = Path(checkpoint or "") / _PROGRESS
    return float(read_json(notes)["seconds"]) if checkpoint and notes.is_file() else 0.0


@contextmanager
def output_lock(settings: TrainSettings) -> Iterator[None]:
    """Lock the output folder for writing; in a run over several processes, the first one locks it.

    Raises:
        InvalidSetting: If `model` or `out` is not given.
        FolderInUse: If another run writes into it.
    """
    check_paths(settings)
    if not first_process():
        yield
        return
    with folder_lock(settings.out):
        yield


def _sharding_of(state: Any) -> Sharding:
    """How an accelerator shards the model, by its launcher or by options of the trainer."""
    deepspeed, fsdp = getattr(state, "deepspeed_plugin", None), getattr(state, "fsdp_plugin", None)
    if fsdp is not None:
        options = {"fsdp_version": fsdp.fsdp_version, "fsdp_reshard_after_forward": fsdp.reshard_after_forward}
        if fsdp.sharding_strategy is not None:
            options["fsdp_sharding_strategy"] = fsdp.sharding_strategy.name
        return Sharding(stage=fsdp_stage(options, "the trainer's options"), fsdp=True)
    return Sharding(stage=0 if deepspeed is None else deepspeed.zero_stage)


def prepare_output(settings: TrainSettings, trainer: Any, resumed: str | None) -> None:
    """Prepare the output folder for a run, and write `settings.yaml`.

    A new run deletes partly saved checkpoints. A resumed run drops log lines and roll-outs that were written after its
    checkpoint, since those steps are repeated. Called after all checks, so that a refused run changes no files.

    Args:
        settings: Of the run.
        trainer: Ready to run.
        resumed: The checkpoint to resume from, if any.

    Raises:
        InvalidSetting: If the result could not be saved under the run's sharding.
    """
    settings.check_sharding(_sharding_of(trainer.accelerator.state).splits_weights)
    # In one process only. The others write nothing before they synchronize in the first step.
    if not trainer.is_world_process_zero():
        return
    out = Path(settings.out)
    save_settings(settings, out)
    # A run that is trained further is not finished (see `is_finished`).
    (out / FACTS).unlink(missing_ok=True)
    if resumed is not None:
        step = _step(resumed)
        _keep_lines(out / LOG, lambda line: line["step"] <= step)
        # A roll-out records the number of steps before it.
        _keep_lines(out / ROLLOUTS, lambda line: line["info"]["step"] < step)
        return
    if settings.resume:
        _log.warning("%s: this is a new run (there is no complete checkpoint to resume from)", out)
    for folder in _checkpoints(out):
        shutil.rmtree(folder)
    (out / LOG).write_text("")
    (out / ROLLOUTS).unlink(missing_ok=True)


def _keep_lines(file: Path, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    """Drop lines from a JSONL file, and an unfinished last line."""
    if not file.is_file():
        return
    drop_torn_line(file)
    with replace_file(file) as partial, file.open("rb") as lines, partial.open("wb") as kept:
        kept.writelines(line for line in lines if keep(json.loads(line)))


def train(settings: TrainSettings, trainer: Any, start: Checkpoint, resumed: str | None) -> Path:
    """Run a trainer, from a checkpoint if one is given, and save the result.

    A checkpoint with at least the required number of steps is the result, since the trainer would add one more step.

    Returns:
        `settings.out`.
    """
    # Read first: the trainer deletes old checkpoints when it saves new ones.
    began, earlier = time.perf_counter(), _seconds(resumed)
    if resumed is None or _step(resumed) < _wanted_steps(trainer):
        trainer.train(resume_from_checkpoint=resumed)
        return save_result(settings, trainer, start, earlier + time.perf_counter() - began)
    _log.warning("%s has all %d steps already: nothing is trained", resumed, _step(resumed))
    if trainer.is_world_process_zero():
        _save_again(settings, start, Path(resumed))
    return Path(settings.out)


def _wanted_steps(trainer: Any) -> int:
    args = trainer.args
    if args.max_steps > 0:
        return int(args.max_steps)
    epochs, batches = float(args.num_train_epochs), len(trainer.get_train_dataloader())
    return math.ceil(epochs * max(1, math.ceil(batches / int(args.gradient_accumulation_steps))))


def save_result(settings: TrainSettings, trainer: Any, start: Checkpoint, seconds: float) -> Path:
    """Save the finished model with merged adapters, and `training.json`: settings, seconds, peak memory.

    The adapters themselves are saved in the folder `adapter`, as peft saves them.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    # Under ZeRO-3 each process holds a part of each weight; gathering them takes all processes.
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    out = Path(settings.out)
    if not trainer.is_world_process_zero():
        return out
    if settings.lora.rank:
        model.save_pretrained(out / "adapter", state_dict=weights)
        # Each process has all weights (`check_sharding`); merging changes their names.
        model, weights = model.merge_and_unload(), None
    save_checkpoint(out, model, start.processor, start.protocol, weights, start.budget, start.extras)
    _save_facts(settings, trainer.state.global_step, seconds)
    return out


def _save_again(settings: TrainSettings, start: Checkpoint, checkpoint: Path) -> None:
    """Save a checkpoint as the finished model."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    out = Path(settings.out)
    # Nothing was trained, so the model is not sharded: this process opens all of it.
    unset_hf_deepspeed_config()
    model = open_model(str(checkpoint), settings.model_options)
    save_checkpoint(out, model, start.processor, start.protocol, budget=start.budget, extras=start.extras)
    for file in checkpoint.glob("adapter_*"):
        (out / "adapter").mkdir(exist_ok=True)
        shutil.copy(file, out / "adapter")
    _save_facts(settings, _step(str(checkpoint)), _seconds(str(checkpoint)))


def _save_facts(settings: TrainSettings, steps: int, seconds: float) -> None:
    facts = {
        "steps": steps,
        "seconds": round(seconds, 1),
        "peak_memory_gb": peak_memory(),
        "settings": settings.to_dict(),
    }
    # Options for the model may hold objects, such as a dtype.
    write_json(Path(settings.out) / FACTS, json.loads(json.dumps(facts, default=str)))
