"""Finding and loading the model files of a run."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO

from vzgym.core.errors import InvalidSetting

__all__ = ["ModelClass", "algorithm_of", "checkpoints", "load_model", "model_class", "model_file", "replay_buffer"]

ModelClass = type[MaskablePPO] | type[PPO] | type[A2C] | type[DQN]

_CLASSES: Mapping[str, ModelClass] = {"maskable_ppo": MaskablePPO, "ppo": PPO, "a2c": A2C, "dqn": DQN}
_CHECKPOINT = re.compile(r"step_(\d+)\.zip")


def model_class(algo: str) -> ModelClass:
    """The class of an algorithm."""
    return _CLASSES[algo]


def load_model(file: Path, algo: str) -> Any:
    """Load a model for acting, on the CPU."""
    return model_class(algo).load(file, device="cpu")


def algorithm_of(file: Path) -> str:
    """The algorithm of a model's `.zip` file, read from its plain JSON part: nothing is unpickled.

    Raises:
        InvalidSetting: If it is not a file that a model's `save` wrote.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            data = json.loads(archive.read("data"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidSetting(f"{file} is no model of Stable-Baselines3: {error}") from error
    if "exploration_fraction" in data:
        return "dqn"
    if "clip_range" not in data:
        return "a2c"
    # Only the maskable algorithm masks its roll-out buffer.
    buffers = json.dumps([data.get("rollout_buffer_class"), data.get("policy_class")])
    return "maskable_ppo" if "maskable" in buffers.casefold() else "ppo"


def model_file(run: Path) -> Path:
    """The final model of a run, or its newest checkpoint if the run was stopped.

    Raises:
        InvalidSetting: If there is neither.
    """
    finished = run / "model.zip"
    if finished.is_file():
        return finished
    found = checkpoints(run / "checkpoints")
    if not found:
        raise InvalidSetting(f"{run} holds no model yet: there is no model.zip and no checkpoint")
    return found[-1]


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, by their number of steps."""
    steps = {path: found for path in folder.glob("step_*.zip") if (found := _CHECKPOINT.fullmatch(path.name))}
    return sorted(steps, key=lambda path: int(steps[path][1]))


def replay_buffer(checkpoint: Path) -> Path:
    """Path of a checkpoint's replay buffer (DQN)."""
    return checkpoint.with_suffix(".buffer.pkl")
