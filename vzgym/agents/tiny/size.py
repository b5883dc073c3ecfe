"""The size of a tiny model. Imports no torch, since settings and experiment files are validated with it."""

from __future__ import annotations

from typing import Self

from pydantic import PositiveInt, model_validator

from vzgym.core.settings import Settings, problem

__all__ = ["MARK", "TinySize"]

MARK = "vzgym_tiny"
"""In a model's configuration: vzgym opens it by its own classes. Other software ignores it."""


class TinySize(Settings):
    """The size of a tiny model."""

    width: PositiveInt = 64
    """Channels of the language model; a multiple of `4 * heads` unless `head_width` is given."""

    layers: PositiveInt = 3
    """Layers of the language model."""

    heads: PositiveInt = 4
    """Attention heads of the language model."""

    head_width: PositiveInt | None = None
    """Channels of an attention head, a multiple of 4; None: `width / heads`. vLLM needs 32."""

    inner: PositiveInt = 192
    """Channels inside the language model's feed-forward layers."""

    vision_width: PositiveInt = 48
    """Channels of the vision tower."""

    vision_layers: PositiveInt = 1
    """Layers of the vision tower."""

    patch: PositiveInt = 16
    """Side of a patch in pixels; 2x2 patches make one visual token."""

    positions: PositiveInt = 512
    """Largest number of tokens of a dialogue."""

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.head_width is None and self.width % (4 * self.heads):
            raise problem(f"width must be a multiple of 4 * heads ({4 * self.heads}), got {self.width}", "width")
        if self.head_width is not None and self.head_width % 4:
            raise problem(f"head_width must be a multiple of 4, got {self.head_width}", "head_width")
        return self
