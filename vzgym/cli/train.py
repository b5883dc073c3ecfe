"""`vzgym train`: training stages of a vision-language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vzgym.cli.progress import progress_bar, say
from vzgym.cli.settings import (
    ConfigOption,
    OutOption,
    PresetOption,
    ResumeOption,
    SeedOption,
    SetOption,
    read_settings,
)
from vzgym.cli.train_plan import DevicesOption, DryOption, LaunchOption, MemoryOption, show_plan
from vzgym.cli.train_sb3 import sb3
from vzgym.core.errors import InvalidSetting
from vzgym.tasks.task_slice import split_slice

if TYPE_CHECKING:
    from vzgym.agents.settings import RunSettings

__all__ = ["app"]

app = typer.Typer(
    help="Train a vision-language model: pretrain (tiny models only), sft (the cold start), grpo; or a network by sb3.",
    no_args_is_help=True,
)

app.command("sb3")(sb3)

ModelOption = Annotated[str | None, typer.Option(help="Model to start from: a checkpoint folder, or a model's name.")]


def _check_out(settings: RunSettings) -> None:
    from vzgym.core.settings import section_of

    if not settings.out:
        raise InvalidSetting(f"give the folder of the results: vzgym train {section_of(type(settings))} --out FOLDER")


def _next(*lines: str) -> None:
    say("Next:" + "".join(f"\n  {line}" for line in lines))


def _preset(name: str | None) -> str:
    return f" --preset {name}" if name else ""


def _held_out(tasks: str) -> str:
    """The tasks to evaluate on: the test split of a suite that was trained on."""
    name = split_slice(tasks)[0]
    return f"{name.partition('/')[0]}/test" if name and not name.endswith(".jsonl") else "SUITE"


@app.command()
def pretrain(
    out: OutOption = None,
    tasks: Annotated[str | None, typer.Option(help="The suite whose frames and vocabulary the model learns.")] = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
) -> None:
    """Build a tiny model from a seed and pre-train its perception: a minute or two on one core."""
    from vzgym.agents import PretrainSettings
    from vzgym.agents.training.pretrain import Progress, pretrain

    settings = read_settings(PretrainSettings, preset, config, set_, {"out": out, "tasks": tasks, "seed": seed})
    _check_out(settings)
    with progress_bar() as bar:
        job = bar.add_task("pre-train", total=settings.max_steps)

        def show(progress: Progress) -> None:
            text = f"pre-train: loss {progress.loss:.3f}, {progress}"
            bar.update(job, completed=progress.step, description=text)

        folder = pretrain(settings, show)
        bar.update(job, completed=settings.max_steps)
    say(f"Pre-trained model: {folder}")
    _next(
        f"vzgym collect --preset {preset or 'tiny'} --tasks {settings.tasks} --out runs/data",
        f"vzgym train sft --preset {preset or 'tiny'} --model {folder} --data runs/data --out runs/sft",
    )


@app.command()
def sft(
    model: ModelOption = None,
    data: Annotated[str | None, typer.Option(help="Folder that `vzgym collect` wrote.")] = None,
    out: OutOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    launch: LaunchOption = None,
    devices: DevicesOption = None,
    device_memory: MemoryOption = None,
) -> None:
    """Supervised fine-tuning on collected trajectories (cold start); the loss covers the model's own turns only."""
    from vzgym.agents import SFTSettings
    from vzgym.agents.training.sft import train_sft

    flags = {"model": model, "data": data, "out": out, "seed": seed, "resume": resume}
    settings = read_settings(SFTSettings, preset, config, set_, flags)
    if dry_run:
        from vzgym.agents.training.plan import plan_sft, read_launch

        show_plan(plan_sft(settings, read_launch(launch, devices), device_memory), launch, preset)
        return
    _check_out(settings)
    folder = train_sft(settings)
    tasks = _collected_from(settings.data)
    say(f"Fine-tuned model: {folder}")
    _next(
        f"vzgym eval --policy {folder} --policy expert --tasks {_held_out(tasks)}",
        f"vzgym train grpo{_preset(preset)} --model {folder} --tasks {tasks or 'SUITE'} --out runs/grpo",
    )


@app.command()
def grpo(
    model: ModelOption = None,
    tasks: Annotated[str | None, typer.Option(help="Tasks to train on: a suite, or a .jsonl file.")] = None,
    reward: Annotated[
        str | None, typer.Option(help="A reward preset, module or YAML file; for terms: --set reward={...}.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    out: OutOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    launch: LaunchOption = None,
    devices: DevicesOption = None,
    device_memory: MemoryOption = None,
) -> None:
    """Reinforcement learning by GRPO: groups of roll-outs of the same task are compared with each other."""
    from vzgym.agents import GRPOSettings
    from vzgym.agents.training.grpo import train_grpo

    flags = {
        "model": model, "tasks": tasks, "reward": reward, "steps": steps, "out": out, "seed": seed, "resume": resume,
    }  # fmt: skip
    settings = read_settings(GRPOSettings, preset, config, set_, flags)
    if dry_run:
        from vzgym.agents.training.plan import plan_grpo, read_launch

        show_plan(plan_grpo(settings, read_launch(launch, devices), device_memory), launch, preset)
        return
    _check_out(settings)
    folder = train_grpo(settings)
    say(f"Trained model: {folder}")
    _next(f"vzgym eval --policy {settings.model} --policy {folder} --policy expert --tasks {_held_out(settings.tasks)}")


def _collected_from(data: str) -> str:
    """The tasks that a folder of trajectories was collected from; "" if unknown."""
    notes = Path(data) / "collect.json"
    return str(json.loads(notes.read_text(encoding="utf-8")).get("tasks", "")) if notes.is_file() else ""
