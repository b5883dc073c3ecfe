"""Composition of reward modules: named terms, weights, gates, and a ledger of contributions."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, get_args

import numpy as np

from vzgym.core.errors import InvalidSetting
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import NEEDS, Answerer, Need, ProbabilityAnswerer, RewardContext, RewardModule
from vzgym.rewards.condition import Condition
from vzgym.rewards.naming import spec_of

__all__ = [
    "TERM_KEYS",
    "Anneal",
    "RewardMix",
    "StepReward",
    "Term",
    "TermScore",
]

_log = logging.getLogger("vzgym.rewards")


TERM_KEYS: Final = ("module", "weight", "when", "clip", "anneal", "by_category")
"""Keys of a term that is given as a mapping; every other key is an option of its module."""


def _finite(value: object) -> bool:
    return (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


@dataclass(frozen=True, slots=True)
class Anneal:
    """A factor on a weight that changes during training.

    `first` until progress `start`, `last` from progress `end`, linear between them. Progress is the share of training
    done, in [0, 1] (`RewardContext.progress`).

    Args:
        last: The factor at the end.
        first: The factor at the beginning. (In data, `first` is `from` and `last` is `to`.)
        start: Progress at which the factor begins to change.
        end: Progress from which the factor is `last`, > `start`.

    Raises:
        InvalidSetting: If a value is not finite, or not `0 <= start < end <= 1`.
    """

    last: float
    first: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        for name in ("first", "last", "start", "end"):
            if not _finite(getattr(self, name)):
                raise InvalidSetting(f"anneal: {name} must be a finite number, got {getattr(self, name)!r}")
        if not 0 <= self.start < self.end <= 1:
            raise InvalidSetting(f"anneal needs 0 <= start < end <= 1, got start {self.start} and end {self.end}")

    def factor(self, progress: float) -> float:
        """The factor at a progress."""
        done = min(1.0, max(0.0, (progress - self.start) / (self.end - self.start)))
        return self.first + (self.last - self.first) * done

    def to_spec(self) -> dict[str, float]:
        """`{"from", "to", "start", "end"}`."""
        return {"from": self.first, "to": self.last, "start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True)
class Term:
    """A module with its weight and settings in a mix.

    A turn contributes `weight * clip(value)`; the weight is that of the task's category, if set, times the factor of
    `anneal`. A gated term contributes nothing before the end of the episode; at the end, the sum of its (clipped)
    values over all turns counts if the condition holds.

    Args:
        module: The module.
        weight: Its weight.
        when: The condition under which the term counts (a gate); None: always.
        clip: `(low, high)`: bounds on the module's value of each turn.
        anneal: How the weight changes during training.
        by_category: Weights that replace `weight` for tasks of these categories.

    Raises:
        InvalidSetting: If `module` is not a reward module, a need is unknown, or a number is not finite.
    """

    module: RewardModule
    weight: float
    when: Condition | None = None
    clip: tuple[float, float] | None = None
    anneal: Anneal | None = None
    by_category: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        module = self.module
        if isinstance(module, type):
            raise InvalidSetting(f"a reward module is an object, got the class {module.__name__}: call it")
        name, needs = getattr(module, "name", None), getattr(module, "needs", None)
        if not (isinstance(name, str) and isinstance(needs, Set) and callable(getattr(module, "score", None))):
            raise InvalidSetting(f"a reward module has a name, a set of needs and a score method, got {module!r}")
        unknown = sorted(set(needs) - set(get_args(Need)))
        if unknown:
            raise InvalidSetting(
                f"reward module {module.name!r} needs {', '.join(map(repr, unknown))}; known needs: "
                f"{', '.join(get_args(Need))}"
            )
        if not _finite(self.weight):
            raise InvalidSetting(f"weight of {module.name!r} must be a finite number, got {self.weight!r}")
        object.__setattr__(self, "weight", float(self.weight))
        if self.when is not None and not callable(getattr(self.when, "holds", None)):
            raise InvalidSetting(f"when of {module.name!r} must be a Condition (make_condition), got {self.when!r}")
        if self.anneal is not None and not isinstance(self.anneal, Anneal):
            raise InvalidSetting(f"anneal of {module.name!r} must be an Anneal, got {self.anneal!r}")
        self._check_clip()
        self._check_categories()

    def _check_clip(self) -> None:
        if self.clip is None:
            return
        bounds = self.clip
        if not (isinstance(bounds, Sequence) and not isinstance(bounds, str) and len(bounds) == 2):
            raise InvalidSetting(f"clip of {self.module.name!r} must be [low, high], got {bounds!r}")
        if not (_finite(bounds[0]) and _finite(bounds[1]) and bounds[0] <= bounds[1]):
            raise InvalidSetting(f"clip of {self.module.name!r} must be finite and low <= high, got {list(bounds)}")
        object.__setattr__(self, "clip", (float(bounds[0]), float(bounds[1])))

    def _check_categories(self) -> None:
        if self.by_category is None:
            return
        if not isinstance(self.by_category, Mapping) or not self.by_category:
            raise InvalidSetting(f"by_category of {self.module.name!r} must map categories to weights")
        for category, weight in self.by_category.items():
            if not isinstance(category, str) or not _finite(weight):
                raise InvalidSetting(
                    f"by_category of {self.module.name!r}: the weight of {category!r} must be a finite number, "
                    f"got {weight!r}"
                )
        own = {category: float(weight) for category, weight in self.by_category.items()}
        object.__setattr__(self, "by_category", own)

    @property
    def needs(self) -> frozenset[Need]:
        """Required inputs, including those of the condition."""
        return frozenset(self.module.needs) | (self.when.needs if self.when is not None else frozenset())

    def weight_for(self, record: EpisodeRecord, context: RewardContext) -> float:
        """The effective weight: that of the task's category, annealed."""
        weight = (self.by_category or {}).get(record.task.category, self.weight)
        if self.anneal is None or context.progress is None:
            return weight
        return weight * self.anneal.factor(context.progress)

    def clipped(self, value: float) -> float:
        """A turn's value within the bounds."""
        return value if self.clip is None else min(max(value, self.clip[0]), self.clip[1])

    def to_spec(self, called: str) -> Any:
        """Specification of the term for `make_reward`: its weight if that suffices, else a mapping.

        Args:
            called: The term's name in the mix.

        Raises:
            InvalidSetting: If the module cannot be named in data (see `vzgym.rewards.naming.spec_of`).
        """
        name, options = spec_of(self.module, TERM_KEYS)
        spec: dict[str, Any] = {} if name == called else {"module": name}
        spec.update(options)
        if self.when is not None:
            spec["when"] = self.when.to_spec()
        if self.clip is not None:
            spec["clip"] = list(self.clip)
        if self.anneal is not None:
            spec["anneal"] = self.anneal.to_spec()
        if self.by_category is not None:
            spec["by_category"] = dict(self.by_category)
        return {**spec, "weight": self.weight} if spec else self.weight


@dataclass(frozen=True, slots=True)
class TermScore:
    """Result of one term for one turn.

    Attributes:
        value: The module's raw value; None if unscored. Of a gated term: 0 before the end, then the sum over all turns.
        weight: Its effective weight.
        counted: The value after clipping, which is multiplied by the weight; None: the raw value.
        open: Whether the condition of its gate, if any, holds.
    """

    value: float | None
    weight: float
    counted: float | None = None
    open: bool = True

    @property
    def status(self) -> str:
        """One of "scored", "unscored", "gated" (its condition does not hold)."""
        if self.value is None:
            return "unscored"
        return "scored" if self.open else "gated"

    @property
    def contribution(self) -> float:
        """`weight * counted`; a term that is unscored or gated adds nothing."""
        if self.value is None or not self.open:
            return 0.0
        return self.weight * (self.value if self.counted is None else self.counted)

    def to_json(self) -> dict[str, Any]:
        """`{"value", "weight", "status"}`, and `"counted"` if clipping changed the value."""
        entry: dict[str, Any] = {"value": self.value, "weight": self.weight, "status": self.status}
        if self.counted is not None and self.counted != self.value:
            entry["counted"] = self.counted
        return entry


@dataclass(frozen=True, slots=True)
class StepReward:
    """The reward of one turn.

    Attributes:
        total: Sum of the terms' contributions (exact: `math.fsum`); None if the whole episode is unscored (an essential
            term, accuracy, could not be scored).
        terms: Result of each term, by name.
    """

    total: float | None
    terms: Mapping[str, TermScore]

    @property
    def status(self) -> str:
        """Either "scored" or "unscored"."""
        return "unscored" if self.total is None else "scored"

    def to_json(self) -> dict[str, Any]:
        """The entry of the reward ledger: `{"total", "terms": {name: {"value", "weight", "status"}}}`."""
        return {"total": self.total, "terms": {name: term.to_json() for name, term in self.terms.items()}}


@dataclass(frozen=True)
class RewardMix:
    """A weighted sum of reward modules.

    Unscored terms add nothing and weights are not re-normalized, so that runs with known and with unknown evidence have
    the same scale. The first time a term is unscored, the reason is logged, as a warning if a required input, such as a
    group, is missing.

    Args:
        terms: Terms by the name under which they are logged.
        context: Default context for scoring.

    Raises:
        InvalidSetting: If there are no terms.
    """

    terms: Mapping[str, Term]
    context: RewardContext = field(default=RewardContext(), repr=False, compare=False)
    _reported: set[str] = field(default_factory=set, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.terms:
            raise InvalidSetting("a reward needs at least one term")

    @property
    def needs(self) -> frozenset[Need]:
        """Required inputs of the terms."""
        return frozenset[Need]().union(*(term.needs for term in self.terms.values()))

    @property
    def later(self) -> bool:
        """Whether a term needs inputs known only after the episode (group, answerer, wall times)."""
        return bool(self.needs - {"evidence"})

    @cached_property
    def _essential(self) -> tuple[str, ...]:
        """The terms without which the whole episode is unscored."""
        return tuple(name for name, term in self.terms.items() if getattr(term.module, "essential", False))

    def with_context(
        self, *, answerer: Answerer | None = None, progress: float | None = None, quiet: bool = False
    ) -> RewardMix:
        """Return a copy with another default context, for interfaces that pass no context.

        Args:
            answerer: Answers again from selected clips.
            progress: Training progress in [0, 1].
            quiet: Whether to suppress the log messages about unscored terms.
        """
        reported = set(self.terms) if quiet else set()
        return replace(self, context=RewardContext(answerer=answerer, progress=progress), _reported=reported)

    def score(self, record: EpisodeRecord, context: RewardContext | None = None) -> StepReward:
        """Return the reward of the latest turn.

        Args:
            record: The episode up to and including that turn.
            context: Additional inputs; the mix's own context if None.

        Raises:
            InvalidSetting: If a module returns anything but a finite number or None.
        """
        around = self.context if context is None else context
        scores = {name: self._score(name, term, record, around) for name, term in self.terms.items()}
        voided = any(scores[name].value is None for name in self._essential)
        total = None if voided else math.fsum(score.contribution for score in scores.values())
        return StepReward(total, scores)

    def score_all(self, record: EpisodeRecord, context: RewardContext | None = None) -> list[StepReward]:
        """Return the reward of each turn of a finished record, as in live scoring."""
        return [self.score(record.upto(count), context) for count in range(1, len(record.turns) + 1)]

    def to_spec(self) -> dict[str, Any]:
        """The mix as JSON values; `make_reward` builds an equal mix from it.

        Raises:
            InvalidSetting: If a module cannot be named in data.
        """
        return {name: term.to_spec(name) for name, term in self.terms.items()}

    def _score(self, name: str, term: Term, record: EpisodeRecord, context: RewardContext) -> TermScore:
        weight = term.weight_for(record, context)
        missing = _missing(term, record, context)
        value = None if missing else self._value(name, term, record, context)
        if value is None:
            if missing:
                self._tell(name, record, f"it needs {' and '.join(missing)}", logging.WARNING)
            else:
                self._tell(name, record, "it cannot score this episode", logging.INFO)
            return TermScore(None, weight)
        if term.when is None:
            return TermScore(value, weight, term.clipped(value))
        if record.end is None:
            return TermScore(0.0, weight)
        holds = term.when.holds(record, context)
        values = [
            *(self._value(name, term, record.upto(count), context) for count in range(1, len(record.turns))),
            value,
        ]
        known = [item for item in values if item is not None]
        if holds is None or len(known) < len(values):
            why = "its condition is unknown" if holds is None else "it cannot score every turn"
            self._tell(name, record, why, logging.INFO)
            return TermScore(None, weight)
        return TermScore(math.fsum(known), weight, math.fsum(map(term.clipped, known)), holds)

    def _value(self, name: str, term: Term, record: EpisodeRecord, context: RewardContext) -> float | None:
        value: Any = term.module.score(record, context)
        if value is None:
            return None
        # A condition (`return record.zooms > 0`) is as good as 1 or 0.
        if not (isinstance(value, (bool, np.bool_)) or _finite(value)):
            raise InvalidSetting(
                f"reward module {name!r} returned {value!r:.80} for task {record.task.id!r}: score() must return a "
                "finite number, or None if there is no score"
            )
        return float(value)

    def _tell(self, name: str, record: EpisodeRecord, why: str, level: int) -> None:
        if name not in self._reported:
            self._reported.add(name)
            _log.log(level, "reward term %r is unscored for task %r: %s", name, record.task.id, why)


def _missing(term: Term, record: EpisodeRecord, context: RewardContext) -> list[str]:
    needs = term.needs
    if not needs and term.anneal is None:
        return []
    have: dict[Need, bool] = {
        "evidence": record.task.evidence is not None,
        "group": context.group is not None,
        "answerer": context.answerer is not None,
        "probabilities": isinstance(context.answerer, ProbabilityAnswerer),
        "first_answer": context.answerer is not None or record.info.first_answer is not None,
        "timing": record.info.wall_seconds is not None,
    }
    missing = [need for need in sorted(needs) if not have[need]]
    wanted = [need if need in ("evidence", "group", "answerer") else NEEDS[need] for need in missing]
    if term.anneal is not None and context.progress is None:
        wanted.append("the training progress")
    return wanted
