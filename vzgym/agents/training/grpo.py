"""Reinforcement learning: TRL's GRPOTrainer with an `Episode` behind its tool loop."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from vzgym.agents.metadata import saved_budget, saved_extras
from vzgym.agents.training.common import (
    FACTS,
    LOG,
    ROLLOUTS,
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
from vzgym.agents.training.mixture import common_budget, environment_factories, training_rows, training_tasks
from vzgym.agents.training.processes import mean_over_processes, process_count
from vzgym.agents.training.progress import ShowProgress, StepReport, print_step
from vzgym.agents.training.rewards import Scorer
from vzgym.agents.training.rollout_log import RolloutPictures
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.training.tool_environment import install_turn_parser
from vzgym.agents.vlm.chat import suppressed_tokens
from vzgym.agents.vlm.checkpoint import (
    Checkpoint,
    open_model,
    open_processor,
    resolve_protocol,
    vision_config,
)
from vzgym.agents.vlm.image_checks import image_token, watch_images
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import read_json, read_json_lines, write_json
from vzgym.rewards import RewardMix, make_reward
from vzgym.rewards.statistics import logged_statistics, silent_terms
from vzgym.tasks.budgets import budget_changes

__all__ = ["check_groups", "check_whole_groups", "make_trainer", "split_rollouts", "train_grpo"]

_log = logging.getLogger("vzgym.agents")


def train_grpo(settings: GRPOSettings, callbacks: Sequence[Any] = (), progress: ShowProgress = print_step) -> Path:
    """Train a model with GRPO.

    Args:
        settings: See `GRPOSettings`.
        callbacks: Further `transformers.TrainerCallback`s.
        progress: Called after each step; prints a line to stderr if not given.

    Returns:
        `settings.out`: the model, `training.json`, `log.jsonl` (rewards by module, metrics, statistics of the reward
        terms) and `rollouts.jsonl`.

    Raises:
        InvalidSetting: If a setting is invalid, the model takes no images, completions are too short for the clips, or
            no task's video can be opened (single tasks are skipped with a warning); or `out` holds a run that is not
            resumed, or has other settings.
        ImagesDropped: If frames are dropped on their way to the model.
    """
    with output_lock(settings):
        if is_finished(settings):
            return Path(settings.out)
        resumed = newest_checkpoint(settings)
        trainer, start = make_trainer(settings, callbacks, resumed, progress)
        out = train(settings, trainer, start, resumed)
        if trainer.is_world_process_zero():
            _add_term_statistics(out)
        return out


def _add_term_statistics(out: Path) -> None:
    """Add the statistics of the reward terms to `training.json`, and warn of terms that changed no advantage."""
    terms = logged_statistics(line for _, line in read_json_lines(out / LOG, torn="skip"))
    write_json(
        out / FACTS, {**read_json(out / FACTS), "reward_terms": {name: term.to_json() for name, term in terms.items()}}
    )
    for note in silent_terms(terms):
        _log.warning(note)


def make_trainer(
    settings: GRPOSettings,
    callbacks: Sequence[Any] = (),
    resumed: str | None = None,
    progress: ShowProgress = print_step,
) -> tuple[Any, Checkpoint]:
    """Prepare TRL's trainer and the starting model.

    Args:
        settings: See `GRPOSettings`.
        callbacks: Further `transformers.TrainerCallback`s.
        resumed: The trainer's checkpoint that the run will resume from; None for a new run. The output folder is
            prepared for it (see `prepare_output`).
        progress: Called after each step.
    """
    # TRL warns that its tool loop is experimental; our requirements bound its version.
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig

    from vzgym.agents.training.episode_trainer import EpisodeTrainer

    check_run(settings, GRPOConfig)
    if not settings.tasks:
        raise InvalidSetting('GRPOSettings.tasks must be given, such as "needle-micro/train"')
    # All of this is checked before the model is loaded, which may take minutes.
    mix = make_reward(settings.reward)
    batch, passes = split_rollouts(settings, process_count())
    check_whole_groups(settings, mix, batch * passes)
    processor, protocol = open_processor(settings.model), resolve_protocol(settings.model, settings.protocol)
    learned = saved_extras(settings.model)
    extras = settings.extras(learned)
    if learned is not None and (changes := extras.changes(learned)):
        _log.warning("%s is trained on with %s", settings.model, changes)
    extras.load()
    trained_with = saved_budget(settings.model)
    parts = training_tasks(settings, processor, protocol, extras, trained_with)
    for part in parts:
        if trained_with is not None and trained_with != part.budget:
            changes = budget_changes(part.budget, trained_with, "trained with")
            _log.warning("%s was trained with another budget than this run's: %s", settings.model, changes)
    text = vision_config(settings.model).get_text_config()
    limit = max(part.need.check(settings, int(text.max_position_embeddings)) for part in parts)
    reward = settings.reward if isinstance(settings.reward, str) else dict(settings.reward)
    out = Path(settings.out)
    info = {"policy": settings.model, "reward": reward, "vzgym": version("vzgym"), "seed": settings.seed}
    sets = [part.name for part in parts]
    scorer = Scorer(mix, info, out / ROLLOUTS, settings.save_rollouts, hold=settings.dynamic_sampling > 0, sets=sets)
    rows = Dataset.from_dict(training_rows(parts))
    check_groups(settings, len(rows))
    # Made before the model is opened: with them, ZeRO-3 shards weights as they are read.
    config = GRPOConfig(
        **{
            **common_options(settings),
            "max_steps": settings.steps,
            "per_device_train_batch_size": batch,
            "gradient_accumulation_steps": _accumulation(settings, passes),
            "steps_per_generation": passes,
            "num_generations": settings.group_size,
            "num_iterations": settings.iterations,
            "max_completion_length": limit,
            "max_tool_calling_iterations": parts[0].budget.max_zooms,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "beta": settings.beta,
            "epsilon": settings.epsilon,
            "epsilon_high": settings.epsilon_high,
            "loss_type": settings.loss,
            "scale_rewards": settings.scale_rewards,
            "reward_weights": scorer.weights,
            "use_vllm": settings.vllm,
            "generation_kwargs": _generation(settings, processor, int(text.vocab_size)),
            **({"vllm_mode": "colocate"} if settings.vllm else {}),
            **settings.trainer,
        }
    )
    model = open_model(settings.model, settings.model_options)
    start = Checkpoint(model, processor, protocol, settings.model, common_budget(parts), extras.to_json())
    _check_loop(settings, start)
    if settings.freeze_vision:
        freeze_vision(start.model)
    install_turn_parser(start.processor, start.protocol, parts[0].rules)
    functions: list[Any] = [*scorer.functions]
    log = LogFile(out / LOG, resumed)
    report = StepReport(progress, lambda: mean_over_processes(scorer.measures))
    pictures = []
    if settings.log_rollouts_steps:
        pictures = [
            RolloutPictures(settings.report_to, settings.log_rollouts_steps, lambda: scorer.latest, settings.out)
        ]
    trainer = EpisodeTrainer(
        model=start.model,
        reward_funcs=functions,
        args=config,
        train_dataset=rows,
        processing_class=start.processor,
        peft_config=adapters(settings, start.model),
        environment_factory=environment_factories(parts, start.protocol, extras),
        callbacks=[report, log, PolicyFiles(start, log), *pictures, *callbacks],
        further=settings.dynamic_sampling,
        settle=scorer.settle,
    )
    report.attach(trainer)
    for callback in pictures:
        callback.attach(trainer)
    watch_images(start.model, image_token(start.processor))
    prepare_output(settings, trainer, resumed)
    return trainer, start


def _check_loop(settings: GRPOSettings, start: Checkpoint) -> None:
    """Check that the model takes the inputs that TRL's roll-out loop makes.

    The loop passes the image processor's output for a tool's images unchanged, and token types.

    Raises:
        InvalidSetting: If the model does not take them.
    """
    taken = set(inspect.signature(start.model.forward).parameters)
    blank = Image.new("RGB", (64, 64))
    made = set(start.processor.image_processor(images=[blank, blank], return_tensors="pt"))
    refused = ", ".join(sorted(made - taken))
    if not taken & {"mm_token_type_ids", "token_type_ids"}:
        refused = "token types"
    if refused and not settings.vllm:
        raise InvalidSetting(
            f"{type(start.model).__name__} does not take {refused}, which TRL's roll-out loop passes to a model whose "
            "tool returns images: it can be evaluated and fine-tuned, but not trained with GRPO. Use one that does, "
            "such as Qwen-VL"
        )


def check_groups(settings: GRPOSettings, tasks: int) -> None:
    """Check that there are enough tasks for the generation batches of an optimizer step.

    Args:
        settings: Of the run.
        tasks: Number of tasks that can be played.

    Raises:
        InvalidSetting: If there are too few; the trainer would silently use smaller batches.
    """
    if settings.groups > tasks:
        raise InvalidSetting(
            f"GRPOSettings.groups is {settings.groups}, but there are only {tasks} tasks: lower it to at most {tasks}"
        )
    if settings.groups * settings.accumulation > tasks:
        raise InvalidSetting(
            f"GRPOSettings.accumulation is {settings.accumulation}: a step would take as many batches of "
            f"{settings.groups} tasks, but there are only {tasks} tasks: lower accumulation to at most "
            f"{tasks // settings.groups}, or groups"
        )
    if settings.groups * (1 + settings.dynamic_sampling) > tasks:
        raise InvalidSetting(
            f"GRPOSettings.dynamic_sampling is {settings.dynamic_sampling}: a batch of {settings.groups} tasks and as "
            f"many further ones would be played, but there are only {tasks} tasks: lower dynamic_sampling to at most "
            f"{tasks // settings.groups - 1}, or groups"
        )


def split_rollouts(settings: GRPOSettings, devices: int) -> tuple[int, int]:
    """Split the roll-outs of a generation batch over devices and backward passes.

    Returns:
        Roll-outs of one backward pass on each device, and the number of passes.

    Raises:
        InvalidSetting: If they cannot be split evenly.
    """
    total = settings.groups * settings.group_size
    batch = settings.batch_size or max(1, total // devices)
    if total % (batch * devices):
        raise InvalidSetting(
            f"{settings.groups} groups of {settings.group_size} are {total} roll-outs; they cannot be split over "
            f"{devices} devices in passes of {batch}: groups * group_size must be a multiple of batch_size * devices"
        )
    return batch, total // (batch * devices)


def check_whole_groups(settings: GRPOSettings, mix: RewardMix, rollouts: int) -> None:
    """Check that no group is split over processes if its roll-outs are compared there.

    Reward modules that compare them do, and dynamic sampling, which replaces whole groups.

    Args:
        settings: Of the run.
        mix: The reward.
        rollouts: Roll-outs of a generation batch in each process.

    Raises:
        InvalidSetting: If a group is split: only a part of it would be compared.
    """
    comparing = [name for name, term in mix.terms.items() if "group" in term.needs]
    if settings.dynamic_sampling:
        comparing.append("dynamic_sampling")
    if comparing and rollouts % settings.group_size:
        raise InvalidSetting(
            f"each process plays {rollouts} roll-outs of a generation batch, so that groups of {settings.group_size} "
            f"are split over processes, but {', '.join(comparing)} compares the roll-outs of a whole group: make "
            f"GRPOSettings.groups a multiple of the number of processes, or leave {' and '.join(comparing)} out"
        )


def _accumulation(settings: GRPOSettings, passes: int) -> int:
    """Backward passes of one optimizer step.

    Raises:
        InvalidSetting: If a generation batch's passes cannot be split evenly over its optimizer steps.
    """
    if passes % settings.updates:
        raise InvalidSetting(
            f"a generation batch has {passes} backward passes on each device; they cannot be split over "
            f"{settings.updates} optimizer steps: lower GRPOSettings.batch_size, or make updates a divisor of {passes}"
        )
    return passes * settings.accumulation // settings.updates


def _generation(settings: GRPOSettings, processor: Any, vocabulary: int) -> dict[str, Any]:
    """The token limit of a turn and the suppressed tokens, as options of vLLM or transformers."""
    suppressed = suppressed_tokens(processor)
    if settings.vllm:
        # vLLM has no `suppress_tokens`, and refuses ids outside the model's vocabulary.
        return {
            "max_tokens": settings.turn_tokens,
            "logit_bias": {token: -100.0 for token in suppressed if token < vocabulary},
        }
    return {"max_new_tokens": settings.turn_tokens, "suppress_tokens": suppressed}
