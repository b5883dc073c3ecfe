"""Runs the stages of a grid in processes. Finished stages are kept; failures do not stop other stages."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from vzgym.core.errors import WorkerError
from vzgym.core.files import folder_lock, write_json, write_text
from vzgym.evaluation.experiments.grid import Grid
from vzgym.evaluation.experiments.stages import FAILED, LOG, Stage, run_stage
from vzgym.rollout.executor import Executor, LocalProcesses, stateless

__all__ = ["Event", "Outcome", "run_grid"]

_MARK = ".driver"
_TICK = 0.5  # seconds between polls of the running stages


@dataclass(frozen=True)
class Event:
    """An event of a stage.

    Attributes:
        what: "started", "done", "failed", "skipped" (a required stage has failed).
        stage: The stage.
        error: The error, if it failed.
    """

    what: Literal["started", "done", "failed", "skipped"]
    stage: Stage
    error: str = ""


@dataclass
class Outcome:
    """Outcome of the stages of a grid.

    Attributes:
        finished: Number of finished stages, including earlier runs.
        failed: Errors of failed stages, by digest.
        skipped: Stages that require a failed one.
    """

    finished: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[Stage] = field(default_factory=list)


def run_grid(
    grid: Grid,
    root: Path,
    *,
    workers: int | Executor = 1,
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    on_tick: Callable[[Sequence[Stage]], None] | None = None,
) -> Outcome:
    """Run all unfinished stages of a grid.

    Each chain of stages runs in a new process, so that its results depend on its settings alone. The processes always
    end with this one. Stages that failed before run again.

    Args:
        grid: The cells and their stages.
        root: The folder of all experiments.
        workers: Number of concurrent processes, >= 1, or an `Executor` of fresh processes. Those on other machines must
            see `root` under the same path.
        threads: Threads of numpy and torch in each process.
        on_event: Called when a stage starts, is done, fails or is skipped.
        on_tick: Called about twice a second with the running stages.

    Raises:
        FolderInUse: If another process runs stages in `root`.
    """
    executor = workers if isinstance(workers, Executor) else LocalProcesses(workers, fresh=True)
    run = _Run(grid, root, on_event or (lambda event: None))
    # Stages run programs that write checkpoints, which are not sent: workers elsewhere must see the same folder.
    mark = None if executor.shares_files else secrets.token_hex()
    run_chain = stateless(partial(_run_chain, root, mark))
    with (
        folder_lock(root),
        _thread_limits(threads),
        executor.pool(run_chain) as submit,
    ):
        if mark is not None:
            write_text(root / _MARK, mark)
        while run.waiting or run.running:
            for chain in run.ready()[: executor.workers - len(run.running)]:
                run.waiting.remove(chain)
                run.running[submit(chain)] = _Job(chain)
            finished, _ = wait(run.running, timeout=_TICK, return_when=FIRST_COMPLETED)
            for job in run.running.values():
                run.follow(job)
            for future in finished:
                run.finish(future)
            if on_tick:
                on_tick([job.current for job in run.running.values() if job.place < len(job.chain)])
    run.outcome.finished = sum(stage.done(root) is not None for stage in grid.stages)
    return run.outcome


@dataclass
class _Job:
    """A chain of stages in a process.

    Attributes:
        chain: The stages that were not done when it started.
        place: Index of the stage that runs.
        started: Whether the start of that stage has been reported.
    """

    chain: Sequence[Stage]
    place: int = 0
    started: bool = False

    @property
    def current(self) -> Stage:
        return self.chain[self.place]


class _Run:
    """State of `run_grid`: waiting and running chains, and the outcome of finished ones."""

    def __init__(self, grid: Grid, root: Path, report: Callable[[Event], None]) -> None:
        self.root, self.report = root, report
        self.outcome = Outcome()
        chains = [[stage for stage in chain if stage.done(root) is None] for chain in grid.chains()]
        self.waiting = [chain for chain in chains if chain]
        self.running: dict[Future[None], _Job] = {}

    def ready(self) -> list[list[Stage]]:
        """Waiting chains whose parents are done, in order. Chains with failed parents are skipped."""
        lost = {*self.outcome.failed, *(stage.digest for stage in self.outcome.skipped)}
        ready = []
        for chain in list(self.waiting):
            own = {stage.digest for stage in chain}
            needed = [parent for stage in chain for parent in stage.parents.values() if parent.digest not in own]
            if any(parent.digest in lost for parent in needed):
                self.waiting.remove(chain)
                self._skip(chain)
                lost |= own
            elif all(parent.done(self.root) is not None for parent in needed):
                ready.append(chain)
        return ready

    def follow(self, job: _Job) -> None:
        """Report the stages of a chain that have started or ended since the last call."""
        while job.place < len(job.chain):
            if not job.started:
                self.report(Event("started", job.current))
                job.started = True
            if job.current.done(self.root) is None:
                return
            self.report(Event("done", job.current))
            job.place, job.started = job.place + 1, False

    def finish(self, future: Future[None]) -> None:
        """Record the failed stage of a finished chain, if any."""
        job = self.running.pop(future)
        self.follow(job)
        if job.place == len(job.chain):
            return
        stage, error = job.current, str(future.exception())
        stage.folder(self.root).mkdir(parents=True, exist_ok=True)
        write_json(stage.folder(self.root) / FAILED, {"error": error})
        self.outcome.failed[stage.digest] = error
        self.report(Event("failed", stage, error))
        self._skip(job.chain[job.place + 1 :])

    def _skip(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            self.outcome.skipped.append(stage)
            self.report(Event("skipped", stage))


@contextmanager
def _thread_limits(count: int) -> Iterator[None]:
    """Environment of new processes, which libraries read on import."""
    wanted = {name: str(count) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    wanted["TOKENIZERS_PARALLELISM"] = "false"
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _run_chain(root: Path, mark: str | None, chain: Sequence[Stage]) -> None:
    """Run stages in sequence in a new process, each with its own log.

    Args:
        root: The folder of all experiments.
        mark: Content of the file `_MARK` there, by which a process elsewhere knows the folder.
        chain: The stages.

    Raises:
        WorkerError: If a stage fails, with the error's type and message, or the folder is not that of the driver.
    """
    marked = root / _MARK
    if mark is not None and not (marked.is_file() and marked.read_text() == mark):
        raise WorkerError(
            f"node {platform.node()} does not see the folder {root} of the experiment: give --out on a disk that all "
            "nodes share under the same path"
        )
    for stage in chain:
        folder = stage.folder(root)
        folder.mkdir(parents=True, exist_ok=True)
        _log_to(folder / LOG)
        try:
            run_stage(stage, root)
        except BaseException as error:
            traceback.print_exc()
            raise WorkerError(f"{type(error).__name__}: {error}") from error


def _log_to(path: Path) -> None:
    """Redirect all output of this process, including that of libraries, to a file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
