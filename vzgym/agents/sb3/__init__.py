"""Stable-Baselines3 on `VideoZoomEnv`. Needs `pip install "vzgym[sb3]"`, which is imported on first use."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.agents.sb3.extractor import ClipExtractor
    from vzgym.agents.sb3.heads import ClipPolicy, MaskableClipPolicy, PointerHead
    from vzgym.agents.sb3.policy import SB3Policy
    from vzgym.agents.sb3.settings import ALGORITHMS, SB3Settings
    from vzgym.agents.sb3.training import train_sb3
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "settings: ALGORITHMS SB3Settings",
        "extractor: ClipExtractor",
        "heads: ClipPolicy MaskableClipPolicy PointerHead",
        "policy: SB3Policy",
        "training: train_sb3",
    )

__all__ = [
    "ALGORITHMS",
    "ClipExtractor",
    "ClipPolicy",
    "MaskableClipPolicy",
    "PointerHead",
    "SB3Policy",
    "SB3Settings",
    "train_sb3",
]
