"""Custom observation, action and reward modules: passed as objects, then registered by name.

The agent sees no pixels, only the mean color of each frame of its latest clip. It bisects the video repeatedly, and is
rewarded for each half that contains the evidence.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

import vzgym
from vzgym.core.interval import intersect
from vzgym.envs import ACTIONS, OBSERVATIONS, DecodedAction
from vzgym.episode import Episode, PlainWording
from vzgym.rewards import REWARDS
from vzgym.rewards.outcome import Accuracy


class ClipColors:
    """Observation: the mean RGB color of each frame of the latest clip; unused rows are 0."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def space(self, budget: vzgym.Budget) -> Box:
        rows = max(budget.overview_frames, budget.clip_frames)
        return Box(0.0, 255.0 * self.scale, (rows, 3), np.float64)

    def observe(self, episode: Episode) -> np.ndarray:
        colors = np.zeros((max(episode.budget.overview_frames, episode.budget.clip_frames), 3))
        clip = episode.record.clips[-1]
        colors[: len(clip)] = self.scale * clip.pixels.mean(axis=(1, 2))
        return colors


class Halves:
    """Action: 0 and 1 zoom into the left and the right half of the latest window; 2, 3, ... answer A, B, ..."""

    wording = PlainWording()

    def space(self, budget: vzgym.Budget) -> Discrete:
        return Discrete(2 + 4)

    def decode(self, value: int, episode: Episode) -> DecodedAction:
        if value >= 2:
            return DecodedAction(vzgym.Answer("ABCD"[value - 2]))
        windows = episode.record.windows or [vzgym.Interval(0.0, episode.record.task.duration)]
        start, end = windows[-1].start, windows[-1].end
        middle = (start + end) / 2
        start, end = (start, middle) if value == 0 else (middle, end)
        return DecodedAction(
            vzgym.Zoom(start, end, fps=min(episode.budget.clip_frames / (end - start), episode.budget.max_fps))
        )


class OnTarget:
    """Reward: 1 for a zoom whose window touches the evidence, else 0."""

    name: ClassVar[str] = "on_target"
    needs: ClassVar[frozenset[str]] = frozenset({"evidence"})

    def score(self, record: Any, context: Any) -> float:
        return float(bool(intersect(record.turns[-1].windows, record.task.evidence)))


def play(env: gym.Env) -> None:
    """Play one episode with an agent that knows the task; this demonstrates the modules, not a policy."""
    observation, info = env.reset(options={"task": 0})
    task = env.unwrapped.episode.task
    print(f"  {info['question']}  ({task.answer} flashes at {task.evidence[0].start:.1f} of {info['duration']:.0f} s)")
    middle, step, ended = info["duration"] / 2, info["duration"] / 4, False
    while not ended:
        right = task.evidence[0].start >= middle
        last = env.unwrapped.episode.zooms_left == 0
        action = 2 + task.options.index(task.answer) if last else int(right)
        observation, reward, terminated, truncated, info = env.step(action)
        middle, step, ended = middle + (step if right else -step), step / 2, terminated or truncated
        said = env.unwrapped.record.turns[-1].text
        print(f"  action {action}: {said:26} reward {reward:.2f}   first color seen: {observation[0].round(2)}")


print("As objects:")
play(
    gym.make(
        "VideoZoomTiny-v0",
        tasks="needle-tiny/test",
        observation=ClipColors(),
        action=Halves(),
        reward=[(Accuracy(), 1.0), (OnTarget(), 0.2)],
    )
)

print("Registered, by name and by mapping:")
OBSERVATIONS.register("clip_colors", ClipColors)
ACTIONS.register("halves", Halves)
REWARDS.register("on_target", OnTarget)
play(
    gym.make(
        "VideoZoomTiny-v0",
        tasks="needle-tiny/test",
        observation={"name": "clip_colors", "scale": 1 / 255},
        action="halves",
        reward={"accuracy": 1.0, "on_target": 0.2, "frame_cost": 0.01},
    )
)
