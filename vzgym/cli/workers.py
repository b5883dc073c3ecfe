"""Options of commands that run in several processes, and the executor that they name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vzgym.core.errors import InvalidSetting

if TYPE_CHECKING:
    from vzgym.rollout.executor import Executor

__all__ = ["GpusOption", "RayOption", "ShareFramesOption", "WorkersOption", "make_executor"]

WorkersOption = Annotated[
    int, typer.Option(help="Number of worker processes, each with its own policy, scorer or encoder.", min=1)
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Run the workers on Ray: without an address on this machine, else on the cluster at HOST:PORT (auto: the "
        "cluster that this machine belongs to).",
    ),
]
GpusOption = Annotated[
    float, typer.Option("--gpus-per-worker", help="With --ray: GPUs of each worker, or a fraction of one.", min=0)
]
ShareFramesOption = Annotated[
    float,
    typer.Option(
        "--share-frames", help="GB of decoded frames of video files that the workers on a machine share.", min=0
    ),
]


def make_executor(
    workers: int,
    ray: str | None = None,
    gpus: float = 0.0,
    *,
    share_frames: float = 0.0,
    threads: int = 1,
    fresh: bool = False,
) -> Executor:
    """The executor that a command's options name.

    Args:
        workers: Number of workers, >= 1.
        ray: Address of a Ray cluster; None for processes of this machine.
        gpus: GPUs of each worker on Ray.
        share_frames: GB of decoded frames that the workers on a machine share; 0 leaves it to the environment.
        threads: CPUs of each worker on Ray.
        fresh: Whether each job runs in a new process.

    Raises:
        InvalidSetting: If a setting is invalid, or the workers do not fit on the cluster.
        DependencyNotInstalled: If Ray is named, but missing.
    """
    from vzgym.rollout.executor import LocalProcesses, local_executor
    from vzgym.video.settings import configure, limits

    if share_frames:
        configure(replace(limits(), shared_bytes=int(share_frames * 1e9)))
    if ray is not None:
        from vzgym.rollout.ray_executor import RayActors

        return RayActors(workers, address=ray, cpus_per_worker=threads, gpus_per_worker=gpus, fresh=fresh)
    if gpus:
        raise InvalidSetting("--gpus-per-worker needs --ray: processes of this machine share all of its GPUs")
    return LocalProcesses(workers, fresh=True) if fresh else local_executor(workers)
