"""The trained tiny model that is part of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from vzgym.agents.vlm.policy import VLMPolicy

__all__ = ["CHECKPOINT", "load_shipped_model"]

CHECKPOINT: Final = Path(__file__).parent / "checkpoint"
"""Its folder: weights, configuration, processor, model card (README.md) and `scores.json`."""


def load_shipped_model(temperature: float = 0.0, **options: Any) -> VLMPolicy:
    """The policy `tiny`: a Qwen3-VL of 0.3 million weights, trained on `open-micro` from random weights to GRPO.

    Args:
        temperature: See `VLMPolicy`.
        options: Further options of `VLMPolicy`.
    """
    decoding = f"T={temperature:g}" if temperature else "greedy"
    return VLMPolicy(CHECKPOINT, temperature=temperature, **{"name": f"tiny ({decoding})", **options})
