"""Stable-Baselines3 models as policies."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed

from vzgym.agents.metadata import saved_budget
from vzgym.agents.sb3.checkpoints import algorithm_of, load_model, model_file
from vzgym.agents.sb3.settings import SB3Settings
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.policies.fingerprint import fingerprint

__all__ = ["SB3Policy"]


class SB3Policy:
    """Policy from a Stable-Baselines3 model, with the observation and action modules of its training.

    Args:
        path: The folder of a run of `train_sb3` (its `model.zip`, or its newest checkpoint if it was stopped), or a
            `.zip` file written by a model's `save`.
        model: A model in place of `path`.
        settings: The settings with which `model` was trained; the modules of the model's environment if not given.
        env: For a `.zip` file: the id of the environment in which the model was trained.
        deterministic: Whether the most probable action is taken; else actions are sampled.
        name: For tables; the name of the folder, file or algorithm if not given.

    Raises:
        InvalidSetting: If the folder holds no model, the model has no environment with a `VideoZoomEnv`, or `env` has
            other spaces than the model.
    """

    def __init__(
        self,
        path: str | Path = "",
        *,
        model: Any = None,
        settings: SB3Settings | None = None,
        env: str = "VideoZoomTinyArrays-v0",
        deterministic: bool = True,
        name: str = "",
    ) -> None:
        self._weights: dict[str, str] = {}
        self.trained_budget: Budget | None = None
        if model is None:
            zipped = Path(path).suffix == ".zip"
            if not zipped:
                self.trained_budget = saved_budget(path)
                settings = SB3Settings.load(path)
            file = Path(path) if zipped else model_file(Path(path))
            self._weights = fingerprint(file)
            model = load_model(file, algorithm_of(file) if settings is None else settings.algo)
        self.model: BaseAlgorithm = model
        self.deterministic = deterministic
        self.name = name or Path(path).name.removesuffix(".zip") or type(model).__name__
        if settings is not None:
            self.observation, self.action = settings.observation, settings.action
        elif str(path):
            self.observation, self.action, self.trained_budget = _modules_of_id(env, model, path)
        else:
            self.observation, self.action, self.trained_budget = _modules_of_model(model)
        self._masked = "action_masks" in inspect.signature(model.predict).parameters

    @property
    def identity(self) -> dict[str, Any]:
        """The model's weights and its way of acting, which must be the same when a run is resumed."""
        return {"weights": self._weights, "deterministic": self.deterministic}

    def prepare(self, budget: Budget) -> Budget:
        """Set the run's budget, which determines the possible actions.

        Raises:
            InvalidSetting: If the model was trained for observations of a different size.
        """
        space: Any = self.model.observation_space
        frames = space.spaces.get("frames") if isinstance(space, gymnasium.spaces.Dict) else None
        known = frames.shape[0] if frames is not None and frames.shape else 0
        if known and max(1, budget.max_frames) != known:
            raise InvalidSetting(
                f"this model sees exactly {known} frames (overview and zooms), the budget gives {budget.max_frames}"
            )
        return budget

    def reset(self, seed: int) -> None:
        """Start an episode. With `deterministic`, the seed changes nothing."""
        if not self.deterministic:
            set_random_seed(seed)

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        """One round's action."""
        masks = {"action_masks": info["action_mask"]} if self._masked else {}
        chosen, _ = self.model.predict(observation, deterministic=self.deterministic, **masks)
        return chosen.item() if np.ndim(chosen) == 0 else chosen


def _modules_of_model(model: BaseAlgorithm) -> tuple[Any, Any, Budget]:
    """Observation module, action module and budget of the environment that a model was trained in."""
    env = model.get_env()
    if env is None:
        raise InvalidSetting(
            "the model has no environment, so its observation and action modules are not known: give it one with "
            "set_env, or evaluate the saved file as {name: sb3, path: model.zip, env: ID}"
        )
    try:
        observation, action, budget = (env.get_attr(name)[0] for name in ("observation", "action", "budget"))
    except AttributeError as error:
        raise InvalidSetting(f"the model's environment is no VideoZoomEnv: {error}") from error
    return observation, action, budget


def _modules_of_id(id: str, model: BaseAlgorithm, path: str | Path) -> tuple[Any, Any, Budget]:
    """Observation module, action module and budget of a registered environment, whose spaces must be the model's."""
    try:
        made: Any = gymnasium.make(id, disable_env_checker=True)
    except gymnasium.error.Error as error:
        raise InvalidSetting(f"env: {error}") from error
    env = made.unwrapped
    if env.observation_space != model.observation_space or env.action_space != model.action_space:
        raise InvalidSetting(
            f"{path} was not trained in {id!r}, whose spaces differ from the model's: name the environment, as in "
            "{name: sb3, path: model.zip, env: ID}, or evaluate the folder of `vzgym train sb3`"
        )
    return env.observation, env.action, env.budget
