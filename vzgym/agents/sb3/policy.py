"""Stable-Baselines3 models as policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.utils import set_random_seed

from vzgym.agents.metadata import saved_budget
from vzgym.agents.sb3.checkpoints import load_model, model_file
from vzgym.agents.sb3.settings import SB3Settings
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.envs.actions import DiscreteAction
from vzgym.policies.fingerprint import fingerprint

__all__ = ["SB3Policy"]


class SB3Policy:
    """Policy from a model trained by `train_sb3`, with the observation and action modules of its training.

    Args:
        path: The folder of a run; its `model.zip`, or its newest checkpoint if it was stopped.
        model: A model in place of `path`, with `settings`.
        settings: The settings with which `model` was trained.
        deterministic: Whether the most probable action is taken; else actions are sampled.
        name: For tables; the folder's name if not given.

    Raises:
        InvalidSetting: If the folder holds no model.
    """

    def __init__(
        self,
        path: str | Path = "",
        *,
        model: Any = None,
        settings: SB3Settings | None = None,
        deterministic: bool = True,
        name: str = "",
    ) -> None:
        self._weights: dict[str, str] = {}
        self.trained_budget: Budget | None = None
        if model is None:
            self.trained_budget = saved_budget(path)
            settings = SB3Settings.load(path)
            file = model_file(Path(path))
            self._weights = fingerprint(file)
            model = load_model(file, settings.algo)
        if settings is None:
            raise InvalidSetting("SB3Policy needs the settings that its model was trained with")
        self.model = model
        self.settings = settings
        self.deterministic = deterministic
        self.name = name or (Path(path).name if str(path) else settings.algo)
        self.observation = settings.observation
        self.action = settings.action
        self._budget = Budget()
        self._grid = DiscreteAction(settings.windows, settings.fps, settings.max_options)
        self._masked = settings.algo == "maskable_ppo"

    @property
    def identity(self) -> dict[str, Any]:
        """The model's weights and its way of acting, which must be the same when a run is resumed."""
        return {"weights": self._weights, "deterministic": self.deterministic}

    def prepare(self, budget: Budget) -> Budget:
        """Set the run's budget, which determines the possible actions.

        Raises:
            InvalidSetting: If the model was trained for observations of a different size.
        """
        known = self.model.observation_space["frames"].shape[0]
        if max(1, budget.max_frames) != known:
            raise InvalidSetting(
                f"this model sees exactly {known} frames (overview and zooms), the budget gives {budget.max_frames}"
            )
        self._budget = budget
        return budget

    def reset(self, seed: int) -> None:
        """Start an episode. With `deterministic`, the seed changes nothing."""
        if not self.deterministic:
            set_random_seed(seed)

    def act(self, observation: Any, info: dict[str, Any]) -> int:
        """One round's action."""
        options: dict[str, Any] = {}
        if self._masked:
            zoom = bool(observation["left"][0] > 0)
            options["action_masks"] = self._grid.allowed(
                info["duration"], len(info["options"]), self._budget, zoom=zoom
            )
        chosen, _ = self.model.predict(observation, deterministic=self.deterministic, **options)
        return int(np.asarray(chosen).item())
