"""Floor 6: policies that do not learn, and the frame readers that are their eyes."""

from vzgym.baselines.base import Baseline, ZoomingBaseline, sample_zoom
from vzgym.baselines.controls import Blind, Oracle, OverviewOnly, RandomZoom, SlidingWindow, Uniform
from vzgym.baselines.experts import Expert
from vzgym.baselines.readers import AutoReader, FrameReader, Reading
from vzgym.baselines.viewer import Hints, Viewer
from vzgym.policies.policy import POLICIES, AnyPolicy, Policy, TextPolicy

__all__ = [
    "CONTROLS",
    "POLICIES",
    "AnyPolicy",
    "AutoReader",
    "Baseline",
    "Blind",
    "Expert",
    "FrameReader",
    "Hints",
    "Oracle",
    "OverviewOnly",
    "Policy",
    "RandomZoom",
    "Reading",
    "SlidingWindow",
    "TextPolicy",
    "Uniform",
    "Viewer",
    "ZoomingBaseline",
    "sample_zoom",
]

CONTROLS: tuple[type[Baseline], ...] = (Blind, RandomZoom, OverviewOnly, Uniform, SlidingWindow, Oracle)
"""The baselines that stand beside every result, from the weakest knowledge to the strongest."""

for _control in CONTROLS:
    POLICIES.register(_control.name, _control)
