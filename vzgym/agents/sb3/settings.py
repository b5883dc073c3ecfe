"""What a training run with Stable-Baselines3 is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.tasks import TaskSet, resolve_budget

__all__ = ["ALGORITHMS", "SB3Settings"]

ALGORITHMS: Final = ("maskable_ppo", "ppo", "a2c", "dqn")
"""Learners. All act through `discrete`; only `maskable_ppo` knows which actions are possible."""

_FILE = "sb3.json"


@dataclass(frozen=True)
class SB3Settings:
    """A training run.

    Args:
        out: Folder for checkpoints, logs and the finished model.
        algo: One of `ALGORITHMS`.
        tasks: A suite; its train split unless it names one.
        steps: Steps of the environment in all.
        seed: Of weights, tasks and actions.
        envs: Environments side by side, in one process.
        windows: Equal parts of the video that the action chooses from; also the extractor's `bins`.
        fps: Frame rates that the action chooses from.
        max_options: Most options of a question.
        frame_size: `(height, width)` of a frame as the learner sees it.
        reward: What is learnt from, as `vzgym.rewards.make_reward` takes it. The default pays as much for a zoom that
            comes near the evidence as for a right answer: training may use where the evidence lies, the observation
            never shows it.
        gamma: Discount. Below 1, a zoom that finds nothing costs a little.
        learning_rate: Step size of the optimiser at first.
        final_rate: Share of it that is left after the last step; it falls linearly. 1: it stays.
        checkpoint_every: Steps between two checkpoints.
        eval_every: Steps between two evaluations on the validation split; 0: none.
        eval_episodes: Tasks of an evaluation.
        tensorboard: Whether to write TensorBoard logs into `out/tensorboard`.
        options: Over the learner's own keyword arguments.
        budget: Settings of `Budget` over what the tasks were built for; None: nothing else.

    Raises:
        InvalidSetting: If a value is out of range.
    """

    out: str = ""
    algo: str = "maskable_ppo"
    tasks: str = "needle-tiny"
    steps: int = 20_480
    seed: int = 0
    envs: int = 16
    windows: int = 16
    fps: tuple[float, ...] = (2.0,)
    max_options: int = 4
    frame_size: tuple[int, int] = (8, 8)
    reward: Any = field(
        default_factory=lambda: {
            "accuracy": 1.0,
            "time_proximity": {"weight": 1.0, "sigma": 2.0},
        }
    )
    gamma: float = 0.98
    learning_rate: float = 3e-3
    final_rate: float = 0.1
    checkpoint_every: int = 8192
    eval_every: int = 4096
    eval_episodes: int = 100
    tensorboard: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fps", tuple(float(rate) for rate in self.fps))
        if len(self.frame_size) != 2:
            raise InvalidSetting(f"frame_size must be a height and a width, such as [8, 8], got {self.frame_size!r}")
        object.__setattr__(self, "frame_size", (int(self.frame_size[0]), int(self.frame_size[1])))
        if self.algo not in ALGORITHMS:
            raise InvalidSetting(f"algo must be one of {', '.join(ALGORITHMS)}, got {self.algo!r}")
        for name in ("steps", "envs", "checkpoint_every", "eval_episodes"):
            if getattr(self, name) < 1:
                raise InvalidSetting(f"{name} must be >= 1, got {getattr(self, name)!r}")
        if self.eval_every < 0 or self.seed < 0:
            raise InvalidSetting(f"eval_every and seed must be >= 0, got {self.eval_every} and {self.seed}")
        if not 0 <= self.gamma <= 1 or not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InvalidSetting(
                f"gamma must lie in [0, 1] and learning_rate be finite and > 0, got {self.gamma} and "
                f"{self.learning_rate}"
            )
        if not 0 <= self.final_rate <= 1:
            raise InvalidSetting(f"final_rate must lie in [0, 1], got {self.final_rate}")

    @property
    def observation(self) -> dict[str, Any]:
        """The observation module that the learner sees through."""
        return {"name": "flat", "frame_size": list(self.frame_size), "max_options": self.max_options}

    @property
    def action(self) -> dict[str, Any]:
        """The action module that it acts through."""
        return {
            "name": "discrete",
            "windows": self.windows,
            "fps": list(self.fps),
            "max_options": self.max_options,
        }

    def budget_for(self, tasks: TaskSet) -> Budget:
        """What may be looked at: the tasks' own budget, and the run's settings over it."""
        return resolve_budget(self.budget, tasks)

    def save(self, folder: Path) -> None:
        """Write `sb3.json` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> SB3Settings:
        """Read what `save` wrote.

        Raises:
            InvalidSetting: If the folder holds no run, or one of another version.
        """
        path = Path(folder) / _FILE
        if not path.is_file():
            raise InvalidSetting(f"{folder} holds no model of `vzgym train sb3`: there is no {_FILE}")
        data = json.loads(path.read_text(encoding="utf-8"))
        unknown = sorted(set(data) - {item.name for item in fields(cls)})
        if unknown:
            raise InvalidSetting(f"{path}: unknown setting {', '.join(unknown)}")
        return cls(**data)
