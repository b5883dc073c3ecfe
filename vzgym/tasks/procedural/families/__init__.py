"""Procedural families: one file each, one registration each."""

from vzgym.tasks.procedural.families.anomaly import Anomaly, AnomalySettings
from vzgym.tasks.procedural.families.control import Control, ControlSettings
from vzgym.tasks.procedural.families.count import Count, CountSettings
from vzgym.tasks.procedural.families.decoy import Decoy, DecoySettings
from vzgym.tasks.procedural.families.direction import Direction, DirectionSettings
from vzgym.tasks.procedural.families.needle import Needle, NeedleSettings
from vzgym.tasks.procedural.families.order import Order, OrderSettings
from vzgym.tasks.procedural.families.speed import Speed, SpeedSettings
from vzgym.tasks.procedural.families.state import State, StateSettings
from vzgym.tasks.procedural.families.text import Text, TextSettings
from vzgym.tasks.procedural.families.twohop import TwoHop, TwoHopSettings
from vzgym.tasks.procedural.family import FAMILIES, Family, expert_zooms, make_family

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
