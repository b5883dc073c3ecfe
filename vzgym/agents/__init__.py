"""Policies that learn or run a language model, their data and their training.

Everything listed here is loaded on first use, so importing this package is cheap. Most of it needs
`pip install "vzgym[llm]"`, the `SB3` names need `pip install "vzgym[sb3]"`, `ServedPolicy` needs
`pip install "vzgym[served]"`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings
    from vzgym.agents.sb3.policy import SB3Policy
    from vzgym.agents.sb3.settings import SB3Settings
    from vzgym.agents.sb3.training import train_sb3
    from vzgym.agents.served.policy import ServedPolicy
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.pretrain import pretrain
    from vzgym.agents.training.settings import GRPOSettings, LoraSettings, PretrainSettings, SFTSettings
    from vzgym.agents.training.sft import train_sft
    from vzgym.agents.vlm.policy import VLMPolicy

__all__ = [
    "CollectSettings",
    "GRPOSettings",
    "LoraSettings",
    "PretrainSettings",
    "SB3Policy",
    "SB3Settings",
    "SFTSettings",
    "ServedPolicy",
    "VLMPolicy",
    "collect",
    "pretrain",
    "train_grpo",
    "train_sb3",
    "train_sft",
]

_MODULES = {
    "CollectSettings": "data.settings",
    "GRPOSettings": "training.settings",
    "LoraSettings": "training.settings",
    "PretrainSettings": "training.settings",
    "SB3Policy": "sb3.policy",
    "SB3Settings": "sb3.settings",
    "SFTSettings": "training.settings",
    "ServedPolicy": "served.policy",
    "VLMPolicy": "vlm.policy",
    "collect": "data.dataset",
    "pretrain": "training.pretrain",
    "train_grpo": "training.grpo",
    "train_sb3": "sb3.training",
    "train_sft": "training.sft",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
