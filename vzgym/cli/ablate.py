"""`vzgym ablate`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Group as Lines
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vzgym.cli.progress import console, errors, say
from vzgym.cli.workers import GpusOption, RayOption, make_executor
from vzgym.core.text import duration_text
from vzgym.tasks import load_tasks

if TYPE_CHECKING:
    from vzgym.evaluation.experiments import Event, Grid, Results, Stage

__all__ = ["ablate"]


def ablate(
    file: Annotated[Path, typer.Argument(help="The experiment, a YAML file.")],
    out: Annotated[
        Path, typer.Option(help="Folder of all experiments, which share stages; results are written to OUT/NAME.")
    ] = Path("runs/experiments"),
    workers: Annotated[int, typer.Option(help="Number of concurrent processes.", min=1)] = 1,
    threads: Annotated[int, typer.Option(help="Threads of numpy and torch in each process.", min=1)] = 1,
    ray: RayOption = None,
    gpus_per_worker: GpusOption = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which stages would run, and why.")] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Try the experiment: every stage cut short, two seeds, results in OUT/NAME-quick that say nothing.",
        ),
    ] = False,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Also give accuracy by category, duration or metadata.KEY; repeatable."),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Only rewrite tables, plots and page.")] = False,
) -> None:
    """Run an experiment: a grid of rewards, learners, tasks, budgets and seeds. An interrupted one continues."""
    from vzgym.evaluation.breakdown import check_by, check_keys
    from vzgym.evaluation.experiments import load_experiment, make_grid, run_grid, write_results

    for key in by or ():
        check_by(key)
    grid = make_grid(load_experiment(file, quick=quick))
    played = dict.fromkeys((cell.stage.settings["tasks"], cell.stage.settings["episodes"]) for cell in grid.cells)
    for tasks, episodes in played:
        check_keys(by or (), load_tasks(tasks, "test"), episodes)
    if dry_run:
        _show_grid(grid, out)
        return
    failed: dict[str, str] = {}
    if not report:
        executor = make_executor(workers, ray, gpus_per_worker, threads=threads, fresh=True)
        with _Display(grid, out) as display:
            outcome = run_grid(
                grid, out, workers=executor, threads=threads, on_event=display.show, on_tick=display.update
            )
        failed = outcome.failed
    results = write_results(grid, out, by or ())
    _show_results(results, by or ())
    folder = out / grid.experiment.settings.name
    say(f"The page: {folder / 'index.html'}; every cell: {folder / 'cells.csv'}")
    if failed:
        for stage in grid.stages:
            if stage.digest in failed:
                _show_failure(stage, out, failed[stage.digest])
        raise typer.Exit(1)


def _show_grid(grid: Grid, out: Path) -> None:
    """Print the number of finished stages, and the stages to run with the reason."""
    settings = grid.experiment.settings
    # Only names that cells have: those of rewards are ignored by learners that are not trained on them.
    found = {
        axis: {cell.names[axis] for cell in grid.cells} - {""} for axis in ("reward", "learner", "tasks", "budget")
    }
    found["seed"] = {str(cell.seed) for cell in grid.cells}
    counts = [
        f"{len(names)} {axis.removesuffix('s')}{'s' if len(names) > 1 else ''}"
        for axis, names in found.items()
        if names
    ]
    say(f"{settings.title or settings.name}: {len(grid.cells)} cells ({', '.join(counts)})")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("stage", "total", "done", "to run"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    to_run = [stage for stage in grid.stages if stage.done(out) is None]
    for kind in dict.fromkeys(stage.kind for stage in grid.stages):
        total, left = (sum(stage.kind == kind for stage in stages) for stages in (grid.stages, to_run))
        table.add_row(kind, str(total), str(total - left), str(left))
    console.print(table)
    # The seeds of a stage usually share a reason.
    lines: dict[tuple[str, str], list[int]] = {}
    for stage in to_run:
        seeds = lines.setdefault((stage.name, stage.why_not_done(out)), [])
        seeds += [] if stage.seed is None else [stage.seed]
    for (name, reason), seeds in lines.items():
        of = f", seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}" if seeds else ""
        say(f"  {name}{of}: {reason}")
    if not to_run:
        say("Everything is done.")


def _show_results(results: Results, by: Sequence[str]) -> None:
    from vzgym.evaluation.experiments.tables import finer_tables, interval_note

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for axis in results.grid.axes:
        table.add_column(axis, overflow="fold")
    for heading in ("seeds", "accuracy % [95 %]", "zooms", "frames"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group in results.groups:
        numbers = [group.metric("zooms"), group.metric("frames")]
        table.add_row(
            *(Text(group.names[axis] or "-") for axis in results.grid.axes),
            Text(f"{len(group.done)}/{len(group.rows)}"),
            Text(group.metric("correct").text()),
            *(Text(f"{number.value:.2f}" if number.n else "-") for number in numbers),
        )
    console.print(table)
    say(interval_note(results, differences=False))
    for finer in finer_tables(results, by):
        say(f"\n{finer.title}")
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for place, heading in enumerate(finer.heads):
            table.add_column(heading, justify="left" if place < finer.left else "right", overflow="fold")
        for row in finer.rows:
            table.add_row(*map(Text, row))
        console.print(table)
        if finer.note:
            say(finer.note)


def _show_failure(stage: Stage, out: Path, error: str) -> None:
    from vzgym.evaluation.experiments.stages import LOG, log_tail

    log = stage.folder(out) / LOG
    say(f"\nFailed: {stage.label}: {error}\nThe end of {log}:", errors)
    for line in log_tail(log, 8):
        say(f"  {line}", errors)


class _Display:
    """Shows the progress of an experiment: a live view on a terminal, a line for each event elsewhere."""

    def __init__(self, grid: Grid, out: Path) -> None:
        self.grid, self.out = grid, out
        self.started: dict[str, float] = {}
        self.failures = 0
        self.live = Live(console=errors, refresh_per_second=2, transient=True) if errors.is_terminal else None

    def __enter__(self) -> _Display:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, event: Event) -> None:
        """Print an event."""
        from vzgym.evaluation.experiments.reporting import write_tables
        from vzgym.evaluation.experiments.stages import EVALUATE

        stage = event.stage
        if event.what == "started":
            self.started[stage.digest] = time.monotonic()
        if event.what == "failed":
            self.failures += 1
        if event.what == "done" and stage.kind == EVALUATE:
            write_tables(self.grid, self.out)
        if event.what != "started" or self.live is None:
            words = {
                "started": "started",
                "done": f"done in {self._elapsed(stage)}",
                "failed": f"FAILED: {event.error}",
                "skipped": "skipped: a required stage has failed",
            }[event.what]
            say(f"{time.strftime('%H:%M:%S')} {stage.label}: {words}", errors)

    def update(self, running: Sequence[Stage]) -> None:
        """Draw the live view."""
        if self.live is None:
            return
        total = len(self.grid.stages)
        done = sum(stage.done(self.out) is not None for stage in self.grid.stages)
        text = f"{done} of {total} stages done"
        if self.failures:
            text += f", {self.failures} failed"
        table = Table.grid(padding=(0, 1))
        for stage in running:
            share = stage.progress(self.out)
            bar = ProgressBar(total=1.0, completed=share or 0.0, width=20, pulse=share is None)
            table.add_row(Text(stage.label), bar, Text(self._elapsed(stage)))
        self.live.update(Lines(ProgressBar(total=total, completed=done, width=40), Text(text), table))

    def _elapsed(self, stage: Stage) -> str:
        now = time.monotonic()
        return duration_text(now - self.started.get(stage.digest, now))
