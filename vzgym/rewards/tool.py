"""Rewards for using the zoom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from vzgym.core.actions import Action, ToolCall, Zoom, Zooms
from vzgym.episode.record import End, EpisodeRecord
from vzgym.episode.turn import Outcome
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_number

__all__ = ["AccumulativeTool", "ConditionalTool", "RepeatedCall", "ToolBonus", "ToolLadder", "WrongWithTool"]


@dataclass(frozen=True)
class ConditionalTool:
    """A bonus for a right answer after an executed zoom.

    Formula: at the end 1 if the answer is right and at least one zoom was *executed*, else 0; 0 before. Unscored if the
    grade is unscored.
    Range: {0, 1}.
    Source: VideoZoomer, section 3.3 (weight 0.5), corrected: the official code rewards any text that looks like a call,
    including malformed and refused ones.
    Known to break: it rewards an unnecessary zoom if the overview suffices.
    """

    name: ClassVar[str] = "conditional_tool"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        return None if record.grade.score is None else record.grade.score * float(record.zooms > 0)


@dataclass(frozen=True)
class ToolBonus:
    """A bonus for using the zoom, right or wrong. For ablations; prefer `conditional_tool`.

    Formula: at the end 1 if at least one zoom was *executed*, else 0; 0 before. Unscored after a video error.
    Range: {0, 1}.
    Source: the unconditional bonus that several papers compare with (ParaVT, Pixel-Reasoner).
    Known to break: the policy learns to zoom without purpose, since the bonus needs no right answer.
    """

    name: ClassVar[str] = "tool_bonus"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR:
            return None
        return float(record.end is not None and record.zooms > 0)


@dataclass(frozen=True)
class ToolLadder:
    """A graded reward from the first parsed call to a right answer with a call.

    Formula: at the end 0.1 if a zoom was parsed from at least one turn; 0.3 instead if at least one was executed; plus
    0.5 if one was executed and the answer is right; 0 before. Unscored if the grade is unscored.
    Range: {0, 0.1, 0.3, 0.8}.
    Source: ParaVT (arXiv 2605.20342).
    Known to break: its lower levels need no right answer; reduce them (`anneal`) once calls are well-formed.
    """

    name: ClassVar[str] = "tool_ladder"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        if record.grade.score is None:
            return None
        if record.zooms:
            return 0.8 if record.grade.is_correct else 0.3
        return 0.1 if any(turn.zooms for turn in record.turns) else 0.0


@dataclass(frozen=True)
class AccumulativeTool:
    """A bonus for each executed call of an episode with a right answer.

    Formula: at the end 1[right] * min(calls, most), where calls is the number of turns whose zooms or tool call were
    executed; 0 before. Unscored if the grade is unscored.
    Range: {0, 1, ..., most}.
    Source: PyVision-RL (arXiv 2602.20739), with weight 0.1; `most` is ours.
    Known to break: among right answers it rewards the longest search, so that calls grow to the budget whether or not
    they are needed.

    Args:
        most: Number of calls from which the bonus grows no further, >= 1.
    """

    most: int = 4

    name: ClassVar[str] = "accumulative_tool"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        need_number(self.name, "most", self.most, least=1)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        if record.grade.score is None:
            return None
        calls = sum(turn.outcome is Outcome.EXECUTED and bool(turn.zooms or turn.tool) for turn in record.turns)
        return record.grade.score * min(calls, self.most)


@dataclass(frozen=True)
class WrongWithTool:
    """A penalty for a wrong answer after an executed zoom.

    Formula: at the end -1 if at least one zoom was *executed* and the answer is not right, else 0; 0 before. Unscored
    if the grade is unscored.
    Range: {-1, 0}.
    Source: vzgym, the counterpart of `conditional_tool`.
    Known to break: not zooming is the safe choice, so the policy stops zooming while its searches still fail.
    """

    name: ClassVar[str] = "wrong_with_tool"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        if record.grade.score is None:
            return None
        return 0.0 - float(record.zooms > 0 and not record.grade.is_correct)


@dataclass(frozen=True)
class RepeatedCall:
    """A price for a call with exactly the arguments of an earlier one.

    Formula: -1 for a turn whose zooms or tool call equal those of an earlier turn (times and rates to a millisecond and
    a thousandth), executed or refused; else 0.
    Range: {-1, 0} a turn.
    Source: vzgym; a price on repeated arguments is common for agents that call tools.
    Known to break: a shifted window is a new call; see `repeat`, which measures the overlap.
    """

    name: ClassVar[str] = "repeated_call"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        calls = [_arguments(turn.action) for turn in record.turns if turn.zooms or turn.tool]
        if not record.turns or not (record.turns[-1].zooms or record.turns[-1].tool):
            return 0.0
        return 0.0 - float(calls[-1] in calls[:-1])


def _arguments(action: Action) -> object:
    """What identifies a call: rounded numbers of zooms, or a tool's name and arguments."""
    match action:
        case Zoom():
            return [
                (round(action.start, 3), round(action.end, 3), round(action.fps, 3), action.region, action.max_pixels)
            ]
        case Zooms(zooms):
            return [part for zoom in zooms for part in cast("list[object]", _arguments(zoom))]
        case ToolCall(name, arguments):
            return (name, dict(arguments))
    return None
