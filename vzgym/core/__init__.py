"""Floor 0: times, actions, budgets, errors and the registry. Imports numpy and nothing else."""

from vzgym.core.actions import Action, Answer, Malformed, Region, Zoom, frames_asked
from vzgym.core.budget import Budget, overview_times
from vzgym.core.interval import Interval

__all__ = [
    "Action",
    "Answer",
    "Budget",
    "Interval",
    "Malformed",
    "Region",
    "Zoom",
    "frames_asked",
    "overview_times",
]
