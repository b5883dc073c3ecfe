"""`vzgym eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from vzgym.baselines import CONTROLS
from vzgym.cli.progress import console, errors, progress_bar
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation import Report, evaluate
from vzgym.evaluation.tables import rich_table
from vzgym.tasks import TaskSet, load_tasks

__all__ = ["evaluate_command", "run_policies"]


def run_policies(
    policies: list[str],
    tasks: TaskSet,
    episodes: int | None,
    seed: int,
    out: Path | None,
    budget: Budget | None = None,
    reward: str = "videozoomer",
) -> list[Report]:
    """Evaluate policies one after the other, with a progress bar on stderr; each in its own folder under `out`."""
    count = min(200, len(tasks)) if episodes is None else episodes
    reports = []
    with progress_bar() as bar:
        for name in policies:
            task = bar.add_task(f"{name} on {tasks.name}", total=count)
            folder = out / f"{name.replace(':', '.')}-{tasks.name.replace('/', '-')}" if out else None
            report = evaluate(
                name,
                tasks,
                episodes=count,
                seed=seed,
                budget=budget,
                reward=reward,
                out=folder,
                on_episode=lambda record, task=task: bar.advance(task),  # type: ignore[misc]
            )
            bar.update(task, completed=count)
            reports.append(report)
            for task_id, reason in report.failed.items():
                errors.print(f"[red]left out[/] {task_id}: {reason}", highlight=False)
    return reports


def _settings(pairs: list[str]) -> dict[str, Any]:
    """`["max_zooms=2"]` as a mapping, with values read as YAML."""
    settings = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark:
            raise InvalidSetting(f"--budget takes name=value, got {pair!r}")
        settings[key] = yaml.safe_load(value)
    return settings


def evaluate_command(
    policy: Annotated[
        list[str] | None,
        typer.Option(help="A registered name or module:Class; may be given several times. All controls if left out."),
    ] = None,
    tasks: Annotated[str, typer.Option(help="A suite (needle, needle/validation) or a .jsonl file.")] = "tiny",
    episodes: Annotated[int | None, typer.Option(help="How many tasks, from the first; 200 if left out.")] = None,
    seed: Annotated[int, typer.Option(help="Of the policy's randomness.")] = 0,
    budget: Annotated[
        list[str] | None, typer.Option(help="name=value, over the tasks' own budget; repeatable.")
    ] = None,
    reward: Annotated[str, typer.Option(help="The reward whose ledger the records keep.")] = "videozoomer",
    backend: Annotated[str, typer.Option(help="Which decoder reads the videos of a .jsonl file.")] = "pyav",
    out: Annotated[Path | None, typer.Option(help="Folder for records; a stopped run goes on there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Play policies on a set of tasks; print accuracy with intervals, and what it cost."""
    task_set = _load(tasks, backend)
    changes = _settings(budget or [])
    chosen = Budget.from_mapping({**task_set.budget.to_dict(), **changes}) if changes else None
    names = policy or [control.name for control in CONTROLS]
    reports = run_policies(names, task_set, episodes, seed, out, chosen, reward)
    if as_json:
        print(json.dumps([report.to_json() for report in reports], indent=2, ensure_ascii=False))
    else:
        console.print(rich_table(reports))
        if out:
            console.print(f"Records: {out}. Play them again: vzgym replay {out}", highlight=False)


def _load(tasks: str, backend: str) -> TaskSet:
    if tasks.endswith(".jsonl"):
        from vzgym.tasks.jsonl import load_jsonl

        return load_jsonl(tasks, backend=backend)
    return load_tasks(tasks, split="test")
