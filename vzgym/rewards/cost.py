"""Cost rewards. Each value is negative, so that a positive weight is a price per unit.

Costs can be restricted to right answers (`only_correct`) and to the units above an allowance (`free`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from vzgym.episode.costs import COSTS, END_COSTS, RUN_COSTS, EpisodeCosts, patch_rule
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_choice, need_flag, need_number

__all__ = ["CallCost", "FrameCost", "LedgerCost", "TokenCost"]


@dataclass(frozen=True)
class _Price(ABC):
    """Base class of the cost rewards.

    The charge after turn t is `c_t = max(0, units so far - free)`. By default, a turn costs `c_t - c_(t-1)`. With
    `only_correct`, the last turn costs the final `c` if the answer is right, and all other turns cost 0.
    """

    free: float = 0.0
    only_correct: bool = False

    name: ClassVar[str]

    def __post_init__(self) -> None:
        need_number(self.name, "free", self.free, least=0.0)
        need_flag(self.name, "only_correct", self.only_correct)

    @property
    def needs(self) -> frozenset[Need]:
        """Required inputs."""
        return frozenset()

    @abstractmethod
    def units(self, record: EpisodeRecord) -> float | None:
        """Units used so far; None if unknown."""

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
        # The first turn also pays for the costs before it.
        before = self._charge(record.upto(len(record.turns) - 1)) if len(record.turns) > 1 else 0.0
        return None if now is None or before is None else before - now

    def _charge(self, record: EpisodeRecord) -> float | None:
        units = self.units(record)
        return None if units is None else max(0.0, units - self.free)


@dataclass(frozen=True)
class CallCost(_Price):
    """A price per turn with zooms or a tool call.

    Formula: -1 for a turn that requests zooms, however many, or calls a tool, executed or refused (each costs a model
    pass), else 0. With `free`: only for turns beyond the first `free` of the episode. With `only_correct`: 0 before the
    end; at the end minus the number of such turns if the answer is right, else 0.
    Range: {-1, 0} a turn; with `only_correct` [-max_rounds, 0].
    Source: the cost settings of the official VideoZoomer code.
    Known to break: without `only_correct` it teaches the policy not to zoom, since a wrong answer without a zoom is
    cheaper than a wrong one with it; see VideoEvolve (arXiv 2610.10183), and `quality_first`.

    Args:
        free: Free zooms per episode.
        only_correct: Charge right answers only, at the end.
    """

    name: ClassVar[str] = "call_cost"

    def units(self, record: EpisodeRecord) -> float:
        """Number of turns with requested zooms or a tool call."""
        return float(sum(bool(turn.zooms or turn.tool) for turn in record.turns))


@dataclass(frozen=True)
class FrameCost(_Price):
    """A price per frame shown.

    Formula: minus the number of frames that the turn showed; the overview is free, since it is always shown.
    With `free`: only for frames beyond the first `free` of the episode. With `only_correct`: 0 before the end; at the
    end minus the number of frames if the answer is right, else 0.
    Range: [-clip_frames, 0] a turn; with `only_correct` [-max_zooms * clip_frames, 0].
    Source: the cost settings of the official VideoZoomer code.
    Known to break: encourages coarse clips; use a weight well below 1 / clip_frames of the weight of accuracy.

    Args:
        free: Free frames per episode, excluding the overview.
        only_correct: Charge right answers only, at the end.
    """

    name: ClassVar[str] = "frame_cost"

    def units(self, record: EpisodeRecord) -> float:
        """Number of frames shown by turns."""
        return float(sum(len(clip) for clip in record.clips[1:]))


@dataclass(frozen=True)
class TokenCost(_Price):
    """A price per visual token.

    Formula: minus the visual tokens of the frames that the turn showed, by the patch rule of a model family
    (`vzgym.episode.costs`); the overview is free. With `free`: only for tokens beyond the first `free` of the episode.
    With `only_correct`: 0 before the end; at the end minus the number of tokens if the answer is right, else 0.
    Range: [-clip_frames * tokens per frame, 0] a turn; the minimum is -2048 with the paper's budget and Qwen2.5-VL.
    Source: the cost settings of the official VideoZoomer code, in visual tokens.
    Known to break: as `frame_cost`; if regions are allowed, it also encourages small ones.

    Args:
        free: Free tokens per episode, excluding the overview.
        only_correct: Charge right answers only, at the end.
        family: Model family whose patch rule is used.
    """

    family: str = "qwen2.5-vl"

    name: ClassVar[str] = "token_cost"

    def __post_init__(self) -> None:
        super().__post_init__()
        patch_rule(self.family)

    def units(self, record: EpisodeRecord) -> float:
        """Visual tokens of the frames shown by zooms."""
        overview = EpisodeCosts.of(record.upto(0), self.family).visual_tokens
        return float(EpisodeCosts.of(record, self.family).visual_tokens - overview)


@dataclass(frozen=True)
class LedgerCost(_Price):
    """A price per unit of an entry of the cost ledger.

    Formula: minus the increase of the entry `item` of `EpisodeCosts` in the turn; the first turn also pays for the
    overview. `text_tokens`, wall times and the costs of a scorer are charged at the end, since they are not known
    earlier. With `free`: only
    the amount above it. With `only_correct`: 0 before the end; at the end minus the entry if the answer is right, else
    0.
    Range: (-inf, 0].
    Source: vzgym.
    Known to break: wall times differ between runs and machines, and so do rewards computed from them.

    Args:
        free: Free units per episode.
        only_correct: Charge right answers only, at the end.
        item: The entry: visual_tokens, text_tokens, written_tokens, passes, frames_shown, frames_decoded,
            candidates_decoded, frames_scored, scorer_passes, text_passes, cached_passes, decode_seconds, tool_seconds,
            model_seconds or wall_seconds.
        family: Model family whose patch rule is used for visual tokens.
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
        """What a run measures, if the entry is a wall time or a cost of a scorer."""
        return frozenset({"timing"}) if self.item in RUN_COSTS else frozenset()

    def units(self, record: EpisodeRecord) -> float | None:
        """Current value of the entry."""
        if self.item in END_COSTS and record.end is None:
            return 0.0
        value = EpisodeCosts.of(record, self.family).to_json()[self.item]
        return None if value is None else float(value)
