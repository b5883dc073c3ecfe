"""How large a tiny model is. Imports nothing heavy: experiment files are checked with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from vzgym.core.errors import InvalidSetting

__all__ = ["TinySize"]


@dataclass(frozen=True, kw_only=True)
class TinySize:
    """How large a tiny model is."""

    width: int = 64
    """Channels of the language model."""
    layers: int = 3
    """Layers of the language model."""
    heads: int = 4
    """Attention heads of the language model; divides `width`."""
    inner: int = 192
    """Channels inside the language model's feed-forward layers."""
    vision_width: int = 48
    """Channels of the vision tower."""
    vision_layers: int = 1
    """Layers of the vision tower."""
    patch: int = 16
    """Side of a patch in pixels; 2x2 patches make one visual token."""
    positions: int = 512
    """Most tokens of a dialogue."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, int]) -> TinySize:
        """Build from a mapping of field names.

        Raises:
            InvalidSetting: If a name is no field, a value is below 1, or heads do not divide the width.
        """
        valid = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(valid))
        if unknown:
            names = ", ".join(map(repr, unknown))
            raise InvalidSetting(f"unknown size {names} of a tiny model; valid: {', '.join(valid)}")
        for name, value in values.items():
            if value < 1:
                raise InvalidSetting(f"size {name!r} of a tiny model must be >= 1, got {value}")
        size = cls(**values)
        if size.width % (4 * size.heads):
            raise InvalidSetting(f"width ({size.width}) must be a multiple of 4 * heads ({4 * size.heads})")
        return size
