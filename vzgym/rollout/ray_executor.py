"""Runs jobs in actors on a Ray cluster: of this machine, or of many.

The process that uses the executor (the driver) alone writes files: workers return what they make. A worker that dies is
started again and its job repeated, which changes no result, since jobs do not depend on a worker's history.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Final

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting, WorkerError
from vzgym.rollout.executor import Executor, Job, Result, WorkerLost, as_configured, check_workers, pool_of_workers

__all__ = ["LOCAL", "RayActors"]

LOCAL: Final = "local"
"""Address that starts a cluster of this machine, which ends with this process."""

_TRIES: Final = 3
_START_SECONDS: Final = 300.0
_CONNECT_SECONDS: Final = 5.0


class RayActors(Executor):
    """Runs jobs in actors on a Ray cluster.

    If this process is connected to a cluster already (`ray.init`), that cluster is used. A job whose actor dies is
    tried three times. All nodes need the same minor version of Python, and the same versions of Ray and vzgym.

    Args:
        workers: Number of actors, >= 1. They are started on demand.
        address: `LOCAL`; `"HOST:PORT"` of a running cluster, from one of its nodes; or `"auto"`, the cluster that this
            machine belongs to.
        cpus_per_worker: CPUs of each actor, > 0. Ray starts it with that many threads (`OMP_NUM_THREADS`).
        gpus_per_worker: GPUs of each actor, >= 0: a fraction below 1 to share one, or a whole number.
        fresh: Whether each job runs in a new actor, without state of earlier jobs.

    Raises:
        InvalidSetting: If a setting is out of range, the cluster cannot be reached, its versions differ, or the actors
            do not fit on it.
        DependencyNotInstalled: If Ray is missing.
    """

    shares_files: ClassVar[bool] = False

    def __init__(
        self,
        workers: int,
        *,
        address: str = LOCAL,
        cpus_per_worker: float = 1.0,
        gpus_per_worker: float = 0.0,
        fresh: bool = False,
    ) -> None:
        self.workers = check_workers(workers)
        self.cpus_per_worker = _amount("cpus_per_worker", cpus_per_worker, least=1e-4)
        self.gpus_per_worker = _amount("gpus_per_worker", gpus_per_worker, least=0.0)
        self.fresh = fresh
        _connect(address)
        self._check_room()

    def _check_room(self) -> None:
        """Refuse more actors than fit on the cluster: Ray would wait for ever, without a message.

        Raises:
            InvalidSetting: If they do not fit.
        """
        nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
        wanted = {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}
        room = sum(
            min(math.floor(node.get(name, 0.0) / amount + 1e-9) for name, amount in wanted.items() if amount)
            for node in nodes
        )
        if room < self.workers:
            there = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise InvalidSetting(
                f"{self.workers} workers of {self._demand} each do not fit on the Ray cluster, which has room for "
                f"{room} ({len(nodes)} node{'s' if len(nodes) > 1 else ''}: {there})"
            )

    @property
    def _demand(self) -> str:
        cpus = f"{self.cpus_per_worker:g} CPU"
        return f"{cpus} and {self.gpus_per_worker:g} GPU" if self.gpus_per_worker else cpus

    @contextmanager
    def pool(self, make_worker: Callable[[], Callable[[Job], Result]]) -> Iterator[Callable[[Job], Future[Result]]]:
        """See `Executor.pool`."""
        ray = import_ray()
        actors: list[Any] = []
        start = partial(self._start, actors, ray.cloudpickle.dumps(as_configured(make_worker)))

        def stop() -> None:
            for actor in actors:
                _end(actor)

        call: Callable[[Any, Job], Result] = _run
        with pool_of_workers(self.workers, start, call, _end, stop, fresh=self.fresh) as submit:
            yield submit

    def _start(self, actors: list[Any], make_worker: bytes) -> Any:
        """Start an actor, which is ended if it cannot be used."""
        ray = import_ray()
        options = {
            "num_cpus": self.cpus_per_worker,
            "num_gpus": self.gpus_per_worker,
            "max_restarts": -1,
            "max_task_retries": _TRIES - 1,
        }
        paths = [str(Path(path).resolve()) for path in sys.path]
        actor = ray.remote(_worker_class()).options(**options).remote(make_worker, str(Path.cwd()), paths)
        actors.append(actor)
        with ExitStack() as unused:
            # It would wait for CPUs, and keep them from the next worker.
            unused.callback(_end, actor)
            self._check_versions(actor)
            unused.pop_all()
        return actor

    def _check_versions(self, actor: Any) -> None:
        """Wait until an actor has started, and compare its versions with those of this process."""
        ray = import_ray()
        try:
            host, python, vzgym = ray.get(actor.versions.remote(), timeout=_START_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            free = ray.available_resources()
            raise WorkerError(
                f"no worker of {self._demand} started within {_START_SECONDS:.0f} s: the Ray cluster has "
                f"{free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs free at present"
            ) from error
        except ray.exceptions.RayError as error:
            raise WorkerError(
                f"a worker did not start: {error}. If the cluster was started without an access token, set "
                "RAY_AUTH_MODE=disabled here, too"
            ) from error
        ours = (_minor(platform.python_version()), importlib.metadata.version("vzgym"))
        if (_minor(python), vzgym) != ours:
            raise InvalidSetting(
                f"node {host} of the Ray cluster has Python {python} and {f'vzgym {vzgym}' if vzgym else 'no vzgym'}, "
                f"this process Python {platform.python_version()} and vzgym {ours[1]}: install the same on all nodes"
            )


def _end(actor: Any) -> None:
    import_ray().kill(actor, no_restart=True)


def _run(actor: Any, job: Any) -> Any:
    """Run a job in an actor.

    Raises:
        WorkerLost: If the actor died in each try.
        Exception: The job's own error.
    """
    ray = import_ray()
    try:
        return ray.get(actor.run.remote(ray.cloudpickle.dumps(job)))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        # It would start again, and keep its CPUs from the next worker.
        _end(actor)
        raise WorkerLost(
            f"a worker on the Ray cluster died {_TRIES} times in the same job: out of memory, or killed. "
            f"The last report: {error}"
        ) from error


@cache
def _worker_class() -> type:
    """The class of the actors. It is local, so that it is sent whole and a node without vzgym can say so."""

    class Worker:
        def __init__(self, make_worker: bytes, folder: str, paths: Sequence[str]) -> None:
            # As in a local worker process: the same working folder and importable modules, as far as they exist here.
            if Path(folder).is_dir():
                os.chdir(folder)
            sys.path.extend(path for path in paths if path not in sys.path and Path(path).exists())
            self.make_worker = make_worker
            self.state: list[Any] = []

        def versions(self) -> tuple[str, str, str]:
            try:
                vzgym = importlib.metadata.version("vzgym")
            except importlib.metadata.PackageNotFoundError:
                vzgym = ""
            return platform.node(), platform.python_version(), vzgym

        def run(self, job: bytes) -> Any:
            import pickle

            import ray

            from vzgym.rollout.executor import run_elsewhere

            def make() -> Callable[[bytes], Any]:
                worker = pickle.loads(self.make_worker)()
                return lambda job: worker(pickle.loads(job))

            return run_elsewhere(self.state, make, job, ray.cloudpickle.dumps)

    return Worker


def _connect(address: str) -> None:
    """Start a cluster of this machine, or attach to a running one; does nothing if this process is connected.

    Raises:
        InvalidSetting: If that fails.
    """
    ray = import_ray()
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"include_dashboard": False}
    if address != LOCAL:
        _check_address(address)
        options = {}
    elif sys.platform == "linux":
        # Any address of the loopback network but 127.0.0.1, which Ray replaces by that of the network card.
        options["_node_ip_address"] = "127.0.0.2"
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, **options)
    except ConnectionError as error:
        raise InvalidSetting(
            f"no Ray cluster can be reached at {address!r}: {error}. Start one with `ray start --head` and give the "
            "address that it prints. It must have the same access token as this process (RAY_AUTH_TOKEN, or "
            "~/.ray/auth_token)"
        ) from error
    except ray.exceptions.AuthenticationError as error:
        raise InvalidSetting(
            f"the Ray cluster at {address!r} refuses this process: set RAY_AUTH_TOKEN to the cluster's token, which "
            "`ray get-auth-token` prints on its head node"
        ) from error
    except (RuntimeError, ValueError) as error:  # of Ray: other versions, malformed addresses
        raise InvalidSetting(f"the Ray cluster at {address!r} cannot be used: {error}") from error


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray would try for minutes, and then end this process.

    Raises:
        InvalidSetting: If nothing listens, or it is not the address of a node.
    """
    if address == "auto":
        return
    host, mark, port = address.rpartition(":")
    if "/" in address or not mark or not port.isdigit():
        raise InvalidSetting(
            f"--ray takes HOST:PORT of a cluster that this machine is a node of, auto or local, got {address!r}"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise InvalidSetting(
            f"no Ray cluster listens at {address} ({error}): give the address that `ray start --head` prints there"
        ) from error


def _amount(name: str, value: float, least: float) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value < math.inf or (value > 1 and value % 1):
        raise InvalidSetting(f"{name} must be >= {least:g}: a fraction below 1, or a whole number, got {value!r}")
    return float(value)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


@cache
def import_ray() -> Any:
    """The package `ray`, with settings that do not depend on the machine.

    Raises:
        DependencyNotInstalled: If it is missing.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Workers without GPUs of their own see all of the node's, as local worker processes do.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "minor")
    # When it attaches to a running cluster, Ray shows a token only if asked to.
    tokens = (os.environ.get("RAY_AUTH_TOKEN"), os.environ.get("RAY_AUTH_TOKEN_PATH"))
    if any(tokens) or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError as error:
        raise DependencyNotInstalled('ray is not installed, run `pip install "vzgym[ray]"`') from error
    return ray
