"""Procedural families: one file each, one registration each."""

from vzgym.tasks.families.anomaly import Anomaly, AnomalySettings
from vzgym.tasks.families.base import FAMILIES, Family, expert_zooms, make_family
from vzgym.tasks.families.control import Control, ControlSettings
from vzgym.tasks.families.count import Count, CountSettings
from vzgym.tasks.families.decoy import Decoy, DecoySettings
from vzgym.tasks.families.direction import Direction, DirectionSettings
from vzgym.tasks.families.needle import Needle, NeedleSettings
from vzgym.tasks.families.order import Order, OrderSettings
from vzgym.tasks.families.speed import Speed, SpeedSettings
from vzgym.tasks.families.state import State, StateSettings
from vzgym.tasks.families.text import Text, TextSettings
from vzgym.tasks.families.twohop import TwoHop, TwoHopSettings

__all__ = [
    "FAMILIES",
    "Anomaly",
    "AnomalySettings",
    "Control",
    "ControlSettings",
    "Count",
    "CountSettings",
    "Decoy",
    "DecoySettings",
    "Direction",
    "DirectionSettings",
    "Family",
    "Needle",
    "NeedleSettings",
    "Order",
    "OrderSettings",
    "Speed",
    "SpeedSettings",
    "State",
    "StateSettings",
    "Text",
    "TextSettings",
    "TwoHop",
    "TwoHopSettings",
    "expert_zooms",
    "make_family",
]
