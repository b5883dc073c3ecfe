"""Rewards as data: each preset is a mapping from module names to weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PRESETS"]

PRESETS: Final[Mapping[str, Mapping[str, float]]] = {
    # R = 0.9 acc + 0.1 format + 0.5 * 1[correct and tool used]: VideoZoomer, section 3.3; "tool used" counts executed
    # zooms only.
    "videozoomer": {"accuracy": 0.9, "format": 0.1, "conditional_tool": 0.5},
    # The same without the bonus, as the released training script effectively uses.
    "videozoomer_no_bonus": {"accuracy": 0.9, "format": 0.1},
    # R = 0.6 acc + 0.3 * 1[right from the clips alone]: REVISOR. Needs an answerer.
    "revisor": {"accuracy": 0.6, "sufficiency": 0.3},
    # Task reward + 0.05 (mean cost - cost) among equal grades: VideoEvolve (arXiv 2610.10183). Needs groups.
    "videoevolve": {"accuracy": 1.0, "quality_first": 0.05},
}
