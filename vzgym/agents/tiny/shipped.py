"""The trained tiny model that is part of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vzgym.agents.vlm.policy import VLMPolicy

__all__ = ["CHECKPOINT", "load_shipped_model"]

CHECKPOINT: Final = Path(__file__).parent / "checkpoint"
"""Its folder: weights, configuration, processor, model card (README.md) and `scores.json`."""


def load_shipped_model(
    temperature: float = 0.0,
    top_p: float = 1.0,
    turn_tokens: int = 512,
    batch_size: int = 16,
    device: str | None = None,
    dtype: str | None = None,
) -> VLMPolicy:
    """The policy `tiny`: a Qwen3-VL of 0.3 million weights, trained on `open-micro` from random weights to GRPO.

    Args:
        temperature: 0 is greedy decoding; above, tokens are sampled at that temperature.
        top_p: Probability mass of nucleus sampling.
        turn_tokens: Largest number of tokens of one turn.
        batch_size: Number of dialogues in a batch.
        device: "cpu", "cuda", "cuda:1"; a GPU if there is one.
        dtype: Of the weights ("bfloat16", "float32"); as saved (float32) if not given.

    Raises:
        InvalidSetting: If a number is out of range.
    """
    return VLMPolicy(
        CHECKPOINT,
        temperature=temperature,
        top_p=top_p,
        turn_tokens=turn_tokens,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        name=f"tiny ({f'T={temperature:g}' if temperature else 'greedy'})",
    )
