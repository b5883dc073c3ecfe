"""`vzgym ablate`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Group as Lines
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vzgym.cli.progress import console, errors, say
from vzgym.evaluation.experiments import Event, Plan, load_experiment, make_plan, run_plan, write_results
from vzgym.evaluation.experiments.doing import LOG, done
from vzgym.evaluation.experiments.estimating import Estimates
from vzgym.evaluation.experiments.plan import PLAY, Work
from vzgym.evaluation.experiments.reporting import write_tables
from vzgym.evaluation.experiments.results import Results
from vzgym.evaluation.experiments.running import progress, tail
from vzgym.evaluation.experiments.tables import interval_note, with_interval

__all__ = ["ablate"]


def ablate(
    file: Annotated[Path, typer.Argument(help="The experiment, a YAML file.")],
    out: Annotated[
        Path, typer.Option(help="Folder of all experiments; they share stages, and the results go into OUT/NAME.")
    ] = Path("runs/experiments"),
    workers: Annotated[int, typer.Option(help="Processes at a time.", min=1)] = 1,
    threads: Annotated[int, typer.Option(help="Threads of numpy and torch in each process.", min=1)] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and how long it will take.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Run nothing: make tables, pictures and page anew.")] = False,
) -> None:
    """Run an experiment: a grid of rewards, learners, tasks, budgets and seeds. A stopped one goes on where it was."""
    plan = make_plan(load_experiment(file))
    if dry_run:
        _show_plan(plan, out, workers)
        return
    if not report:
        display = _Display(plan, out, workers)
        with display:
            outcome = run_plan(plan, out, workers=workers, threads=threads, on_event=display.told, on_tick=display.tick)
    results = write_results(plan, out)
    _show_results(results)
    folder = out / plan.experiment.settings.name
    say(f"The page: {folder / 'index.html'}; every cell: {folder / 'cells.csv'}")
    if not report and outcome.failed:
        for work in plan.works:
            if work.digest in outcome.failed:
                _show_failure(work, out, outcome.failed[work.digest])
        raise typer.Exit(1)


def _show_plan(plan: Plan, out: Path, workers: int) -> None:
    """What there is to do, and how long it will take."""
    estimates = Estimates(out)
    lines = estimates.lines(plan.works)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in ("stage", "in all", "done", "to do", "time", "by"):
        table.add_column(head, justify="left" if head in ("stage", "by") else "right")
    for line in lines:
        left = line.total - line.done
        table.add_row(
            line.kind, str(line.total), str(line.done), str(left), duration(line.seconds) if left else "-", line.basis
        )
    settings = plan.experiment.settings
    names = [
        f"{len(found)} {axis if len(found) > 1 else axis.removesuffix('s')}"
        for axis in ("rewards", "learners", "tasks", "budgets", "seeds")
        if (found := getattr(settings, axis))
    ]
    say(f"{settings.title or settings.name}: {len(plan.cells)} cells ({', '.join(names)})")
    console.print(table)
    seconds = sum(line.seconds for line in lines) / workers
    say(
        f"About {duration(seconds)} with {workers} worker{'s' if workers > 1 else ''}, if all of them are always busy. "
        "Times are those of finished stages of the same kind in the folder; where there are none, of the tiny model on "
        "one core."
    )
    for cell in plan.cells:
        state = "done" if done(cell.work, out) is not None else "to do"
        say(f"  {cell.name}: {state}")


def duration(seconds: float) -> str:
    """`2 h 5 min`, `12 min`, `40 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _show_results(results: Results) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for axis in results.plan.axes:
        table.add_column(axis, overflow="fold")
    for head in ("seeds", "accuracy % [95 %]", "zooms", "frames"):
        table.add_column(head, justify="right", no_wrap=True)
    for group in results.groups:
        numbers = [group.metric("zooms"), group.metric("frames")]
        table.add_row(
            *(Text(group.names[axis] or "-") for axis in results.plan.axes),
            Text(f"{len(group.done)}/{len(group.rows)}"),
            Text(with_interval(group.metric("correct"))),
            *(Text(f"{number.value:.2f}" if number.n else "-") for number in numbers),
        )
    console.print(table)
    say(interval_note(results))


def _show_failure(work: Work, out: Path, error: str) -> None:
    log = work.folder(out) / LOG
    say(f"\nFailed: {work.label}: {error}\nThe end of {log}:", errors)
    for line in tail(log, 8):
        say(f"  {line}", errors)


class _Display:
    """What is going on: a live picture on a terminal, a line an event elsewhere."""

    def __init__(self, plan: Plan, out: Path, workers: int) -> None:
        self.plan, self.out, self.workers = plan, out, workers
        self.estimates = Estimates(out)
        self.begun: dict[str, float] = {}
        self.failures = 0
        self.live = Live(console=errors, refresh_per_second=2, transient=True) if errors.is_terminal else None

    def __enter__(self) -> _Display:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()

    def told(self, event: Event) -> None:
        """Note an event, and say it."""
        work = event.work
        if event.what == "started":
            self.begun[work.digest] = time.monotonic()
        if event.what == "done":
            self.estimates = Estimates(self.out)
        if event.what == "failed":
            self.failures += 1
        if event.what == "done" and work.kind == PLAY:
            write_tables(self.plan, self.out)
        if event.what != "started" or self.live is None:
            took = time.monotonic() - self.begun.get(work.digest, time.monotonic())
            words = {
                "started": "begins",
                "done": f"done in {duration(took)}",
                "failed": f"FAILED: {event.error}",
                "left": "left out: a stage that it needs has failed",
            }[event.what]
            say(f"{time.strftime('%H:%M:%S')} {work.label}: {words}", errors)

    def tick(self, running: Sequence[Work]) -> None:
        """Draw the live picture."""
        if self.live is None:
            return
        works = self.plan.works
        undone = [work for work in works if done(work, self.out) is None]
        spent = sum(time.monotonic() - self.begun.get(work.digest, time.monotonic()) for work in running)
        left = max(0.0, sum(map(self.estimates.seconds, undone)) - spent) / self.workers
        told = f"{len(works) - len(undone)} of {len(works)} stages and cells done, about {duration(left)} left"
        if self.failures:
            told += f", {self.failures} failed"
        table = Table.grid(padding=(0, 1))
        for work in running:
            share = progress(work, self.out)
            bar = ProgressBar(total=1.0, completed=share or 0.0, width=20, pulse=share is None)
            clock = duration(time.monotonic() - self.begun.get(work.digest, time.monotonic()))
            table.add_row(Text(work.label), bar, Text(clock))
        whole = ProgressBar(total=len(works), completed=len(works) - len(undone), width=40)
        self.live.update(Lines(whole, Text(told), table))
