"""Layer 7: policies that do not learn, and the frame readers that they answer with."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.baselines.base import Baseline, ZoomingBaseline, sample_zoom
    from vzgym.baselines.controls import CONTROLS, Blind, Oracle, OverviewOnly, RandomZoom, SlidingWindow, Uniform
    from vzgym.baselines.experts import Expert
    from vzgym.baselines.memory import ExpertMemory
    from vzgym.baselines.readers import READERS, AutoReader, FrameReader, Reading
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: Baseline ZoomingBaseline sample_zoom",
        "controls: CONTROLS Blind Oracle OverviewOnly RandomZoom SlidingWindow Uniform",
        "experts: Expert",
        "memory: ExpertMemory",
        "readers: READERS AutoReader FrameReader Reading",
    )

__all__ = [
    "CONTROLS",
    "READERS",
    "AutoReader",
    "Baseline",
    "Blind",
    "Expert",
    "ExpertMemory",
    "FrameReader",
    "Oracle",
    "OverviewOnly",
    "RandomZoom",
    "Reading",
    "SlidingWindow",
    "Uniform",
    "ZoomingBaseline",
    "sample_zoom",
]
