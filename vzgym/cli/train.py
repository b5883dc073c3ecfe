"""`vzgym train`: training stages of a vision-language model."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vzgym.cli.outputs import evaluation_command, sibling
from vzgym.cli.policies import named_tools
from vzgym.cli.progress import progress_bar, say
from vzgym.cli.settings import (
    ConfigOption,
    OutOption,
    PresetOption,
    ResumeOption,
    SeedOption,
    SetOption,
    SubtitlesOption,
    ToolOption,
    read_settings,
)
from vzgym.cli.train_plan import CalibrateOption, DevicesOption, DryOption, LaunchOption, MemoryOption, show_plan
from vzgym.cli.train_sb3 import sb3
from vzgym.core.errors import InvalidSetting

if TYPE_CHECKING:
    from vzgym.agents.settings import RunSettings
    from vzgym.agents.training.progress import StepProgress

__all__ = ["app"]

app = typer.Typer(
    help="Train a vision-language model: pretrain (tiny models only), sft (the cold start), grpo. "
    "Or train a small network: sb3.",
    no_args_is_help=True,
    rich_markup_mode=None,
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


@contextmanager
def _step_bar(title: str) -> Iterator[Callable[[StepProgress], None]]:
    """Shows a line for each step, and on a terminal a progress bar below them."""
    with progress_bar(report=False) as bar:
        job = bar.add_task(title, total=None)

        def show(progress: StepProgress) -> None:
            say(str(progress), bar.console)
            bar.update(job, completed=progress.step, total=progress.steps)

        yield show


@app.command()
def pretrain(
    out: OutOption = None,
    tasks: Annotated[str | None, typer.Option(help="The suite whose frames and vocabulary the model learns.")] = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
) -> None:
    """Initialize a tiny model and pre-train its perception: a minute or two on one core."""
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
        bar.update(job, total=bar.tasks[job].completed)
    say(f"Pre-trained model: {folder}")
    data, model = sibling(folder, "data"), shlex.quote(str(folder))
    _next(
        f"vzgym collect --preset {preset or 'tiny'} --tasks {shlex.quote(settings.tasks)} --out {data}",
        f"vzgym train sft --preset {preset or 'tiny'} --model {model} --data {data} --out {sibling(folder, 'sft')}",
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
    calibrate: CalibrateOption = False,
    launch: LaunchOption = None,
    devices: DevicesOption = None,
    device_memory: MemoryOption = None,
) -> None:
    """Supervised fine-tuning on collected trajectories (cold start), with the loss on the model's turns only."""
    from vzgym.agents import SFTSettings
    from vzgym.agents.training.processes import first_process
    from vzgym.agents.training.sft import train_sft

    flags = {"model": model, "data": data, "out": out, "seed": seed, "resume": resume}
    settings = read_settings(SFTSettings, preset, config, set_, flags)
    if dry_run:
        from vzgym.agents.training.plan import plan_sft, read_launch

        show_plan(plan_sft(settings, read_launch(launch, devices), device_memory), launch, preset, calibrate)
        return
    _check_out(settings)
    with _step_bar("sft") as show:
        folder = train_sft(settings, progress=show)
    if not first_process():
        return
    tasks = _collected_from(settings.data)
    say(f"Fine-tuned model: {folder}")
    _next(
        evaluation_command([str(folder)], tasks, "expert"),
        f"vzgym train grpo{_preset(preset)} --model {shlex.quote(str(folder))} --tasks {shlex.quote(tasks or 'TASKS')} "
        f"--out {sibling(folder, 'grpo')}",
    )


@app.command()
def grpo(
    model: ModelOption = None,
    tasks: Annotated[str | None, typer.Option(help="Tasks to train on: a suite, or a .jsonl file.")] = None,
    reward: Annotated[
        str | None, typer.Option(help="A reward: a preset, a module, a .yaml file, or {accuracy: 1, ...}.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    tool: ToolOption = None,
    subtitles: SubtitlesOption = None,
    out: OutOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    dry_run: DryOption = False,
    calibrate: CalibrateOption = False,
    launch: LaunchOption = None,
    devices: DevicesOption = None,
    device_memory: MemoryOption = None,
) -> None:
    """Reinforcement learning with GRPO, on groups of roll-outs of the same task."""
    from vzgym.agents import GRPOSettings
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.processes import first_process

    flags = {
        "model": model, "tasks": tasks, "reward": reward, "steps": steps, "out": out, "seed": seed, "resume": resume,
        "tools": named_tools(tool), "subtitles": subtitles,
    }  # fmt: skip
    settings = read_settings(GRPOSettings, preset, config, set_, flags)
    if dry_run:
        from vzgym.agents.training.plan import plan_grpo, read_launch

        show_plan(plan_grpo(settings, read_launch(launch, devices), device_memory), launch, preset, calibrate)
        return
    _check_out(settings)
    with _step_bar("grpo") as show:
        folder = train_grpo(settings, progress=show)
    if not first_process():
        return
    say(f"Trained model: {folder}")
    _next(
        f"vzgym view {shlex.quote(str(folder))}",
        evaluation_command([_played(settings.model), str(folder)], settings.tasks, "expert"),
    )


def _played(model: str) -> str:
    """A model in the form of `vzgym eval`: a folder, or a mapping for a name on the hub."""
    hub = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) and not Path(model).exists()
    return f"{{name: vlm, path: {model}}}" if hub else model


def _collected_from(data: str) -> str:
    """The tasks from which trajectories in a folder were collected; "" if unknown."""
    notes = Path(data) / "collect.json"
    return str(json.loads(notes.read_text(encoding="utf-8")).get("tasks", "")) if notes.is_file() else ""
