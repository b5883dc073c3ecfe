"""The layers that low-rank adapters change."""

from __future__ import annotations

import re
from typing import Any

from vzgym.agents.training.settings import LoraSettings
from vzgym.core.errors import InvalidSetting

__all__ = ["adapted_layers"]


def adapted_layers(model: Any, lora: LoraSettings) -> str:
    """A pattern that matches the full names of the layers to adapt, in the language model only.

    Raises:
        InvalidSetting: If the language model has no such layer.
    """
    language = model.get_decoder()
    place = next(name for name, part in model.named_modules() if part is language)
    pattern = rf"{re.escape(place)}\..*\.({'|'.join(map(re.escape, lora.targets))})"
    if not any(re.fullmatch(pattern, name) for name, _ in model.named_modules()):
        raise InvalidSetting(f"{type(model).__name__} has no layers named {', '.join(lora.targets)} to adapt")
    return pattern
