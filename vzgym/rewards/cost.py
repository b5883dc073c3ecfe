"""Prices: what looking costs. Each value is negative, so that a positive weight is a price per unit.

All of them can be asked for in three ways: plain; only of right answers (`only_correct`); and only of what lies above
an allowance (`free`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.actions import Zoom
from vzgym.episode.costs import COSTS, END_COSTS, TIMED_COSTS, EpisodeCosts, patch_rule
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_choice, need_flag, need_number

__all__ = ["CallCost", "FrameCost", "LedgerCost", "TokenCost"]


@dataclass(frozen=True)
class _Price(ABC):
    """What the prices share.

    The charge after turn t is `c_t = max(0, units so far - free)`. Plain, a turn costs `c_t - c_(t-1)`; with
    `only_correct`, the last turn costs all of `c` if the answer is right, and nothing else costs anything.
    """

    free: float = 0.0
    only_correct: bool = False

    name: ClassVar[str]

    def __post_init__(self) -> None:
        need_number(self.name, "free", self.free, least=0.0)
        need_flag(self.name, "only_correct", self.only_correct)

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot do without."""
        return frozenset()

    @abstractmethod
    def units(self, record: EpisodeRecord) -> float | None:
        """Units used so far; None if not known."""

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not record.turns:
            return 0.0
        if self.only_correct and record.end is None:
            return 0.0
        now = self._charge(record)
        if self.only_correct:
            if now is None or record.grade is None or record.grade.score is None:
                return None
            return 0.0 - now * record.grade.score
        # What came before the first turn, if it costs anything, is paid with it.
        before = self._charge(record.upto(len(record.turns) - 1)) if len(record.turns) > 1 else 0.0
        return None if now is None or before is None else before - now

    def _charge(self, record: EpisodeRecord) -> float | None:
        units = self.units(record)
        return None if units is None else max(0.0, units - self.free)


@dataclass(frozen=True)
class CallCost(_Price):
    """A price per zoom asked for.

    Formula: -1 for a turn that asks for a zoom, executed or refused (both cost a model pass), else 0. With `free`:
    only for those beyond the first `free` of the episode. With `only_correct`: 0 before the end; at the end minus
    their number if the answer is right, else 0.
    Range: {-1, 0} a turn; with `only_correct` [-max_rounds, 0].
    Source: the cost knobs of the official VideoZoomer code.
    Known to break: as a plain price it teaches not to look, since a wrong answer without a zoom is cheaper than a wrong
    one with it; see the lessons in VideoEvolve (arXiv 2610.10183), and `quality_first`.

    Args:
        free: Free zooms an episode.
        only_correct: Charge right answers only, at the end.
    """

    name: ClassVar[str] = "call_cost"

    def units(self, record: EpisodeRecord) -> float:
        """Zooms asked for."""
        return float(sum(isinstance(turn.action, Zoom) for turn in record.turns))


@dataclass(frozen=True)
class FrameCost(_Price):
    """A price per frame shown.

    Formula: minus the number of frames that the turn's zoom showed; the overview is free, since nobody can refuse it.
    With `free`: only for those beyond the first `free` of the episode. With `only_correct`: 0 before the end; at the
    end minus their number if the answer is right, else 0.
    Range: [-clip_frames, 0] a turn; with `only_correct` [-max_zooms * clip_frames, 0].
    Source: the cost knobs of the official VideoZoomer code.
    Known to break: pushes towards coarse clips; weigh it well below 1 / clip_frames of the accuracy's weight.

    Args:
        free: Free frames an episode, overview apart.
        only_correct: Charge right answers only, at the end.
    """

    name: ClassVar[str] = "frame_cost"

    def units(self, record: EpisodeRecord) -> float:
        """Frames shown by zooms."""
        return float(sum(len(clip) for clip in record.clips[1:]))


@dataclass(frozen=True)
class TokenCost(_Price):
    """A price per visual token.

    Formula: minus the visual tokens of the frames that the turn's zoom showed, by the patch rule of a model family
    (`vzgym.episode.costs`); the overview is free. With `free`: only for those beyond the first `free` of the episode.
    With `only_correct`: 0 before the end; at the end minus their number if the answer is right, else 0.
    Range: [-clip_frames * tokens of a frame, 0] a turn: with the paper's budget and Qwen2.5-VL down to -2048.
    Source: the cost knobs of the official VideoZoomer code, counted in what a model pays with.
    Known to break: as `frame_cost`; where regions are allowed it also pushes towards small ones.

    Args:
        free: Free tokens an episode, overview apart.
        only_correct: Charge right answers only, at the end.
        family: Model family whose patch rule counts.
    """

    family: str = "qwen2.5-vl"

    name: ClassVar[str] = "token_cost"

    def __post_init__(self) -> None:
        super().__post_init__()
        patch_rule(self.family)

    def units(self, record: EpisodeRecord) -> float:
        """Visual tokens of the zooms' frames."""
        overview = EpisodeCosts.of(record.upto(0), self.family).visual_tokens
        return float(EpisodeCosts.of(record, self.family).visual_tokens - overview)


@dataclass(frozen=True)
class LedgerCost(_Price):
    """A price on any entry of the cost ledger.

    Formula: minus what the turn added to the entry `item` of `EpisodeCosts`; the first turn also pays for the overview.
    `text_tokens` and wall times are charged as a whole at the end, since they are not known before. With `free`: only
    what lies beyond it. With `only_correct`: 0 before the end; at the end minus the entry if the answer is right, else
    0.
    Range: (-inf, 0].
    Source: vzgym, after the first complaint about VideoZoomer's tables (cost beyond frames).
    Known to break: wall times differ from run to run and machine to machine, so a reward made of them does too.

    Args:
        free: Free units an episode.
        only_correct: Charge right answers only, at the end.
        item: The entry: visual_tokens, text_tokens, said_tokens, passes, frames_shown, frames_decoded, decode_seconds,
            tool_seconds, model_seconds or wall_seconds.
        family: Model family whose patch rule counts visual tokens.
    """

    item: str = "passes"
    family: str = "qwen2.5-vl"

    name: ClassVar[str] = "ledger_cost"

    def __post_init__(self) -> None:
        super().__post_init__()
        need_choice(self.name, "item", self.item, COSTS)
        patch_rule(self.family)

    @property
    def needs(self) -> frozenset[Need]:
        """Wall times, where the entry is one."""
        return frozenset({"timing"}) if self.item in TIMED_COSTS else frozenset()

    def units(self, record: EpisodeRecord) -> float | None:
        """The entry so far."""
        if self.item in END_COSTS and record.end is None:
            return 0.0
        value = EpisodeCosts.of(record, self.family).to_json()[self.item]
        return None if value is None else float(value)
