"""A custom policy, compared with the controls.

It takes the scene from the question, finds that scene in the overview by its color, and spends all its zooms on it,
one after the other. A reader of `vzgym.baselines` then answers from the pixels; a model could replace the reader.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np

import vzgym
from vzgym.baselines import AutoReader
from vzgym.tasks.procedural.render.palette import SCENE_HUES


class SceneSweep:
    """Zooms only into the scene that the question names."""

    name = "scene sweep"
    observation = "default"  # the modules it plays through: all frames so far ...
    action = "default"  # ... and zooms and answers as objects

    def __init__(self) -> None:
        self.reader = AutoReader()

    def reset(self, seed: int) -> None:
        self.plan: list[vzgym.Zoom] | None = None

    def act(self, observation: dict[str, Any], info: dict[str, Any]) -> vzgym.Zoom | vzgym.Answer:
        seen = int(observation["num_frames"])
        frames, times = observation["frames"][:seen], observation["frame_times"][:seen]
        if self.plan is None:
            self.plan = self.sweep(frames, times, observation["budget_left"], info)
        if self.plan:
            return self.plan.pop(0)
        reading = self.reader.read(frames, times, info["question"], info["options"])
        return vzgym.Answer(reading.option or info["options"][0])

    def sweep(self, frames: Any, times: Any, left: Any, info: dict[str, Any]) -> list[vzgym.Zoom]:
        """Windows of equal length over the scene, each with a full clip; none if the overview suffices."""
        zooms, frames_left, _ = left
        asked = re.search(r"in the (\w+) scene|during the (\w+) scene", info["question"], re.IGNORECASE)
        if asked is None or "balloon" in info["question"]:
            return []
        hue = asked.group(1) or asked.group(2)
        middle = np.median(frames.reshape(len(frames), -1, 3), axis=1)
        tones = np.array(list(SCENE_HUES.values()), dtype=float)
        distance = np.linalg.norm(unit(middle)[:, None] - unit(tones), axis=-1)
        there = np.flatnonzero(distance.argmin(axis=1) == list(SCENE_HUES).index(hue))
        if not len(there):
            return []
        end = times[there[-1] + 1] if there[-1] + 1 < len(times) else info["duration"]
        edges = np.linspace(times[there[0]], end, zooms + 1)
        fps = (frames_left / zooms) / (edges[1] - edges[0])
        return [vzgym.Zoom(float(a), float(b), float(fps)) for a, b in pairwise(edges)]


def unit(colors: np.ndarray) -> np.ndarray:
    """Normalize colors by brightness."""
    return colors / np.linalg.norm(colors, axis=-1, keepdims=True)


if __name__ == "__main__":
    print(f"{'policy':12}  {'accuracy':>8}  {'95 % interval':>15}  {'frames':>6}  {'zooms':>5}")
    for policy in ("blind", "uniform", "random", SceneSweep(), "oracle"):
        report = vzgym.evaluate(policy, "tiny/test", episodes=40)
        metrics, right = report.summary, report.accuracy
        interval = f"{right.low:.2f} to {right.high:.2f}"
        print(
            f"{report.policy:12}  {right.value:8.2f}  {interval:>15}  {metrics['frames'].value:6.1f}  "
            f"{metrics['zooms'].value:5.1f}"
        )
    print("\nThe same from the command line: vzgym eval --policy examples.own_policy:SceneSweep --tasks tiny")
