"""Layer 7: policies that do not learn, and the frame readers that they see with."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.baselines.base import Baseline, ZoomingBaseline, sample_zoom
    from vzgym.baselines.controls import CONTROLS, Blind, Oracle, OverviewOnly, RandomZoom, SlidingWindow, Uniform
    from vzgym.baselines.experts import Expert
    from vzgym.baselines.readers import AutoReader, FrameReader, Reading
    from vzgym.baselines.viewer import Hints, Viewer
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: Baseline ZoomingBaseline sample_zoom",
        "controls: CONTROLS Blind Oracle OverviewOnly RandomZoom SlidingWindow Uniform",
        "experts: Expert",
        "readers: AutoReader FrameReader Reading",
        "viewer: Hints Viewer",
    )

__all__ = [
    "CONTROLS",
    "AutoReader",
    "Baseline",
    "Blind",
    "Expert",
    "FrameReader",
    "Hints",
    "Oracle",
    "OverviewOnly",
    "RandomZoom",
    "Reading",
    "SlidingWindow",
    "Uniform",
    "Viewer",
    "ZoomingBaseline",
    "sample_zoom",
]
