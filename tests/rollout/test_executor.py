"""Executors run jobs in order, in this process or in others, which end with this one."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vzgym.core.errors import InvalidSetting, WorkerError
from vzgym.rollout.executor import Executor, InProcess, LocalProcesses, local_executor, stateless

# A module of its own, so that other processes can import it, however the tests are run.
JOBS = """
import os
import threading
import time
from pathlib import Path


class Counter:
    def __init__(self, start):
        self.count = start

    def __call__(self, job):
        self.count += 1
        return job, self.count, os.getpid()


def sleep_longer_for_earlier_jobs(job):
    time.sleep(0.3 / (1 + job))
    return job


def fail_or_die(job):
    if job == "die":
        os._exit(3)
    if job == "fail":
        raise ZeroDivisionError("in a job")
    return job


class Refused(Exception):
    def __init__(self, message, *, code):
        super().__init__(message)
        self.code = code


class Locked(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


def refuse(job):
    if job == "refused":
        raise Refused("the license is not accepted", code=403)
    if job == "locked":
        raise Locked("the door")
    return job, os.getpid()


def sleep(folder, job):
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(60)
"""

# Run as a script, which is killed.
SCRIPT = """
import sys
from functools import partial

import jobs_of_mine
from vzgym.rollout.executor import LocalProcesses, stateless

if __name__ == "__main__":
    list(LocalProcesses(2).map(stateless(partial(jobs_of_mine.sleep, sys.argv[1])), range(4)))
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "jobs_of_mine.py").write_text(JOBS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("jobs_of_mine")


@pytest.fixture(params=[1, 2])
def executor(request: pytest.FixtureRequest) -> Executor:
    return local_executor(request.param)


def test_results_come_in_the_order_of_the_jobs(executor: Executor, jobs: Any) -> None:
    assert list(executor.map(stateless(jobs.sleep_longer_for_earlier_jobs), range(4))) == [0, 1, 2, 3]


def test_a_worker_is_made_once_in_each_process(jobs: Any) -> None:
    ours = list(InProcess().map(partial(jobs.Counter, 10), range(3)))
    assert ours == [(0, 11, os.getpid()), (1, 12, os.getpid()), (2, 13, os.getpid())]
    others = list(LocalProcesses(2).map(partial(jobs.Counter, 10), range(6)))
    assert [job for job, _, _ in others] == list(range(6))
    counts: dict[int, list[int]] = {}
    for _, count, process in others:
        counts.setdefault(process, []).append(count)
    assert os.getpid() not in counts
    assert 1 <= len(counts) <= 2
    assert all(found == list(range(11, 11 + len(found))) for found in counts.values())


def test_fresh_processes_share_nothing(jobs: Any) -> None:
    found = list(LocalProcesses(1, fresh=True).map(partial(jobs.Counter, 0), range(2)))
    assert [count for _, count, _ in found] == [1, 1]
    assert found[0][2] != found[1][2]


def test_jobs_fail_with_their_own_errors(executor: Executor, jobs: Any) -> None:
    results = executor.map(stateless(jobs.fail_or_die), ["well", "fail", "well"])
    assert next(results) == "well"
    with pytest.raises(ZeroDivisionError, match="in a job"):
        next(results)
    with executor.pool(stateless(jobs.fail_or_die)) as submit:
        failed, well = submit("fail"), submit("well")
        assert well.result() == "well"
        assert isinstance(failed.exception(), ZeroDivisionError)


def test_a_worker_that_cannot_be_made_fails_its_job(executor: Executor, jobs: Any) -> None:
    with pytest.raises(ZeroDivisionError, match="in a job"):
        list(executor.map(partial(jobs.fail_or_die, "fail"), ["well"]))


def test_a_process_that_dies_fails_its_own_job(jobs: Any) -> None:
    with LocalProcesses(1).pool(stateless(jobs.fail_or_die)) as submit:
        futures = [submit(job) for job in ("well", "die", "again")]
        with pytest.raises(WorkerError, match="a worker process died"):
            futures[1].result()
        assert futures[2].result() == "again"


def test_errors_that_cannot_be_sent_are_named(jobs: Any) -> None:
    with LocalProcesses(1).pool(stateless(jobs.refuse)) as submit:
        before, refused, locked, after = map(submit, ("before", "refused", "locked", "after"))
        with pytest.raises(WorkerError, match="cannot be sent: Refused: the license is not accepted") as caught:
            refused.result()
        # The worker's traceback, as of other errors.
        assert "in refuse" in str(caught.value.__cause__)
        with pytest.raises(WorkerError, match="cannot be sent: Locked: the door"):
            locked.result()
        # The process lives on.
        assert before.result()[1] == after.result()[1]
    with InProcess().pool(stateless(jobs.refuse)) as submit:
        assert isinstance(submit("refused").exception(), jobs.Refused)


def started(folder: Path, count: int) -> list[int]:
    """The processes that sleep, once there are so many."""
    deadline = time.monotonic() + 60
    while len(found := [int(path.stem) for path in folder.glob("*.pid")]) < count:
        assert time.monotonic() < deadline, "the workers did not start"
        time.sleep(0.05)
    return found


def all_end(processes: list[int]) -> bool:
    """Whether processes end long before their jobs would."""
    deadline = time.monotonic() + 20
    while any(runs(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A zombie has ended, and waits to be noticed.
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_leaving_by_an_exception_ends_the_processes(tmp_path: Path, jobs: Any) -> None:
    def leave() -> Iterator[None]:
        with LocalProcesses(2).pool(stateless(partial(jobs.sleep, tmp_path))) as submit:
            for job in range(3):
                submit(job)
            yield

    with closing(leave()) as running:  # type: ignore[type-var]
        next(running)
        found = started(tmp_path, 2)
    assert all_end(found)
    assert len(list(tmp_path.glob("*.pid"))) == 2  # the third was never started


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_workers_end_with_a_killed_parent(tmp_path: Path, jobs: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment, stderr=subprocess.DEVNULL)
    found = started(tmp_path, 2)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all_end(found)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_impossible_numbers_of_workers(workers: Any) -> None:
    with pytest.raises(InvalidSetting, match="workers must be a whole number >= 1"):
        local_executor(workers)
