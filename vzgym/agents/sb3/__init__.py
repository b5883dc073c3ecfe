"""Stable-Baselines3 on `VideoZoomEnv`. Needs `pip install "vzgym[sb3]"`; importing this package loads none of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vzgym.agents.sb3.settings import ALGORITHMS, SB3Settings

if TYPE_CHECKING:
    from vzgym.agents.sb3.extractor import ClipExtractor
    from vzgym.agents.sb3.heads import ClipPolicy, MaskableClipPolicy, PointerHead
    from vzgym.agents.sb3.policy import SB3Policy
    from vzgym.agents.sb3.training import train_sb3

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

_LAZY = {
    "ClipExtractor": "extractor",
    "ClipPolicy": "heads",
    "MaskableClipPolicy": "heads",
    "PointerHead": "heads",
    "SB3Policy": "policy",
    "train_sb3": "training",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
