"""Measure the time of `reset` and `step` for every registered id on one core, and print a Markdown table.

    python benchmarks/steps.py [--episodes 60]

With procedural videos, a zoom's time is that of drawing its frames. A refused zoom shows the cost of a step without
frames. The first one follows a full zoom, as in an episode, so caches are cold; the second follows immediately. Times
are processor times, which other programs affect only through shared caches.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from vzgym import Zoom
from vzgym.envs import ENV_IDS, VideoZoomEnv

ZOOM_FPS = 4.0
HEAD = (
    "id",
    "observation",
    "video",
    "overview",
    "zooms",
    "observation size",
    "reset, ms",
    "full zoom, ms",
    "refused zoom, us",
    "second one, us",
)


def timed(times: list[float], call: Callable[..., Any], *values: Any, **options: Any) -> Any:
    """Return the call's result, and append its processor time to `times`."""
    started = time.thread_time()
    result = call(*values, **options)
    times.append(time.thread_time() - started)
    return result


def measure(id: str, observation: str, episodes: int) -> tuple[str, ...]:
    """One row: medians over all resets and steps of `episodes` episodes, without the first."""
    env = gymnasium.make(id, observation=observation, disable_env_checker=True).unwrapped
    assert isinstance(env, VideoZoomEnv)
    budget = env.budget
    length = budget.clip_frames / ZOOM_FPS
    resets: list[float] = []
    zooms: list[float] = []
    refusals: list[float] = []
    again: list[float] = []
    rng = np.random.default_rng(0)
    for episode in range(episodes + 1):
        seen, info = timed(resets, env.reset, seed=episode)
        for _ in range(budget.max_zooms - 2):
            start = float(rng.uniform(0.0, info["duration"] - length))
            *_, info = timed(zooms, env.step, Zoom(start, start + length, ZOOM_FPS))
            assert info["outcome"] == "executed"
        for times in (refusals, again):
            *_, info = timed(times, env.step, Zoom(5.0, 3.0, ZOOM_FPS))
            assert info["refusal"] == "reversed"
        if not episode:
            for times in (resets, zooms, refusals, again):
                times.clear()
    task = env.episode.task
    size = sum(value.nbytes for value in seen.values() if isinstance(value, (np.ndarray, np.generic)))
    return (
        f"`{id}`",
        observation,
        f"{task.video.height}x{task.video.width}, {task.video.duration:g} s",
        f"{budget.overview_frames} frames",
        f"{budget.max_zooms} of {budget.clip_frames} frames",
        f"{size / 1000:,.0f} kB",
        f"{1e3 * np.median(resets):.1f}",
        f"{1e3 * np.median(zooms):.2f}",
        f"{1e6 * np.median(refusals):.0f}",
        f"{1e6 * np.median(again):.0f}",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=60, help="episodes per row (default: 60)")
    episodes = max(1, parser.parse_args().episodes)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"Medians over {episodes} episodes on one core; Python {platform.python_version()}, {platform.machine()}.\n")
    print(f"| {' | '.join(HEAD)} |")
    print(f"|{'---|' * len(HEAD)}")
    for id in ENV_IDS:
        for observation in ("default", "compact"):
            print(f"| {' | '.join(measure(id, observation, episodes))} |", flush=True)


if __name__ == "__main__":
    main()
