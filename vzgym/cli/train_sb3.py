"""`vzgym train sb3`: a learner of Stable-Baselines3 that zooms."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from vzgym.cli.progress import progress_bar, say
from vzgym.core.errors import DependencyNotInstalled

__all__ = ["sb3"]


def sb3(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, logs and the finished model.")],
    algo: Annotated[str, typer.Option(help="maskable_ppo, ppo, a2c or dqn.")] = "maskable_ppo",
    tasks: Annotated[str, typer.Option(help="A suite; its train split is practised on.")] = "needle-tiny",
    steps: Annotated[int | None, typer.Option(help="Steps of the environment in all.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, tasks and actions.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value (YAML), any field of SB3Settings; repeatable. Wins over all else."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")] = False,
) -> None:
    """Train a small network from nothing: minutes on a laptop."""
    for package in ("stable_baselines3", "sb3_contrib"):
        if importlib.util.find_spec(package) is None:
            raise DependencyNotInstalled(f'{package} is not installed; run: pip install "vzgym[sb3]"')
    from vzgym.agents.sb3 import SB3Settings, train_sb3
    from vzgym.agents.training.config import load_settings, parse_overrides

    flags: dict[str, str | int] = {"out": str(out), "algo": algo, "tasks": tasks, "seed": seed}
    if steps is not None:
        flags["steps"] = steps
    settings = load_settings(SB3Settings, overrides={**flags, **parse_overrides(set_ or [])})
    with progress_bar() as bar:
        job = bar.add_task(f"{settings.algo} on {settings.tasks}", total=settings.steps)

        def show(done: int, measures: dict[str, float]) -> None:
            told = f": validation {measures['accuracy']:.1%}" if measures else ""
            bar.update(job, completed=done, description=f"{settings.algo} on {settings.tasks}{told}")

        folder = train_sb3(settings, resume=resume, progress=show)
    say(f"A learner that zooms: {folder}")
    suite = settings.tasks.partition("/")[0]
    controls = "--policy overview --policy uniform --policy oracle"
    say(f"Next:\n  vzgym eval --policy {folder} {controls} --tasks {suite}/test")
