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

Other executors (for a cluster, for example) subclass `Executor` and implement `pool`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

from vzgym.core.errors import InvalidSetting, WorkerError

__all__ = ["Executor", "InProcess", "LocalProcesses", "local_executor", "stateless"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class Executor(ABC):
    """Runs jobs in workers."""

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

    def map(self, make_worker: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]) -> Generator[Result]:
        """Run jobs; the first error cancels the rest.

        Args:
            make_worker: See `pool`.
            jobs: The jobs.

        Yields:
            The results, in the order of the jobs. Closing the generator cancels the remaining jobs.

        Raises:
            WorkerError: If a worker's process dies.
        """
        with self.pool(make_worker) as submit:
            for future in [submit(job) for job in jobs]:
                yield future.result()


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

    def map(self, make_worker: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]) -> Generator[Result]:
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
        start = partial(ProcessPoolExecutor, 1, context, initializer=_start_process, initargs=(make_worker, stopped))
        idle: SimpleQueue[ProcessPoolExecutor | None] = SimpleQueue()
        for _ in range(self.workers):
            idle.put(None)

        def run(job: Job) -> Result:
            process = idle.get()
            try:
                process = process or start()
                result: Result = process.submit(_run_in_process, job).result()
                return result
            except BrokenProcessPool as error:
                process = None
                raise WorkerError(
                    "a worker process died: out of memory, or killed. A script that starts several workers must do so "
                    "below `if __name__ == '__main__':`"
                ) from error
            finally:
                if process and self.fresh:
                    process.shutdown()
                    process = None
                idle.put(process)

        threads = ThreadPoolExecutor(self.workers)
        try:
            yield lambda job: threads.submit(run, job)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            stop.close()
            raise
        finally:
            threads.shutdown()
            stop.close()
            stopped.close()
            while not idle.empty():
                process = idle.get()
                if process:
                    process.shutdown()


def local_executor(workers: int) -> Executor:
    """An executor on this machine: `InProcess` for one worker, else `LocalProcesses`.

    Raises:
        InvalidSetting: If `workers` is not an integer >= 1.
    """
    if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)) or workers < 1:
        raise InvalidSetting(f"workers must be a whole number >= 1, got {workers!r}")
    return InProcess() if workers == 1 else LocalProcesses(int(workers))


def stateless(function: Callable[[Job], Result]) -> Callable[[], Callable[[Job], Result]]:
    """A `make_worker` for a function without state."""
    return partial(_identity, function)


def _identity(function: Callable[[Job], Result]) -> Callable[[Job], Result]:
    return function


# State of a worker process: the factory of its worker, and the worker once it has been created.
_make_worker: Callable[[], Callable[[Any], Any]]
_worker: list[Callable[[Any], Any]] = []


def _start_process(make_worker: Callable[[], Callable[[Any], Any]], stopped: Connection) -> None:
    """Initialise a worker process."""
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
    return _run(_worker, _make_worker, job)


def _run(state: list[Callable[[Job], Result]], make_worker: Callable[[], Callable[[Job], Result]], job: Job) -> Result:
    """Run a job; the first one creates the worker, so that errors of its creation are reported."""
    if not state:
        state.append(make_worker())
    return state[0](job)
