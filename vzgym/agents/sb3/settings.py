"""Settings of a training run with Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, Strict

from vzgym.agents.settings import BudgetedSettings, RunSettings
from vzgym.core.documents import Document
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import read_json, write_json
from vzgym.core.settings import ListOf

__all__ = ["ALGORITHMS", "SB3Settings"]

_FILE = "sb3.json"


class SB3Settings(RunSettings, BudgetedSettings):
    """A training run with Stable-Baselines3."""

    algo: Literal["maskable_ppo", "ppo", "a2c", "dqn"] = "maskable_ppo"
    """Learning algorithm. All act through `discrete`; only `maskable_ppo` uses the mask of possible actions."""

    tasks: str = "needle-tiny"
    """A suite, with or without a split (its train split is the default), or a .jsonl file."""

    steps: PositiveInt = 20_480
    """Steps of the environments in total."""

    envs: PositiveInt = 16
    """Environments in parallel, in one process."""

    windows: PositiveInt = 16
    """Equal parts of the video that the action chooses from; also the extractor's `bins`."""

    fps: ListOf[float] = (2.0,)
    """Frame rates that the action chooses from."""

    max_options: PositiveInt = 4
    """Most options of a question."""

    frame_size: Annotated[tuple[int, int], Strict(False)] = (8, 8)
    """`[height, width]` of a frame in the observation, in pixels."""

    reward: str | Mapping[str, Any] = Field(
        default_factory=lambda: {"accuracy": 1.0, "time_proximity": {"weight": 1.0, "sigma": 2.0}}
    )
    """A reward preset, a YAML file, or terms by name. The default rewards a zoom near the evidence as much as a correct
    answer: training may use the position of the evidence, observations never show it."""

    gamma: float = Field(0.98, ge=0, le=1)
    """Discount factor. Below 1, a useless zoom has a small cost."""

    learning_rate: PositiveFloat = 3e-3
    """Learning rate at the start."""

    final_rate: float = Field(0.1, ge=0, le=1)
    """Final learning rate as a share of the initial one; it falls linearly. 1: constant."""

    checkpoint_every: PositiveInt = 8192
    """Steps between two checkpoints."""

    eval_every: NonNegativeInt = 4096
    """Steps between two evaluations on the validation split; 0: none. For `train.jsonl` that is `validation.jsonl`, if
    there is one, else the file itself."""

    eval_episodes: PositiveInt = 100
    """Tasks of an evaluation."""

    tensorboard: bool = True
    """Whether to write TensorBoard logs into `out/tensorboard`."""

    options: Mapping[str, Any] = Field(default_factory=dict)
    """Arguments of the algorithm's class; they override everything else."""

    @property
    def observation(self) -> dict[str, Any]:
        """The learner's observation module."""
        return {"name": "flat", "frame_size": list(self.frame_size), "max_options": self.max_options}

    @property
    def action(self) -> dict[str, Any]:
        """The learner's action module."""
        return {
            "name": "discrete",
            "windows": self.windows,
            "fps": list(self.fps),
            "max_options": self.max_options,
        }

    def save(self, folder: Path) -> None:
        """Write `sb3.json` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _FILE, self.to_dict())

    @classmethod
    def load(cls, folder: str | Path) -> SB3Settings:
        """Read what `save` wrote.

        Raises:
            InvalidSetting: If the folder holds no run, or its settings are invalid.
        """
        path = Path(folder) / _FILE
        if not path.is_file():
            raise InvalidSetting(f"{folder} holds no model of `vzgym train sb3`: there is no {_FILE}")
        with Document(None, str(path)).at():
            return cls(**read_json(path, InvalidSetting))


ALGORITHMS: Final[tuple[str, ...]] = get_args(SB3Settings.model_fields["algo"].annotation)
"""Names of the learning algorithms."""
