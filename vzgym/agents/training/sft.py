"""Supervised fine-tuning (the cold start): TRL's SFTTrainer on trajectories, with loss on the model's turns only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vzgym.agents.training.common import (
    LOG,
    LogFile,
    PolicyFiles,
    adapters,
    check_run,
    common_options,
    freeze_vision,
    is_finished,
    newest_checkpoint,
    output_lock,
    prepare_output,
    train,
)
from vzgym.agents.training.processes import process_count
from vzgym.agents.training.progress import ShowProgress, StepReport, print_step
from vzgym.agents.training.settings import SFTSettings
from vzgym.agents.vlm.chat import assistant_header, encode, join_inputs, turn_end, turn_spans
from vzgym.agents.vlm.checkpoint import Checkpoint, open_checkpoint, saved_protocol
from vzgym.agents.vlm.image_checks import image_token, watch_images
from vzgym.core.errors import InvalidSetting
from vzgym.protocols import PROTOCOLS

__all__ = ["TrajectoryCollator", "check_accumulation", "make_trainer", "taught_protocol", "train_sft"]

_IGNORED = -100


class TrajectoryCollator:
    """Collates trajectories into batches, encoded as for inference.

    Args:
        processor: From `open_checkpoint`.
        max_length: Largest number of tokens of a trajectory.
    """

    def __init__(self, processor: Any, max_length: int) -> None:
        self.processor = processor
        self.max_length = max_length
        self._header = assistant_header(processor)
        self._end = turn_end(processor)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Model inputs and labels.

        Args:
            rows: Each with `messages`, whose image blocks hold images (or the row has them in `images`, in order).

        Returns:
            See `join_inputs`, and `labels`: the model's own tokens, -100 everywhere else.

        Raises:
            InvalidSetting: If a trajectory has too many tokens, or no turn of the model. It is never truncated.
            ImagesDropped: If images are missing.
        """
        tokenizer = self.processor.tokenizer
        encoded = [encode(self.processor, trajectory_chat(row), reply=False) for row in rows]
        batch = join_inputs(encoded, tokenizer.pad_token_id, side="right")
        labels = torch.full_like(batch["input_ids"], _IGNORED)
        for i, row in enumerate(encoded):
            ids = row["input_ids"].tolist()
            spans = turn_spans(ids, self._header, self._end)
            if len(ids) > self.max_length or not spans:
                name = rows[i].get("task_id", "?")
                why = f"{len(ids)} tokens, more than max_length {self.max_length}" if spans else "no assistant turn"
                raise InvalidSetting(f"the trajectory of task {name!r} has {why}")
            for start, stop in spans:
                labels[i, start:stop] = batch["input_ids"][i, start:stop]
        return {**batch, "labels": labels}


def trajectory_chat(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row's dialogue as chat messages, with images in place and the environment's replies under the role "tool"."""
    rest = iter(row.get("images") or ())
    chat: list[dict[str, Any]] = []
    for message in row["messages"]:
        blocks = []
        for block in message["content"]:
            if block["type"] == "image" and block.get("image") is None:
                block = {"type": "image", "image": next(rest, None)}
                if block["image"] is None:
                    raise InvalidSetting(f"a trajectory of task {row.get('task_id', '?')!r} lacks images")
            blocks.append(block)
        # Saved trajectories may hold replies under the role "user": a message after the model's turn is a reply.
        reply = bool(chat) and chat[-1]["role"] == "assistant" and message["role"] in ("user", "tool")
        chat.append({"role": "tool" if reply else message["role"], "content": blocks})
    return chat


def taught_protocol(settings: SFTSettings) -> str | Mapping[str, Any] | None:
    """The text protocol that SFT teaches: that of the trajectories.

    Returns:
        The trajectories' protocol; `settings.protocol` if the folder of trajectories does not name one.

    Raises:
        InvalidSetting: If the settings name another protocol than that of the trajectories; or if they name none, and
            the model's folder names another.
    """
    from vzgym.agents.data.dataset import said_protocol

    found = said_protocol(settings.data, settings.protocol)
    if found is None:
        return settings.protocol
    there = dict(found.spec)
    if settings.protocol:
        asked = dict(PROTOCOLS.make(settings.protocol).spec)
        if asked != there:
            raise InvalidSetting(
                f"SFTSettings.protocol is {asked}, but the trajectories in {settings.data} are in {there}: leave "
                f'protocol out, or collect again with --set "protocol={asked}"'
            )
        return there
    kept = saved_protocol(settings.model)
    if kept is not None and dict(kept.spec) != there:
        raise InvalidSetting(
            f"the model in {settings.model} uses {dict(kept.spec)}, but the trajectories in {settings.data} are in "
            f'{there}: collect again with --set "protocol={dict(kept.spec)}"; or, to teach the model another protocol '
            f'than its own, set SFTSettings.protocol (--set "protocol={there}")'
        )
    return there


def train_sft(
    settings: SFTSettings, data: Any = None, callbacks: Sequence[Any] = (), progress: ShowProgress = print_step
) -> Path:
    """Fine-tune a model on trajectories.

    Args:
        settings: See `SFTSettings`.
        data: A dataset of trajectories, in place of the folder `settings.data`.
        callbacks: Further `transformers.TrainerCallback`s.
        progress: Called every `log_steps` steps; prints a line to stderr if not given.

    Returns:
        `settings.out`: the model, `training.json` and `log.jsonl`.

    Raises:
        InvalidSetting: If a setting is invalid, the model takes no images, a trajectory is too long, or the
            trajectories are in another text protocol than that of the settings or the model (see `taught_protocol`);
            or `out` holds a run that is not resumed, or has other settings.
    """
    with output_lock(settings):
        if is_finished(settings):
            return Path(settings.out)
        resumed = newest_checkpoint(settings)
        trainer, start = make_trainer(settings, data, callbacks, resumed, progress)
        return train(settings, trainer, start, resumed)


def make_trainer(
    settings: SFTSettings,
    data: Any = None,
    callbacks: Sequence[Any] = (),
    resumed: str | None = None,
    progress: ShowProgress = print_step,
) -> tuple[Any, Checkpoint]:
    """Prepare TRL's trainer and the starting model; see `train_sft`.

    Args:
        settings: See `SFTSettings`.
        data: A dataset of trajectories, in place of the folder `settings.data`.
        callbacks: Further `transformers.TrainerCallback`s.
        resumed: The trainer's checkpoint that the run will resume from; None for a new run. The output folder is
            prepared for it (see `prepare_output`).
        progress: Called every `log_steps` steps.
    """
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from vzgym.agents.data.dataset import played_budget, played_extras

    check_run(settings, SFTConfig)
    if data is None and not settings.data:
        raise InvalidSetting("SFTSettings.data must be given: a folder that `vzgym collect` wrote")
    protocol = settings.protocol if data is not None else taught_protocol(settings)
    rows = data if data is not None else _load(settings.data)
    if settings.limit:
        rows = rows.select(range(min(settings.limit, len(rows))))
    check_accumulation(settings, len(rows), process_count())
    # Made before the model is opened: with them, ZeRO-3 shards weights as they are read.
    config = SFTConfig(
        **{
            **common_options(settings),
            "per_device_train_batch_size": settings.batch_size,
            "gradient_accumulation_steps": settings.accumulation,
            "num_train_epochs": settings.epochs,
            "max_steps": settings.max_steps or -1,
            "max_length": None,
            "dataset_kwargs": {"skip_prepare_dataset": True},
            **settings.trainer,
        }
    )
    start = open_checkpoint(settings.model, protocol, **settings.model_options)
    if data is None:
        start = replace(start, budget=played_budget(settings.data), extras=played_extras(settings.data))
    else:
        start = replace(start, budget=None, extras=None)
    if settings.freeze_vision:
        freeze_vision(start.model)
    longest = int(start.model.config.get_text_config().max_position_embeddings)
    collator = TrajectoryCollator(start.processor, min(settings.max_length or longest, longest))
    log = LogFile(Path(settings.out) / LOG, resumed)
    report = StepReport(progress)
    trainer = SFTTrainer(
        model=start.model,
        args=config,
        train_dataset=rows,
        data_collator=collator,
        processing_class=start.processor,
        peft_config=adapters(settings, start.model),
        callbacks=[report, log, PolicyFiles(start, log), *callbacks],
    )
    report.attach(trainer)
    watch_images(start.model, image_token(start.processor))
    prepare_output(settings, trainer, resumed)
    return trainer, start


def check_accumulation(settings: SFTSettings, rows: int, devices: int) -> None:
    """Check that there are enough trajectories for the batches of an optimizer step.

    Args:
        settings: Of the run.
        rows: Number of trajectories.
        devices: Number of devices that train.

    Raises:
        InvalidSetting: If there are none, or too few; the trainer would silently use smaller batches.
    """
    if not rows:
        raise InvalidSetting(
            f"{settings.data or 'the dataset'} has no trajectories (0 rows): collect some, with other filters if all "
            "were rejected"
        )
    batches = math.ceil(rows / (settings.batch_size * devices))
    if settings.accumulation > batches:
        raise InvalidSetting(
            f"SFTSettings.accumulation is {settings.accumulation}, but {rows} trajectories are only {batches} batches "
            f"of {settings.batch_size} on {devices} devices: lower accumulation to at most {batches}, or batch_size"
        )


def _load(folder: str) -> Any:
    from vzgym.agents.data.dataset import load_trajectories

    return load_trajectories(folder)
