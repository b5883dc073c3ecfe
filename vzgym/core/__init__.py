"""Layer 0: intervals, actions, budgets, errors and the registry. Depends on numpy only."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.core.actions import (
        Action,
        Answer,
        Malformed,
        Region,
        ToolCall,
        TurnRules,
        Zoom,
        Zooms,
        frames_asked,
    )
    from vzgym.core.budget import Budget, ToolMode, overview_times
    from vzgym.core.interval import Interval
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "actions: Action Answer Malformed Region ToolCall TurnRules Zoom Zooms frames_asked",
        "budget: Budget ToolMode overview_times",
        "interval: Interval",
    )

__all__ = [
    "Action",
    "Answer",
    "Budget",
    "Interval",
    "Malformed",
    "Region",
    "ToolCall",
    "ToolMode",
    "TurnRules",
    "Zoom",
    "Zooms",
    "frames_asked",
    "overview_times",
]
