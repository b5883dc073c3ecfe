"""Measure the time of `reset` and `step` for every registered id on one core, and print a Markdown table.

    python benchmarks/steps.py [--episodes 60]

Each id is made as a user makes it, `gymnasium.make(id)` with its default modules, and beside it gymnasium's CartPole.
With procedural videos, a zoom's time is that of drawing its frames. A refused zoom and an answer show the cost of a
step without frames; most of it is the observation, whose arrays are new each step, so the time of a copy of an
observation stands beside them. A full zoom evicts the processor's caches: the first refused zoom follows one, as in an
episode, and so does the copy beside it (in every other episode, in its place). The second refused zoom, the answer
and the copy beside them follow a step without frames. Times are processor times, which other programs affect only
through shared caches.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from vzgym import Answer, Zoom
from vzgym.envs import ENV_IDS, DiscreteAction, VideoZoomEnv

ZOOM_FPS = 4.0
KINDS = ("reset", "zoom", "refused", "cold copy", "again", "answer", "copy")
HEAD = (
    "id",
    "video",
    "observation",
    "`reset`, ms",
    "full zoom, ms",
    "refused zoom after a full one, us",
    "copy of an observation after a full zoom, us",
    "second refused zoom, us",
    "answer, us",
    "copy of the observation, us",
)
Times = dict[str, list[float]]


def timed(times: list[float], call: Callable[..., Any], *values: Any, **options: Any) -> Any:
    """Return the call's result, and append its processor time to `times`."""
    started = time.thread_time()
    result = call(*values, **options)
    times.append(time.thread_time() - started)
    return result


def actions_of(env: VideoZoomEnv) -> tuple[Callable[[float, float], Any], Any, Any]:
    """How the environment's action module expresses a full zoom, a refused one, and an answer."""
    action = env.action
    if not isinstance(action, DiscreteAction):
        return (lambda start, end: Zoom(start, end, ZOOM_FPS)), Zoom(5.0, 3.0, ZOOM_FPS), Answer("A")
    # The window at its highest valid rate; a refused value is one that the mask forbids.
    allowed = np.flatnonzero(env.action_masks()[: action.num_zooms])
    refused = np.flatnonzero(~env.action_masks()[: action.num_zooms])

    def windowed(start: float, end: float) -> int:
        window = int(start / env.episode.record.task.duration * action.windows)
        return int(allowed[allowed // len(action.fps) == window][-1])

    return windowed, int(refused[0]) if len(refused) else None, action.num_zooms


def measure(id: str, episodes: int) -> tuple[str, ...]:
    """One row: medians over all resets and steps of `episodes` episodes, without the first."""
    env = gymnasium.make(id)
    inner = env.unwrapped
    assert isinstance(inner, VideoZoomEnv)
    budget = inner.budget
    length = budget.clip_frames / ZOOM_FPS
    times: Times = defaultdict(list)
    rng = np.random.default_rng(0)
    for episode in range(episodes + 1):
        seen, info = timed(times["reset"], env.reset, seed=episode)
        zoom, refused, answer = actions_of(inner)
        for _ in range(budget.max_zooms - 2):
            earlier, start = seen, float(rng.uniform(0.0, info["duration"] - length))
            seen, *_, info = timed(times["zoom"], env.step, zoom(start, start + length))
            assert info["outcome"] == "executed"
        if episode % 2:
            timed(times["cold copy"], copy.deepcopy, earlier)
            continue
        for kind in ("refused", "again") if refused is not None else ():
            seen, *_, info = timed(times[kind], env.step, refused)
            assert info["outcome"] == "refused"
        seen, *_, info = timed(times["answer"], env.step, answer)
        assert info["end"] == "answered"
        timed(times["copy"], copy.deepcopy, seen)
        if not episode:
            times.clear()
    task = inner.episode.task
    size = sum(value.nbytes for value in seen.values() if isinstance(value, (np.ndarray, np.generic)))
    middle = {kind: float(np.median(times[kind])) if times[kind] else float("nan") for kind in KINDS}
    return (
        f"`{id}`",
        f"{task.video.height}x{task.video.width}, {task.video.duration:g} s",
        f"{size / 1000:,.0f} kB",
        f"{1e3 * middle['reset']:.1f}",
        f"{1e3 * middle['zoom']:.2f}",
        *(f"{1e6 * middle[kind]:.0f}" if times[kind] else "" for kind in KINDS[2:]),
    )


def measure_peer(episodes: int) -> tuple[str, ...]:
    """The row of gymnasium's CartPole: `reset`, and a step in the column of answers."""
    env = gymnasium.make("CartPole-v1")
    times: Times = defaultdict(list)
    for episode in range(episodes + 1):
        seen, _ = timed(times["reset"], env.reset, seed=episode)
        ended = False
        while not ended:
            seen, _, terminated, truncated, _ = timed(times["answer"], env.step, env.action_space.sample())
            ended = terminated or truncated
        timed(times["copy"], copy.deepcopy, seen)
    reset, step, copied = (float(np.median(times[kind])) for kind in ("reset", "answer", "copy"))
    return (
        "`CartPole-v1` (a step)",
        *("", "16 B", f"{1e3 * reset:.3f}", "", "", "", "", f"{1e6 * step:.0f}", f"{1e6 * copied:.0f}"),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=60, help="episodes per row (default: 60)")
    episodes = max(1, parser.parse_args().episodes)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    load = f", load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    print(
        f"Medians of processor time over {episodes} episodes on one core; Python {platform.python_version()}, "
        f"{platform.machine()}{load}.\n"
    )
    print(f"| {' | '.join(HEAD)} |\n|---|---|{'---:|' * (len(HEAD) - 2)}")
    print(f"| {' | '.join(measure_peer(episodes))} |", flush=True)
    for id in ENV_IDS:
        print(f"| {' | '.join(measure(id, episodes))} |", flush=True)


if __name__ == "__main__":
    main()
