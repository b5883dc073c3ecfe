"""Measure steps per second of vector environments by number of workers, frame size and kind of video.

    python benchmarks/vector.py [--suite needle-tiny/test] [--workers 1 2 4 8] [--sizes 32 64 128] [--episodes 40]
    python benchmarks/vector.py --observation default --workers 1 2 8 --sizes 64

Each environment plays whole episodes: all its zooms, each a full clip of another window, then an answer. Autoreset is
SAME_STEP, so that every step belongs to an episode; starting the next episode is part of its time. The first episodes,
in which files are opened and caches filled, are not counted. Peers, in the same run: one environment without a vector;
gymnasium's vector around an environment that returns constant arrays of the same spaces (`transport`: the cost of
moving observations); Stable-Baselines3's `SubprocVecEnv`, if installed.

A rate is the steps of all workers per second of wall time, so it depends on the machine's load. `CPU ms` is the
processor time per step, of workers and learner together, which depends on it less.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from vzgym.envs import VideoZoomEnv
from vzgym.envs.wrappers import DropDialogue
from vzgym.tasks import TaskSet, load_tasks
from vzgym.tasks.io.jsonl import load_jsonl
from vzgym.tasks.io.writing import write_tasks

WINDOWS = 16
OPTIONS = 4
Make = Callable[[], "gymnasium.Env[Any, Any]"]


class Timed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reports the processor time of its process."""

    def cpu_seconds(self) -> float:
        return time.process_time()


class Transport(gymnasium.Env[Any, Any]):
    """Constant arrays of another environment's spaces; episodes of the same length."""

    def __init__(self, make: Make) -> None:
        with closing(make()) as model:
            self.observation_space, self.action_space = model.observation_space, model.action_space
        self.metadata = {"render_modes": []}
        self.seen = self.observation_space.sample()

    def observe(self) -> Any:
        return copy.deepcopy(self.seen)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observe(), 0.0, int(action) >= WINDOWS, False, {}


def make_env(tasks: Any, size: int, observation: str = "compact") -> gymnasium.Env[Any, Any]:
    """An observation's arrays (of the default one its text too), and a grid of windows that each fill a clip."""
    clip = tasks.budget.clip_frames
    env = VideoZoomEnv(
        tasks,
        observation={"name": observation, "frame_size": (size, size)},
        action={"name": "discrete", "windows": WINDOWS, "fps": (clip * WINDOWS / tasks[0].video.duration,)},
        reward="accuracy",
    )
    return Timed(env if observation == "default" else DropDialogue(env))


def make_transport(tasks: Any, size: int, observation: str = "compact") -> gymnasium.Env[Any, Any]:
    return Timed(Transport(partial(make_env, tasks, size, observation)))


class Single:
    """A single environment with the interface of a vector."""

    def __init__(self, makes: list[Make], **_: Any) -> None:
        self.env = makes[0]()

    def reset(self, seed: int) -> Any:
        return self.env.reset(seed=seed)

    def step(self, actions: Any) -> None:
        if any(self.env.step(int(actions[0]))[2:4]):
            self.env.reset()

    def close(self) -> None:
        self.env.close()


class Subproc:
    """Stable-Baselines3's vector."""

    def __init__(self, makes: list[Make], **_: Any) -> None:
        from stable_baselines3.common.vec_env import SubprocVecEnv

        self.env = SubprocVecEnv(makes, start_method="fork" if hasattr(os, "fork") else "spawn")

    def reset(self, seed: int) -> Any:
        self.env.seed(seed)
        return self.env.reset()

    def step(self, actions: Any) -> None:
        self.env.step(actions)

    def call(self, name: str) -> Any:
        return self.env.env_method(name)

    def close(self) -> None:
        self.env.close()


def measure(made: Any, workers: int, zooms: int, episodes: int) -> tuple[float, float]:
    """Steps of all workers per second of wall time, and milliseconds of processor time per step."""
    with closing(made) as env:
        env.reset(seed=0)
        turns = episode_actions(workers, zooms)
        for _ in range((zooms + 1) * max(1, episodes // 4)):
            env.step(next(turns))
        worked, started = cpu_seconds(env), time.perf_counter()
        for _ in range((zooms + 1) * episodes):
            env.step(next(turns))
        wall, steps = time.perf_counter() - started, workers * (zooms + 1) * episodes
        return steps / wall, 1e3 * (cpu_seconds(env) - worked) / steps


def episode_actions(workers: int, zooms: int) -> Iterator[np.ndarray]:
    """Yield actions endlessly: a number of zooms into different windows, then an answer."""
    rng = np.random.default_rng(0)
    while True:
        for _ in range(zooms):
            yield rng.integers(0, WINDOWS, workers)
        yield rng.integers(WINDOWS, WINDOWS + OPTIONS, workers)


def cpu_seconds(env: Any) -> float:
    """Processor time of this process and of the workers."""
    apart = isinstance(env, (AsyncVectorEnv, Subproc))
    return time.process_time() + (sum(env.call("cpu_seconds")) if apart else 0.0)


def vectors(workers: list[int], observation: str) -> Iterator[tuple[str, int, Callable[..., Any], Callable[..., Any]]]:
    """Rows of the table: name, number of environments, vector, environment."""
    sync = partial(SyncVectorEnv, autoreset_mode=AutoresetMode.SAME_STEP)
    parallel = partial(AsyncVectorEnv, autoreset_mode=AutoresetMode.SAME_STEP)
    yield "no vector", 1, Single, make_env
    yield "sync", max(workers), sync, make_env
    for count in workers:
        yield "async", count, parallel, make_env
    yield "async, transport", max(workers), parallel, make_transport
    if importlib.util.find_spec("stable_baselines3") and observation == "compact":
        yield "SubprocVecEnv", max(workers), Subproc, make_env


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="needle-tiny/test")
    parser.add_argument("--observation", choices=("compact", "default"), default="compact")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128], help="sides of a frame in pixels")
    parser.add_argument("--episodes", type=int, default=40, help="episodes per environment and figure")
    parser.add_argument("--files", type=int, default=4, help="number of videos written as files")
    options = parser.parse_args()
    drawn = load_tasks(options.suite)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{options.suite}, {options.observation} observation; {machine}.\n")
    print(
        "| video | vector | environments |" + "".join(f" {size}x{size}, steps/s | CPU ms |" for size in options.sizes)
    )
    print("|---|---|---:|" + "---:|---:|" * len(options.sizes), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        listing = write_tasks([drawn[index] for index in range(options.files)], Path(folder))
        sources: dict[str, TaskSet] = {"procedural": drawn, "files": load_jsonl(listing)}
        for source, tasks in sources.items():
            for name, count, vector, make in vectors(options.workers, options.observation):
                row = f"| {source} | {name} | {count} |"
                for size in options.sizes:
                    made = vector([partial(make, tasks, size, options.observation)] * count)
                    rate, cpu = measure(made, count, drawn.budget.max_zooms, options.episodes)
                    row += f" {rate:,.0f} | {cpu:.2f} |"
                print(row, flush=True)


if __name__ == "__main__":
    main()
