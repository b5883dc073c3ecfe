"""Executors: run jobs in this process or in worker processes.

A *worker* is a function of one job. `make_worker` creates it once per process, so it may hold expensive objects, such
as a policy. With several processes, `make_worker`, the jobs and the results must be picklable:

```python
>>> from functools import partial
>>> from vzgym.rollout.executor import local_executor, stateless
>>> executor = local_executor(workers=1)
>>> list(executor.map(stateless(abs), [-1, 2, -3]))
[1, 2, 3]

```

`map` yields the results in the order of the jobs. `pool` is for jobs that depend on each other, or may fail separately:

```python
>>> with executor.pool(stateless(abs)) as submit:
...     future = submit(-4)
...     future.result()
4

```

Other executors subclass `Executor` and implement `pool`: `vzgym.rollout.ray_executor` runs jobs on a Ray cluster.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any, ClassVar, TypeVar

import numpy as np

from vzgym.core.errors import InvalidSetting, WorkerError
from vzgym.video.settings import VideoLimits, configure, limits

__all__ = [
    "Executor",
    "InProcess",
    "LocalProcesses",
    "WorkerLost",
    "as_configured",
    "check_workers",
    "local_executor",
    "pool_of_workers",
    "run_elsewhere",
    "stateless",
]

Job = TypeVar("Job")
Result = TypeVar("Result")
Worker = TypeVar("Worker")


class Executor(ABC):
    """Runs jobs in workers.

    Attributes:
        workers: Number of jobs that run at the same time.
        shares_files: Whether workers see the files of this process. If not, they return what this process writes.
    """

    workers: int = 1
    shares_files: ClassVar[bool] = True

    @abstractmethod
    def pool(
        self, make_worker: Callable[[], Callable[[Job], Result]]
    ) -> AbstractContextManager[Callable[[Job], Future[Result]]]:
        """Open a pool of workers.

        Args:
            make_worker: Creates a worker. Called in each worker process with the first job; its errors count as the
                job's.

        Returns:
            A context manager. Its value submits a job and returns the `Future` of its result. Leaving it waits for all
            jobs; leaving it by an exception cancels them and ends their processes.
        """

    def map(
        self, make_worker: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job], *, ahead: int | None = None
    ) -> Generator[Result]:
        """Run jobs; the first error cancels the rest.

        Args:
            make_worker: See `pool`.
            jobs: The jobs.
            ahead: Maximum number of jobs that are started before the result of the first of them is taken, to limit
                the memory of large results. Default: no limit.

        Yields:
            The results, in the order of the jobs. Closing the generator cancels the remaining jobs.

        Raises:
            WorkerError: If a worker's process dies, or a job's error cannot be sent to this process.
        """
        with self.pool(make_worker) as submit:
            started: deque[Future[Result]] = deque()
            for job in jobs:
                started.append(submit(job))
                if ahead is not None and len(started) >= ahead:
                    yield started.popleft().result()
            while started:
                yield started.popleft().result()


class InProcess(Executor):
    """Runs jobs in this process, one after another. `map` runs each job when its result is requested."""

    @contextmanager
    def pool(self, make_worker: Callable[[], Callable[[Job], Result]]) -> Iterator[Callable[[Job], Future[Result]]]:
        """See `Executor.pool`. The jobs run in one thread."""
        state: list[Callable[[Job], Result]] = []
        with ThreadPoolExecutor(1) as thread:
            try:
                yield lambda job: thread.submit(_run, state, make_worker, job)
            except BaseException:
                thread.shutdown(cancel_futures=True)
                raise

    def map(
        self, make_worker: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job], *, ahead: int | None = None
    ) -> Generator[Result]:
        """See `Executor.map`."""
        worker = make_worker()
        for job in jobs:
            yield worker(job)


class LocalProcesses(Executor):
    """Runs jobs in processes on this machine.

    The processes are spawned, since forked children of a process that has decoded video or used a GPU hang. They end
    with this process, however it ends, and ignore Ctrl-C, which this process handles. If a process dies, only its own
    job fails; the next job gets a new process.

    Args:
        workers: Number of processes, >= 1. They are started on demand.
        fresh: Whether each job runs in a new process, without state of earlier jobs.
    """

    def __init__(self, workers: int, *, fresh: bool = False) -> None:
        self.workers = workers
        self.fresh = fresh

    @contextmanager
    def pool(self, make_worker: Callable[[], Callable[[Job], Result]]) -> Iterator[Callable[[Job], Future[Result]]]:
        """See `Executor.pool`."""
        context = multiprocessing.get_context("spawn")
        stopped, stop = context.Pipe(duplex=False)
        # One pool per process: if a process of a larger pool dies, all jobs of the pool are lost.
        make_worker = as_configured(make_worker)
        start = partial(ProcessPoolExecutor, 1, context, initializer=_start_process, initargs=(make_worker, stopped))

        def run(process: ProcessPoolExecutor, job: Job) -> Result:
            try:
                result: Result = process.submit(_run_in_process, job).result()
            except BrokenProcessPool as error:
                raise WorkerLost(
                    "a worker process died: out of memory, or killed. A script that starts several workers must do so "
                    "below `if __name__ == '__main__':`"
                ) from error
            return result

        with (
            closing(stopped),
            pool_of_workers(
                self.workers, start, run, ProcessPoolExecutor.shutdown, stop.close, fresh=self.fresh
            ) as submit,
        ):
            yield submit


class WorkerLost(Exception):
    """A worker died with its job. `pool_of_workers` turns it into a `WorkerError`; the next job gets a new worker."""


@contextmanager
def pool_of_workers(
    workers: int,
    start: Callable[[], Worker],
    run: Callable[[Worker, Job], Result],
    end: Callable[[Worker], None],
    stop: Callable[[], None],
    *,
    fresh: bool = False,
) -> Iterator[Callable[[Job], Future[Result]]]:
    """A pool (`Executor.pool`) in which one thread for each worker waits for its results.

    Args:
        workers: Number of workers. They are started on demand.
        start: Starts a worker.
        run: Runs a job in a worker. Raises `WorkerLost` if the worker has died.
        end: Ends an idle worker.
        stop: Ends all workers, busy or idle, at once. Called before `end` too.
        fresh: Whether each job runs in a new worker.
    """
    idle: SimpleQueue[Worker | None] = SimpleQueue()
    for _ in range(workers):
        idle.put(None)

    def run_job(job: Job) -> Result:
        worker = idle.get()
        try:
            worker = worker or start()
            return run(worker, job)
        except WorkerLost as lost:
            worker = None
            raise WorkerError(str(lost)) from lost
        finally:
            if worker and fresh:
                end(worker)
                worker = None
            idle.put(worker)

    threads = ThreadPoolExecutor(workers)
    try:
        yield lambda job: threads.submit(run_job, job)
    except BaseException:
        threads.shutdown(wait=False, cancel_futures=True)
        stop()
        raise
    finally:
        threads.shutdown()
        stop()
        while not idle.empty():
            if worker := idle.get():
                end(worker)


def local_executor(workers: int) -> Executor:
    """An executor on this machine: `InProcess` for one worker, else `LocalProcesses`.

    Raises:
        InvalidSetting: If `workers` is not an integer >= 1.
    """
    count = check_workers(workers)
    return InProcess() if count == 1 else LocalProcesses(count)


def check_workers(workers: object) -> int:
    """The number of workers, if it is one.

    Raises:
        InvalidSetting: If `workers` is not an integer >= 1.
    """
    if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)) or workers < 1:
        raise InvalidSetting(f"workers must be a whole number >= 1, got {workers!r}")
    return int(workers)


def stateless(function: Callable[[Job], Result]) -> Callable[[], Callable[[Job], Result]]:
    """A `make_worker` for a function without state."""
    return partial(_identity, function)


def as_configured(make_worker: Callable[[], Callable[[Job], Result]]) -> Callable[[], Callable[[Job], Result]]:
    """A `make_worker` that first gives another process the limits of this one's videos.

    Raises:
        InvalidSetting: If the processes shall share frames, and there is no room for them.
    """
    current = limits()
    if current.shared_bytes:
        from vzgym.video.shared_frames import shared_frames  # loads a decoder

        # This process outlives its workers, which are ended: it removes the frames.
        shared_frames(current.shared_bytes)
    return partial(_make_configured, current, make_worker)


def _make_configured(
    video_limits: VideoLimits, make_worker: Callable[[], Callable[[Job], Result]]
) -> Callable[[Job], Result]:
    configure(video_limits)
    return make_worker()


def _identity(function: Callable[[Job], Result]) -> Callable[[Job], Result]:
    return function


# State of a worker process: the factory of its worker, and the worker once it has been created.
_make_worker: Callable[[], Callable[[Any], Any]]
_worker: list[Callable[[Any], Any]] = []


def _start_process(make_worker: Callable[[], Callable[[Any], Any]], stopped: Connection) -> None:
    """Initialize a worker process."""
    global _make_worker
    _make_worker = make_worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(stopped,), daemon=True).start()


def _end_with_parent(stopped: Connection) -> None:
    """End this process when its parent ends, or closes its side of the pipe."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # always set in a worker process
    wait([parent.sentinel, stopped])
    os._exit(1)


def _run_in_process(job: Any) -> Any:
    return run_elsewhere(_worker, _make_worker, job)


def run_elsewhere(
    state: list[Callable[[Job], Result]],
    make_worker: Callable[[], Callable[[Job], Result]],
    job: Job,
    dumps: Callable[[Any], bytes] = pickle.dumps,
) -> Result:
    """Run a job for another process, which can read the errors that this raises.

    Args:
        state: The worker, once it has been created.
        make_worker: See `Executor.pool`.
        job: The job.
        dumps: Pickles errors as they are sent.

    Raises:
        WorkerError: If the job's error cannot be sent: names its type and text.
        Exception: The job's own error.
    """
    try:
        return _run(state, make_worker, job)
    except Exception as error:
        try:
            pickle.loads(dumps(error))
        except Exception:  # noqa: BLE001 - constructors may raise anything, which would break the pool over there
            raise WorkerError(
                f"a job failed with an error that cannot be sent: {type(error).__qualname__}: {error}"
            ) from error
        raise


def _run(state: list[Callable[[Job], Result]], make_worker: Callable[[], Callable[[Job], Result]], job: Job) -> Result:
    """Run a job; the first one creates the worker, so that errors of its creation are reported."""
    if not state:
        state.append(make_worker())
    return state[0](job)
