"""A policy head for the discrete action, with weights shared across windows and across options."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Discrete
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from torch import nn

from vzgym.agents.sb3.extractor import ClipExtractor
from vzgym.core.errors import InvalidSetting

__all__ = ["ClipPolicy", "MaskableClipPolicy", "PointerHead"]


class PointerHead(nn.Module):
    """Logits of the discrete action from the features of `ClipExtractor`.

    One small network scores each window from the features of its part of the video, another one each option from its
    match with the frames; both also receive the summary.

    Args:
        extractor: The features extractor, which defines the layout of the features.
        actions: Number of values of the action, `windows * rates + options`.
        rates: Number of frame rates of each window.

    Raises:
        InvalidSetting: If the numbers are inconsistent.
    """

    def __init__(self, extractor: ClipExtractor, actions: int, rates: int) -> None:
        super().__init__()
        self.layout = extractor.layout
        zooms = actions - self.layout.options
        if zooms < 1 or zooms % rates or (zooms // rates) != self.layout.bins:
            raise InvalidSetting(
                f"{actions} actions are not {self.layout.bins} windows (the extractor's bins) at {rates} frame rates "
                f"and {self.layout.options} options"
            )
        summary = self.layout.summary
        self.window = _scorer(3 + summary, rates)
        self.option = _scorer(1 + summary, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features `(batch, features_dim)` to logits `(batch, actions)`."""
        where, places, which, summary = self.layout.split(features)
        windows = self.window(torch.cat([places, _repeat(summary, self.layout.bins)], dim=2))
        options = self.option(torch.cat([which[:, :, None], _repeat(summary, self.layout.options)], dim=2))
        return torch.cat([(windows + where[:, :, None]).flatten(1), options.squeeze(2) + which], dim=1)


def _scorer(width: int, out: int) -> nn.Sequential:
    last = nn.Linear(32, out)
    # Nearly uniform probabilities at first, but with a gradient for the layers below.
    nn.init.orthogonal_(last.weight, gain=0.3)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, 32), nn.Tanh(), last)


def _repeat(vectors: torch.Tensor, times: int) -> torch.Tensor:
    return vectors[:, None].expand(-1, times, -1)


class _PointerHeadMixin:
    """Replaces the linear layer that Stable-Baselines3 builds by a `PointerHead`."""

    action_net: Any
    action_space: Any
    features_extractor: Any
    optimizer_class: Any
    optimizer_kwargs: Any
    rates: int

    def _replace_head(self, lr_schedule: Any) -> None:
        if not isinstance(self.action_space, Discrete) or not isinstance(self.features_extractor, ClipExtractor):
            raise InvalidSetting("this policy needs the action 'discrete' and the features extractor ClipExtractor")
        self.action_net = PointerHead(self.features_extractor, int(self.action_space.n), self.rates)
        parameters = self.parameters()  # type: ignore[attr-defined]
        self.optimizer = self.optimizer_class(parameters, lr=lr_schedule(1), **self.optimizer_kwargs)


class MaskableClipPolicy(_PointerHeadMixin, MaskableMultiInputActorCriticPolicy):
    """Policy for `MaskablePPO`: `ClipExtractor`, then `PointerHead`.

    Args:
        rates: Number of frame rates of the discrete action.
        args: As Stable-Baselines3 gives them.
        kwargs: As Stable-Baselines3 gives them.
    """

    def __init__(self, *args: Any, rates: int = 1, **kwargs: Any) -> None:
        self.rates = rates
        super().__init__(*args, **_with_defaults(kwargs))

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self._replace_head(lr_schedule)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "rates": self.rates}


class ClipPolicy(_PointerHeadMixin, MultiInputActorCriticPolicy):
    """Policy for `PPO` and `A2C`, which do not use masks. See `MaskableClipPolicy`."""

    def __init__(self, *args: Any, rates: int = 1, **kwargs: Any) -> None:
        self.rates = rates
        super().__init__(*args, **_with_defaults(kwargs))

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self._replace_head(lr_schedule)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "rates": self.rates}


def _with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """The options, with the defaults of these policies."""
    options.setdefault("features_extractor_class", ClipExtractor)
    options.setdefault("net_arch", {"pi": [], "vf": [64]})
    return options
