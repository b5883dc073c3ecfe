"""Frame readers: answers from pixels alone, by looking for what a family draws. One registration a family."""

from vzgym.baselines.readers.anomaly import AnomalyReader
from vzgym.baselines.readers.auto import AutoReader, ReaderSpec, make_reader
from vzgym.baselines.readers.base import READERS, FamilyReader, FrameReader, PictureReader, Reading
from vzgym.baselines.readers.color import ControlReader, NeedleReader
from vzgym.baselines.readers.count import CountReader
from vzgym.baselines.readers.decoy import DecoyReader
from vzgym.baselines.readers.direction import DirectionReader
from vzgym.baselines.readers.order import OrderReader
from vzgym.baselines.readers.speed import SpeedReader
from vzgym.baselines.readers.state import StateReader
from vzgym.baselines.readers.text import TextReader
from vzgym.baselines.readers.twohop import TwoHopReader

__all__ = [
    "READERS",
    "AnomalyReader",
    "AutoReader",
    "ControlReader",
    "CountReader",
    "DecoyReader",
    "DirectionReader",
    "FamilyReader",
    "FrameReader",
    "NeedleReader",
    "OrderReader",
    "PictureReader",
    "ReaderSpec",
    "Reading",
    "SpeedReader",
    "StateReader",
    "TextReader",
    "TwoHopReader",
    "make_reader",
]
