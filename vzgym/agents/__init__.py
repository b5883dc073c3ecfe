"""Policies that learn or run a language model, their data and their training.

Everything listed here is loaded on first use, so importing this package is cheap. Most of it needs
`pip install "vzgym[llm]"`, the `SB3` names need `pip install "vzgym[sb3]"`, `ServedPolicy` needs
`pip install "vzgym[served]"`.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

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
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "data.dataset: collect",
        "data.settings: CollectSettings",
        "sb3.policy: SB3Policy",
        "sb3.settings: SB3Settings",
        "sb3.training: train_sb3",
        "served.policy: ServedPolicy",
        "training.grpo: train_grpo",
        "training.pretrain: pretrain",
        "training.settings: GRPOSettings LoraSettings PretrainSettings SFTSettings",
        "training.sft: train_sft",
        "vlm.policy: VLMPolicy",
    )

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
