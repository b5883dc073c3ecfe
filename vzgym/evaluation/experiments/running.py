"""Doing an experiment's works in processes: what is finished stays, what fails is told, the rest goes on."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Literal

from filelock import FileLock, Timeout

from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.experiments.doing import FAILED, LOG, OUT, do, done, write_whole
from vzgym.evaluation.experiments.plan import PLAY, Plan, Work
from vzgym.evaluation.runs import count_records
from vzgym.rollout.workers import end_with_parent

__all__ = ["Event", "Outcome", "progress", "run_plan", "tail"]

_TICK = 0.5  # seconds between two looks at the processes

# What takes long to load, by what needs it.
_MODULES: Final[Mapping[str, Sequence[str]]] = {
    "vlm": ("vzgym.agents.vlm.policy",),
    "pretrain": ("vzgym.agents.training.pretrain",),
    "collect": ("vzgym.agents.data.dataset", "datasets"),
    "sft": ("vzgym.agents.training.sft", "trl.trainer.sft_trainer"),
    "grpo": ("vzgym.agents.training.grpo", "trl.trainer.grpo_trainer"),
    "sb3": ("vzgym.agents.sb3.training",),
}


@dataclass(frozen=True)
class Event:
    """Something that happened to a work.

    Attributes:
        what: "started", "done", "failed", "left" (a stage that it needs has failed).
        work: The work.
        error: Of a failed one.
    """

    what: Literal["started", "done", "failed", "left"]
    work: Work
    error: str = ""


@dataclass
class Outcome:
    """What became of a plan's works.

    Attributes:
        finished: How many are done, those of earlier runs included.
        failed: The error of each that failed, by digest.
        left: Those that need a failed one.
    """

    finished: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left: list[Work] = field(default_factory=list)


@dataclass
class _Job:
    process: BaseProcess
    chain: Sequence[Work]
    place: int = 0
    """Of the work that is being done."""
    begun: bool = False
    """Whether its beginning has been told."""


def run_plan(
    plan: Plan,
    root: Path,
    *,
    workers: int = 1,
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    on_tick: Callable[[Sequence[Work]], None] | None = None,
) -> Outcome:
    """Do all works of a plan that are not done yet.

    Each chain of works runs in a fresh process, so that nothing but its settings decides what comes out. The processes
    end with this one, however it ends. Works that failed before are tried again.

    Args:
        plan: What to do.
        root: The folder of all experiments.
        workers: Processes at a time, >= 1.
        threads: Threads of numpy and torch in each.
        on_event: Told what happens.
        on_tick: Called about twice a second with the works that are running.

    Raises:
        InvalidSetting: If another process works in `root`.
    """
    root.mkdir(parents=True, exist_ok=True)
    outcome = Outcome()
    tell = on_event or (lambda event: None)
    jobs: list[_Job] = []
    with _alone(root), _threads(threads):
        waiting = [chain for chain in plan.chains() if not _all_done(chain, root)]
        context = _context(plan)
        try:
            while waiting or jobs:
                for chain in _ready(waiting, root, outcome, tell)[: workers - len(jobs)]:
                    waiting.remove(chain)
                    jobs.append(_start(chain, root, context, threads))
                wait([job.process.sentinel for job in jobs], timeout=_TICK)
                for job in jobs:
                    _follow(job, root, tell)
                for job in [job for job in jobs if not job.process.is_alive()]:
                    jobs.remove(job)
                    _finish(job, root, outcome, tell)
                if on_tick:
                    on_tick([job.chain[job.place] for job in jobs if job.place < len(job.chain)])
        finally:
            for job in jobs:
                job.process.terminate()
                job.process.join()
    outcome.finished = sum(done(work, root) is not None for work in plan.works)
    return outcome


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Only one experiment runs in a folder at a time; the lock ends with its process."""
    lock = FileLock(root / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InvalidSetting(
            f"another vzgym ablate is at work in {root}: wait for it, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """New processes get this environment: libraries read it when they are loaded."""
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


def _all_done(chain: Sequence[Work], root: Path) -> bool:
    return all(done(work, root) is not None for work in chain)


def _ready(waiting: list[list[Work]], root: Path, outcome: Outcome, tell: Callable[[Event], None]) -> list[list[Work]]:
    """The chains whose parents are done, in order; those whose parents failed are taken out and told."""
    lost = {*outcome.failed, *(work.digest for work in outcome.left)}
    ready = []
    for chain in list(waiting):
        own = {work.digest for work in chain}
        needed = [parent for work in chain for parent in work.parents.values() if parent.digest not in own]
        if any(parent.digest in lost for parent in needed):
            waiting.remove(chain)
            for work in chain:
                outcome.left.append(work)
                lost.add(work.digest)
                tell(Event("left", work))
        elif all(done(parent, root) is not None for parent in needed):
            ready.append(chain)
    return ready


def _start(chain: Sequence[Work], root: Path, context: Any, threads: int) -> _Job:
    undone = [work for work in chain if done(work, root) is None]
    process = context.Process(target=_work, args=(undone, root, threads))
    process.start()
    return _Job(process, undone)


def _context(plan: Plan) -> Any:
    """How processes begin: where possible as copies of one that has loaded the libraries and done nothing else.

    Loading them takes longer than many a cell's play.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    kinds = {work.settings.get("player", work.kind) for work in plan.works}
    context.set_forkserver_preload([__name__, *(module for kind in kinds for module in _MODULES.get(kind, ()))])
    return context


def _work(chain: Sequence[Work], root: Path, threads: int) -> None:
    """In a new process: do the works one after the other, each with its own log."""
    end_with_parent()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    for work in chain:
        folder = work.folder(root)
        folder.mkdir(parents=True, exist_ok=True)
        _log_into(folder / LOG)
        do(work, root)


def _log_into(path: Path) -> None:
    """From now on all that is printed, by any library, goes into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _follow(job: _Job, root: Path, tell: Callable[[Event], None]) -> None:
    """Tell what has been begun and done of a chain since the last time."""
    while job.place < len(job.chain):
        work = job.chain[job.place]
        if not job.begun:
            tell(Event("started", work))
            job.begun = True
        if done(work, root) is None:
            return
        tell(Event("done", work))
        job.place, job.begun = job.place + 1, False


def _finish(job: _Job, root: Path, outcome: Outcome, tell: Callable[[Event], None]) -> None:
    """After a process has ended: note the work that it failed at, if it did."""
    job.process.join()
    _follow(job, root, tell)
    if job.place == len(job.chain):
        return
    broken = job.chain[job.place]
    error = _why(job.process.exitcode, broken, root)
    folder = broken.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FAILED, {"error": error, "exit": job.process.exitcode})
    outcome.failed[broken.digest] = error
    tell(Event("failed", broken, error))
    for work in job.chain[job.place + 1 :]:
        outcome.left.append(work)
        tell(Event("left", work))


def _why(code: int | None, work: Work, root: Path) -> str:
    """What a process died of, in a line."""
    if code is not None and code < 0:
        return f"the process was ended by signal {-code}" + (" (out of memory?)" if code == -9 else "")
    lines = tail(work.folder(root) / LOG, 1)
    return lines[-1] if lines else f"the process ended with status {code}"


def tail(log: Path, count: int = 20) -> list[str]:
    """The last lines of a log, without empty ones."""
    if not log.is_file():
        return []
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    return [line for line in text.splitlines() if line.strip()][-count:]


def progress(work: Work, root: Path) -> float | None:
    """The share of a running work that is done, where it can be told."""
    out = work.folder(root) / OUT
    if work.kind == PLAY:
        return min(1.0, count_records(out) / work.units)
    log = out / "log.jsonl"
    if work.kind != "grpo" or not log.is_file():
        return None
    steps = log.read_bytes().count(b"\n") * int(work.settings["log_steps"])
    return min(1.0, steps / int(work.settings["steps"]))
