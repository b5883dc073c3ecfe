"""Frame readers: answers from pixels alone, by looking for what a family draws. One registration a family."""

from vzgym.baselines.readers.auto import AutoReader
from vzgym.baselines.readers.base import READERS, FamilyReader, FrameReader, Reading
from vzgym.baselines.readers.color import ControlReader, NeedleReader
from vzgym.baselines.readers.count import CountReader

__all__ = [
    "READERS",
    "AutoReader",
    "ControlReader",
    "CountReader",
    "FamilyReader",
    "FrameReader",
    "NeedleReader",
    "Reading",
]
