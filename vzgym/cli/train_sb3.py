"""`vzgym train sb3`: training with Stable-Baselines3."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from vzgym.cli.outputs import evaluation_command
from vzgym.cli.progress import progress_bar, say
from vzgym.cli.settings import ConfigOption, OutOption, ResumeOption, SeedOption, SetOption, read_settings
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting

__all__ = ["sb3"]


def sb3(
    out: OutOption = None,
    algo: Annotated[str | None, typer.Option(help="maskable_ppo, ppo, a2c or dqn.")] = None,
    tasks: Annotated[str | None, typer.Option(help="A suite; its train split is the default.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the environments in total.")] = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
) -> None:
    """Train a small network from scratch with Stable-Baselines3: minutes on a laptop."""
    for package in ("stable_baselines3", "sb3_contrib"):
        if importlib.util.find_spec(package) is None:
            raise DependencyNotInstalled(f'{package} is not installed; run: pip install "vzgym[sb3]"')
    from vzgym.agents.sb3 import SB3Settings, train_sb3

    flags = {"out": out, "algo": algo, "tasks": tasks, "steps": steps, "seed": seed}
    settings = read_settings(SB3Settings, None, config, set_, flags)
    if not settings.out:
        raise InvalidSetting("give the folder of the results: vzgym train sb3 --out FOLDER")
    with progress_bar() as bar:
        job = bar.add_task(f"{settings.algo} on {settings.tasks}", total=settings.steps)

        def show(done: int, measures: dict[str, float]) -> None:
            told = f": validation {measures['accuracy']:.1%}" if measures else ""
            bar.update(job, completed=done, description=f"{settings.algo} on {settings.tasks}{told}")

        folder = train_sb3(settings, resume=resume, progress=show)
    say(f"Trained model: {folder}")
    say(f"Next:\n  {evaluation_command([str(folder)], settings.tasks, 'overview', 'uniform', 'oracle')}")
