"""Counterfactual credit: would the answer have been right without a clip, and from it alone?

A frame reader or the policy answers again from selected clips (an `Answerer`; `vzgym.evaluation.counterfactual` has
two).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from vzgym.core.errors import InvalidSetting
from vzgym.episode.answers import grade
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import Answerer, Need, RewardContext
from vzgym.tasks.task import VideoTask

__all__ = ["Credit", "Csv", "NeededClips", "RescueRegress", "Sufficiency", "credit"]


def _right(record: EpisodeRecord, said: str | None) -> bool:
    """Whether `said` is a right answer to the record's task."""
    # Grading reads only id, options, answer and metadata, which the record's task facts also have.
    return grade(said, cast("VideoTask", record.task)).is_correct


def _zoomed(record: EpisodeRecord) -> list[int]:
    """Positions of the zooms' clips in `record.clips`."""
    return list(range(1, len(record.clips)))


def _scored(record: EpisodeRecord) -> bool:
    return record.grade is not None and record.grade.score is not None


@dataclass(frozen=True, slots=True)
class Credit:
    """Dependence of an answer on clips. Each entry says whether the answer given those frames is right.

    Attributes:
        everything: From the overview and all clips.
        overview: From the overview alone.
        without: For each executed zoom, from everything except its clip.
        alone: For each executed zoom, from its clip alone, without the overview.
    """

    everything: bool
    overview: bool
    without: tuple[bool, ...]
    alone: tuple[bool, ...]

    @property
    def needed(self) -> tuple[bool, ...]:
        """For each zoom: right with everything, wrong without its clip."""
        return tuple(self.everything and not without for without in self.without)

    @property
    def sufficient(self) -> tuple[bool, ...]:
        """For each zoom: right from its clip alone, and wrong from the overview alone."""
        return tuple(alone and not self.overview for alone in self.alone)

    @property
    def useful(self) -> tuple[bool, ...]:
        """For each zoom: needed or sufficient. Of two clips with the same content, neither is needed; both suffice."""
        return tuple(a or b for a, b in zip(self.needed, self.sufficient, strict=True))

    @property
    def share(self) -> float | None:
        """Share of useful zooms; None without a zoom."""
        return sum(self.useful) / len(self.useful) if self.useful else None

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "everything": self.everything,
            "overview": self.overview,
            "without": list(self.without),
            "alone": list(self.alone),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Credit:
        """Rebuild from `to_json`."""
        return cls(data["everything"], data["overview"], tuple(data["without"]), tuple(data["alone"]))


def credit(record: EpisodeRecord, answerer: Answerer) -> Credit:
    """Answer again from everything, from the overview alone, without each clip, and from each clip alone.

    Args:
        record: A finished record; at most `2 * zooms + 2` answers are requested.
        answerer: Gives the answers.

    Raises:
        InvalidSetting: If the record is unfinished, or its task has no known answer.
    """
    if record.end is None or not record.task.answer:
        raise InvalidSetting(f"task {record.task.id!r}: credit needs a finished episode and a known answer")
    known: dict[tuple[int, ...], bool] = {}

    def right(clips: Sequence[int]) -> bool:
        key = tuple(clips)
        if key not in known:
            known[key] = _right(record, answerer.answer_from(record, key))
        return known[key]

    zooms = _zoomed(record)
    return Credit(
        everything=right([0, *zooms]),
        overview=right([0]),
        without=tuple(right([0, *(other for other in zooms if other != zoom)]) for zoom in zooms),
        alone=tuple(right([zoom]) for zoom in zooms),
    )


@dataclass(frozen=True)
class Sufficiency:
    """Whether the zoomed clips alone suffice for a right answer.

    Formula: at the end 1 if the answer given again from the executed zooms' clips alone, without the overview, is
    right, else 0; 0 without a zoom; 0 before. Unscored if the grade is unscored.
    Range: {0, 1}.
    Source: REVISOR, with weight 0.3 and accuracy 0.6 (preset "revisor").
    Known to break: it also rewards clips if the overview alone answers the question; an answerer that guesses is
    sometimes right.
    """

    name: ClassVar[str] = "sufficiency"
    needs: ClassVar[frozenset[Need]] = frozenset({"answerer"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if context.answerer is None:
            return None
        if record.grade is None:
            return 0.0
        if not _scored(record):
            return None
        clips = _zoomed(record)
        return float(bool(clips) and _right(record, context.answerer.answer_from(record, clips)))


@dataclass(frozen=True)
class Csv:
    """A right answer confirmed from the zoomed clips alone: completeness by self-verification.

    Formula: at the end 1[right] * 1[the answer given again from the executed zooms' clips alone is right]; 0 before.
    Unscored if the grade is unscored.
    Range: {0, 1}.
    Source: TimeSearch-R (arXiv 2511.05489).
    Known to break: as `sufficiency`, but never for a wrong answer.
    """

    name: ClassVar[str] = "csv"
    needs: ClassVar[frozenset[Need]] = frozenset({"answerer"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is not None and record.grade.score == 0.0:
            return 0.0
        return Sufficiency().score(record, context)


@dataclass(frozen=True)
class RescueRegress:
    """Whether the zooms turned a wrong answer into a right one, or a right one into a wrong one.

    Formula: at the end +1 if the first answer is wrong and the last is right; -1 if the first is right and the last is
    wrong; else 0; 0 before. Its mean over a group is the paper's (rate of rescues) - (rate of regressions). The first
    answer is the one before the first zoom: `info.first_answer` if the record has it (given by the policy itself), else
    that of the context's answerer from the overview alone. Unscored if the grade is unscored.
    Range: {-1, 0, 1}.
    Source: VideoEvolve (arXiv 2610.10183).
    Known to break: an answerer weaker than the policy counts rescues where the policy already knew the answer; use the
    policy itself. On multiple choice, a lucky first guess gives a good search the value 0.
    """

    name: ClassVar[str] = "rescue_regress"
    needs: ClassVar[frozenset[Need]] = frozenset({"first_answer"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.grade is None:
            return 0.0
        if record.grade.score is None:
            return None
        first = record.info.first_answer
        if first is None:
            if context.answerer is None:
                return None
            first = context.answerer.answer_from(record, [0])
        return record.grade.score - float(_right(record, first))


@dataclass(frozen=True)
class NeededClips:
    """Share of the zooms on which the answer depends.

    Formula: at the end the share of the executed zooms that were useful; 0 without a zoom; 0 before. A zoom is useful
    if the answer given again from everything is right and from everything but its clip is not, or if its clip alone
    gives the right answer and the overview alone does not (`Credit.useful`). Unscored if the grade is unscored.
    Range: [0, 1].
    Source: vzgym; measures whether clips are used causally.
    Known to break: if any two of several clips suffice, none is credited; an answerer that guesses adds noise.
    """

    name: ClassVar[str] = "needed_clips"
    needs: ClassVar[frozenset[Need]] = frozenset({"answerer"})

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if context.answerer is None:
            return None
        if record.grade is None:
            return 0.0
        if not _scored(record):
            return None
        return credit(record, context.answerer).share or 0.0
