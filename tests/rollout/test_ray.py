"""Actors on Ray play what one process would have played, also when some are killed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vzgym.agents.data.dataset import collect, load_trajectories
from vzgym.agents.data.settings import CollectSettings
from vzgym.cli import app
from vzgym.core.errors import InvalidSetting, UnknownName, VideoError, WorkerError
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import evaluate, read_records
from vzgym.rollout.executor import stateless
from vzgym.rollout.ray_executor import RayActors, import_ray

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray on Windows is experimental")

Facts = Callable[[EpisodeRecord], dict[str, Any]]

JOBS = """
import os
import time
from pathlib import Path

from vzgym.core.errors import VideoError


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.lock = __import__("threading").Lock()


class Refused(Exception):
    def __init__(self, message, *, code):
        super().__init__(message)


def job(kind):
    if kind == "die":
        os._exit(3)
    if kind == "fail":
        raise VideoError("in a job", path="a.mp4", time=3.0)
    if kind == "unsendable":
        raise Unsendable(1, 2)
    if kind == "refused":
        raise Refused("the license is not accepted", code=403)
    return kind, os.getpid(), os.environ.get("OMP_NUM_THREADS"), os.getcwd()


def once_killed(folder, number):
    # The first process that runs the job waits until it is killed.
    path = Path(folder) / f"{number}.pid"
    try:
        with path.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return number
    time.sleep(60)


class Deaf:
    def reset(self, seed):
        raise ZeroDivisionError("mine")

    def act(self, observation, info): ...
"""


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster of two CPUs. Never `ray stop`, which would end the clusters of others."""
    ray = import_ray()
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        configure_logging=False,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "ray_jobs_of_mine.py").write_text(JOBS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("ray_jobs_of_mine")


def test_results_errors_and_deaths_reach_their_jobs(jobs: Any) -> None:
    with RayActors(1).pool(stateless(jobs.job)) as submit:
        well, fail, unsendable, refused, still, die, again = map(
            submit, ("well", "fail", "unsendable", "refused", "still", "die", "again")
        )
        kind, process, threads, folder = well.result()
        assert (kind, threads, folder) == ("well", "1", str(Path.cwd()))
        assert process != os.getpid()
        error = fail.exception()
        assert type(error) is VideoError
        assert (error.path, error.time) == ("a.mp4", 3.0)
        with pytest.raises(WorkerError, match="Unsendable"):
            unsendable.result()
        with pytest.raises(WorkerError, match="cannot be sent: Refused: the license is not accepted"):
            refused.result()
        assert still.result()[1] == process
        with pytest.raises(WorkerError, match="died 3 times in the same job"):
            die.result()
        assert again.result()[0] == "again"


def test_workers_that_are_given_up_leave_their_cpus(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        all_cpus = RayActors(1, cpus_per_worker=2)
        submit = stack.enter_context(all_cpus.pool(stateless(jobs.job)))
        with pytest.raises(WorkerError, match="died 3 times in the same job"):
            submit("die").result()
        assert submit("again").result()[0] == "again"
        with all_cpus.pool(stateless(jobs.job)) as other:
            monkeypatch.setattr("vzgym.rollout.ray_executor._START_SECONDS", 2.0)
            with pytest.raises(WorkerError, match=r"no worker of 2 CPU started within 2 s.* 0 CPUs"):
                other("well").result()
            monkeypatch.setattr("vzgym.rollout.ray_executor._START_SECONDS", 60.0)
            stack.close()
            assert other("well").result()[0] == "well"


def test_killed_workers_lose_nothing(jobs: Any, tmp_path: Path) -> None:
    killed: list[str] = []

    def kill() -> None:
        deadline = time.monotonic() + 60
        while len(killed) < 3 and time.monotonic() < deadline:
            for path in sorted(tmp_path.glob("*.pid")):
                if path.name not in killed and path.read_text():
                    killed.append(path.name)
                    os.kill(int(path.read_text()), signal.SIGKILL)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    assert list(RayActors(2).map(stateless(partial(jobs.once_killed, tmp_path)), range(3))) == [0, 1, 2]
    killer.join()
    assert sorted(killed) == ["0.pid", "1.pid", "2.pid"]


def test_records_and_resuming_as_with_one_process(tmp_path: Path, facts: Facts) -> None:
    class Stopped(Exception):
        pass

    def stop(record: EpisodeRecord) -> None:
        if record.info.index == 2:
            raise Stopped

    one, two = tmp_path / "one", tmp_path / "two"
    evaluate("random", "tiny", episodes=5, seed=3, out=one)
    with pytest.raises(Stopped):
        evaluate("random", "tiny", episodes=5, seed=3, out=two, workers=RayActors(2), on_episode=stop)
    assert [record.info.index for record in read_records(two)] == [0, 1, 2]
    seen: list[int] = []
    evaluate(
        "random",
        "tiny",
        episodes=5,
        seed=3,
        out=two,
        workers=RayActors(2),
        on_episode=lambda record: seen.append(record.info.index),
    )
    assert seen == [3, 4]
    assert [facts(record) for record in read_records(two)] == [facts(record) for record in read_records(one)]
    settings = [json.loads((run / "run.json").read_text()) for run in (one, two)]
    assert settings[0] == settings[1]


def test_a_policy_that_raises(jobs: Any, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        evaluate("ray_jobs_of_mine:Deaf", "tiny", episodes=2, workers=RayActors(2), out=tmp_path / "run")
    with pytest.raises(UnknownName, match="unknown policy 'nobody'"):
        evaluate("nobody", "tiny", episodes=2, workers=RayActors(2))


def test_collected_trajectories_are_those_of_one_process(tmp_path: Path, facts: Facts) -> None:
    settings = CollectSettings(tasks="tiny/train", episodes=5, part=3, mix="paper")
    progress: list[int] = []
    found = []
    for name, workers in (("one", 1), ("ray", RayActors(2))):
        statistics = collect(settings, tmp_path / name, workers=workers, progress=progress.append)
        found.append({**statistics.to_json(), "seconds": 0})
    assert found[0] == found[1]
    assert progress == [0, 1, 1, 1, 1, 1] * 2
    rows = [load_trajectories(tmp_path / name, in_blocks=False) for name in ("one", "ray")]
    assert rows[0].to_list() == rows[1].to_list()


def test_commands(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    local, remote = tmp_path / "local", tmp_path / "remote"
    run("tasks", "write", "--suite", "tiny", "--tasks", "2", "--out", str(local))
    for _ in range(2):
        run("tasks", "write", "--suite", "tiny", "--tasks", "2", "--out", str(remote), "--ray", "--workers", "2")
    files = {path.name: path.read_bytes() for path in local.iterdir()}
    assert files == {path.name: path.read_bytes() for path in remote.iterdir()}
    table = json.loads(run("eval", "--policy", "random", "--tasks", str(remote / "tasks.jsonl"), "--json", "--ray"))
    assert len(table) == 1
    experiment = tmp_path / "experiment.yaml"
    learners = "{blind: {kind: policy, policy: blind}, expert: {kind: policy, policy: expert}}"
    experiment.write_text(f"tasks: tiny\nseeds: 1\nevaluate: {{episodes: 3}}\nlearners: {learners}\n")
    out = tmp_path / "experiments"
    run("ablate", str(experiment), "--out", str(out), "--workers", "2", "--ray")
    assert [len(path.read_text().splitlines()) for path in out.glob("store/*/out/**/records.jsonl")] == [3, 3]
    logs = [path.read_text() for path in out.glob("store/*/log.txt")]
    assert len(logs) == 2
    scores = ("tasks", "score", "--tasks", str(remote / "tasks.jsonl"), "--scorer", "histogram", "--cache")
    assert (
        run(*scores, str(tmp_path / "a"), "--ray").partition(".")[0]
        == run(*scores, str(tmp_path / "b")).partition(".")[0]
    )
    assert len(list((tmp_path / "a").glob("*/0.npz"))) == 2


def test_demands_beyond_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InvalidSetting, match=r"3 workers of 1 CPU each do not fit.*room for 2 \(1 node: 2 CPUs, 0 GPUs"
    ):
        RayActors(3)
    with pytest.raises(InvalidSetting, match=r"1 workers of 1 CPU and 0.5 GPU each do not fit.*room for 0"):
        RayActors(1, gpus_per_worker=0.5)
    assert RayActors(4, cpus_per_worker=0.5).workers == 4
    # Three nodes, of which two are left. No actor is on two nodes.
    nodes = [{"Alive": alive, "Resources": {"CPU": 8.0, "GPU": 1.0}} for alive in (True, True, False)]
    monkeypatch.setattr(import_ray(), "nodes", lambda: nodes)
    assert RayActors(4, gpus_per_worker=0.5).workers == 4
    with pytest.raises(InvalidSetting, match=r"room for 0 \(2 nodes: 8 CPUs, 1 GPUs; 8 CPUs, 1 GPUs\)"):
        RayActors(1, gpus_per_worker=2)
    for setting in ({"workers": 0}, {"gpus_per_worker": 1.5}, {"cpus_per_worker": 0}, {"gpus_per_worker": -1}):
        with pytest.raises(InvalidSetting, match=next(iter(setting))):
            RayActors(**{"workers": 1, **setting})
    with pytest.raises(InvalidSetting, match="--gpus-per-worker needs --ray"):
        CliRunner().invoke(app, ["eval", "--policy", "blind", "--gpus-per-worker", "1"], catch_exceptions=False)


def test_addresses_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_ray(), "is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InvalidSetting, match=f"no Ray cluster listens at 127.0.0.1:{port}"):
        RayActors(1, address=f"127.0.0.1:{port}")
    for address in ("nonsense", "ray://head:10001", "host:port"):
        with pytest.raises(InvalidSetting, match="--ray takes HOST:PORT"):
            RayActors(1, address=address)


def test_other_versions_are_named(monkeypatch: pytest.MonkeyPatch, jobs: Any) -> None:
    monkeypatch.setattr("vzgym.rollout.ray_executor.importlib.metadata.version", lambda name: "9.9.9")
    with pytest.raises(InvalidSetting, match=r"has Python 3\..* and vzgym 0\.1\.0, this process Python .* and vzgym 9"):
        list(RayActors(1).map(stateless(jobs.job), ["well"]))
