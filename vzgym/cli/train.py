"""`vzgym train`: the stages of a language model that learns to zoom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from vzgym.cli.progress import progress_bar, say
from vzgym.cli.train_plan import DevicesOption, DryOption, LaunchOption, MemoryOption, show_plan
from vzgym.cli.train_sb3 import sb3
from vzgym.core.errors import InvalidSetting

if TYPE_CHECKING:
    from vzgym.core.settings import Settings

__all__ = ["app"]

S = TypeVar("S", bound="Settings")

app = typer.Typer(
    help="Train a vision-language model to zoom: pretrain (tiny models only), sft (the cold start), grpo; or sb3.",
    no_args_is_help=True,
)

app.command("sb3")(sb3)

OutOption = Annotated[str | None, typer.Option(help="Folder for checkpoints, logs and the finished model.")]
ModelOption = Annotated[str | None, typer.Option(help="Where to start: a checkpoint folder, or a model's name.")]
ConfigOption = Annotated[Path | None, typer.Option(help="A YAML file of settings.")]
PresetOption = Annotated[str | None, typer.Option(help="Settings by name: tiny, paper, single-gpu, multi-gpu.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="name=value, any setting; repeatable. Wins over all else.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")]


def _settings(
    cls: type[S],
    preset: str | None,
    config: Path | None,
    pairs: list[str] | None,
    flags: dict[str, Any],
    *,
    out_needed: bool = True,
) -> S:
    """Settings from preset, file and flags; flags that were not given (None, False) leave them as they are."""
    from vzgym.agents.training.config import load_settings, parse_overrides
    from vzgym.core.settings import section_of

    given = {name: value for name, value in flags.items() if value is not None and value is not False}
    settings = load_settings(cls, preset, config, {**given, **parse_overrides(pairs or [])})
    if out_needed and not getattr(settings, "out", ""):
        raise InvalidSetting(f"say where the results go: vzgym train {section_of(cls)} --out FOLDER")
    return settings


def _next(*lines: str) -> None:
    say("Next:" + "".join(f"\n  {line}" for line in lines))


def _preset(name: str | None) -> str:
    return f" --preset {name}" if name else ""


def _held_out(tasks: str) -> str:
    """The tasks to evaluate on: the test split of a suite that was trained on."""
    return f"{tasks.partition('/')[0]}/test" if tasks and not tasks.endswith(".jsonl") else "SUITE"


@app.command()
def pretrain(
    out: OutOption = None,
    tasks: Annotated[str | None, typer.Option(help="The suite whose pictures and words are learnt.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights and the exercises.")] = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
) -> None:
    """Build a tiny model from a seed and teach it to see: a minute or two on one core."""
    from vzgym.agents import PretrainSettings
    from vzgym.agents.training.pretrain import Progress, pretrain

    settings = _settings(PretrainSettings, preset, config, set_, {"out": out, "tasks": tasks, "seed": seed})
    with progress_bar() as bar:
        job = bar.add_task("pre-train", total=settings.max_steps)

        def show(progress: Progress) -> None:
            text = f"pre-train: loss {progress.loss:.3f}, {progress}"
            bar.update(job, completed=progress.step, description=text)

        folder = pretrain(settings, show)
        bar.update(job, completed=settings.max_steps)
    say(f"A model that sees: {folder}")
    _next(
        f"vzgym collect --preset {preset or 'tiny'} --tasks {settings.tasks} --out runs/data",
        f"vzgym train sft --preset {preset or 'tiny'} --model {folder} --data runs/data --out runs/sft",
    )


@app.command()
def sft(
    model: ModelOption = None,
    data: Annotated[str | None, typer.Option(help="Folder that `vzgym collect` wrote.")] = None,
    out: OutOption = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random in the run.")] = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    launch: LaunchOption = None,
    devices: DevicesOption = None,
    device_memory: MemoryOption = None,
) -> None:
    """Cold start: imitate collected trajectories; the loss covers the model's own turns only."""
    from vzgym.agents import SFTSettings
    from vzgym.agents.training.sft import train_sft

    flags = {"model": model, "data": data, "out": out, "seed": seed, "resume": resume}
    settings = _settings(SFTSettings, preset, config, set_, flags, out_needed=not dry_run)
    if dry_run:
        from vzgym.agents.training.plan import plan_sft, read_launch

        show_plan(plan_sft(settings, read_launch(launch, devices), device_memory), launch, preset)
        return
    folder = train_sft(settings)
    tasks = _collected_from(settings.data)
    say(f"Cold start finished: {folder}")
    _next(
        f"vzgym eval --policy {folder} --policy expert --tasks {_held_out(tasks)}",
        f"vzgym train grpo{_preset(preset)} --model {folder} --tasks {tasks or 'SUITE'} --out runs/grpo",
    )


@app.command()
def grpo(
    model: ModelOption = None,
    tasks: Annotated[str | None, typer.Option(help="What to practise on: a suite, or a .jsonl file.")] = None,
    reward: Annotated[
        str | None, typer.Option(help="A reward preset; for weights by module: --set reward={...}.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    out: OutOption = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random in the run.")] = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    launch: LaunchOption = None,
    devices: DevicesOption = None,
    device_memory: MemoryOption = None,
) -> None:
    """Reinforcement learning: groups of roll-outs of the same task, compared with each other (GRPO)."""
    from vzgym.agents import GRPOSettings
    from vzgym.agents.training.grpo import train_grpo

    flags = {
        "model": model, "tasks": tasks, "reward": reward, "steps": steps, "out": out, "seed": seed, "resume": resume,
    }  # fmt: skip
    settings = _settings(GRPOSettings, preset, config, set_, flags, out_needed=not dry_run)
    if dry_run:
        from vzgym.agents.training.plan import plan_grpo, read_launch

        show_plan(plan_grpo(settings, read_launch(launch, devices), device_memory), launch, preset)
        return
    folder = train_grpo(settings)
    say(f"GRPO finished: {folder}")
    _next(f"vzgym eval --policy {settings.model} --policy {folder} --policy expert --tasks {_held_out(settings.tasks)}")


def _collected_from(data: str) -> str:
    """The tasks that a folder of trajectories was made from; "" if it does not say."""
    notes = Path(data) / "collect.json"
    return str(json.loads(notes.read_text(encoding="utf-8")).get("tasks", "")) if notes.is_file() else ""
