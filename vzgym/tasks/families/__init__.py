"""Procedural families: one file each, one registration each."""

from vzgym.tasks.families.base import FAMILIES, Family, expert_zooms, make_family
from vzgym.tasks.families.control import Control, ControlSettings
from vzgym.tasks.families.count import Count, CountSettings
from vzgym.tasks.families.needle import Needle, NeedleSettings

__all__ = [
    "FAMILIES",
    "Control",
    "ControlSettings",
    "Count",
    "CountSettings",
    "Family",
    "Needle",
    "NeedleSettings",
    "expert_zooms",
    "make_family",
]
