"""Prices: what looking costs. Each is negative, so that a positive weight is a price per unit."""

from __future__ import annotations

from typing import ClassVar

from vzgym.core.actions import Zoom
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import Need, RewardContext

__all__ = ["CallCost", "FrameCost"]


class CallCost:
    """A price per zoom asked for.

    Formula: -1 for a turn that asks for a zoom, executed or refused (both cost a model pass), else 0.
    Range: {-1, 0} a turn. Source: the official VideoZoomer code's call penalty.
    Known to break: as a plain price it teaches not to look; see the lessons in VideoEvolve (arXiv 2610.10183).
    """

    name: ClassVar[str] = "call_cost"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        return -1.0 if record.turns and isinstance(record.turns[-1].action, Zoom) else 0.0


class FrameCost:
    """A price per frame shown.

    Formula: minus the number of frames that the turn's zoom showed; the overview is free, since nobody can refuse it.
    Range: [-clip_frames, 0] a turn. Source: the official VideoZoomer code's cost knobs.
    Known to break: pushes towards coarse clips; weigh it well below 1 / clip_frames of the accuracy's weight.
    """

    name: ClassVar[str] = "frame_cost"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        clip = record.turns[-1].clip if record.turns else None
        return -float(len(clip)) if clip else 0.0
