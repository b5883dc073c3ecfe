"""How modules become one reward: named terms, weights, and a ledger of what each gave."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias, get_args

import numpy as np

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import REWARDS, Need, RewardContext, RewardModule
from vzgym.rewards.presets import PRESETS

__all__ = ["RewardMix", "RewardSpec", "StepReward", "Term", "TermScore", "make_reward"]

_log = logging.getLogger("vzgym.rewards")
_NOTHING = RewardContext()


@dataclass(frozen=True, slots=True)
class Term:
    """A module and its weight in a mix.

    Raises:
        InvalidSetting: If the module is none, needs what nobody can give, or the weight is not finite.
    """

    module: RewardModule
    weight: float

    def __post_init__(self) -> None:
        module, weight = self.module, self.weight
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
        if (
            isinstance(weight, bool)
            or not isinstance(weight, (int, float, np.integer, np.floating))
            or not math.isfinite(weight)
        ):
            raise InvalidSetting(f"weight of {module.name!r} must be a finite number, got {weight!r}")
        object.__setattr__(self, "weight", float(weight))


@dataclass(frozen=True, slots=True)
class TermScore:
    """What one term gave for one turn.

    Attributes:
        value: The module's raw value; None if unscored.
        weight: Its weight in the mix.
    """

    value: float | None
    weight: float

    @property
    def status(self) -> str:
        """Either "scored" or "unscored"."""
        return "unscored" if self.value is None else "scored"

    @property
    def contribution(self) -> float:
        """`weight * value`; an unscored term adds nothing."""
        return 0.0 if self.value is None else self.weight * self.value

    def to_json(self) -> dict[str, Any]:
        """`{"value", "weight", "status"}`."""
        return {"value": self.value, "weight": self.weight, "status": self.status}


@dataclass(frozen=True, slots=True)
class StepReward:
    """The reward of one turn.

    Attributes:
        total: Sum of the terms' contributions; None if the whole episode is unscored (an essential term, accuracy,
            could not be scored).
        terms: What each term gave, by name.
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

    Unscored terms add nothing and weights are not re-normalised: a run whose evidence is unknown has the same scale as
    one whose evidence is known. The first time a term is unscored for want of something, a log line says so.

    Args:
        terms: Modules and weights by the name they are logged under.

    Raises:
        InvalidSetting: If there is no term.
    """

    terms: Mapping[str, Term]
    _told: set[str] = field(default_factory=set, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.terms:
            raise InvalidSetting("a reward needs at least one term")

    def score(self, record: EpisodeRecord, context: RewardContext = _NOTHING) -> StepReward:
        """The reward of the record's latest turn.

        Args:
            record: The episode as it stands right after that turn.
            context: What surrounds it; see `RewardContext`.

        Raises:
            InvalidSetting: If a module returns a number that is not finite.
        """
        scores = {name: TermScore(self._value(name, term, record, context), term.weight)
                  for name, term in self.terms.items()}  # fmt: skip
        voided = any(
            scores[name].value is None and getattr(term.module, "essential", False) for name, term in self.terms.items()
        )
        total = None if voided else math.fsum(score.contribution for score in scores.values())
        return StepReward(total, scores)

    def score_all(self, record: EpisodeRecord, context: RewardContext = _NOTHING) -> list[StepReward]:
        """The reward of each turn of a finished record, as live scoring gave or would have given it."""
        return [self.score(record.upto(count), context) for count in range(1, len(record.turns) + 1)]

    def _value(self, name: str, term: Term, record: EpisodeRecord, context: RewardContext) -> float | None:
        missing = _missing(term.module, record, context)
        value = None if missing else term.module.score(record, context)
        if value is None:
            if name not in self._told:
                self._told.add(name)
                why = f"it needs {' and '.join(missing)}" if missing else "it cannot judge this episode"
                _log.info("reward term %r is unscored for task %r: %s", name, record.task.id, why)
            return None
        if not math.isfinite(value):
            raise InvalidSetting(f"reward module {name!r} returned {value} for task {record.task.id!r}")
        return float(value)


def _missing(module: RewardModule, record: EpisodeRecord, context: RewardContext) -> list[str]:
    have = {
        "evidence": record.task.evidence is not None,
        "group": context.group is not None,
        "answerer": context.answerer is not None,
    }
    return [need for need in sorted(module.needs) if not have[need]]


RewardSpec: TypeAlias = (
    "str | Mapping[str, float | Mapping[str, Any]] | Sequence[RewardModule | tuple[RewardModule, float]] "
    "| RewardModule | RewardMix"
)
"""What names a reward: a preset or module by name, weights by module name, module objects, or a finished mix."""


def make_reward(spec: RewardSpec) -> RewardMix:
    """Build a mix.

    Args:
        spec: A preset's name ("videozoomer"); a module's name or `"module:Class"` (weight 1); a mapping from names to
            weights, or to `{"weight": w, **options}`, with `"module"` giving the module's name where the term is
            called otherwise; a module object, or a sequence of objects and `(object, weight)` pairs; or a mix.

    Raises:
        UnknownName: If a name is neither preset nor module; lists both.
        InvalidSetting: If a weight is not finite, an option is unknown, or two terms share a name.
    """
    if isinstance(spec, RewardMix):
        return spec
    if isinstance(spec, str):
        if spec in PRESETS:
            return make_reward(PRESETS[spec])
        if spec not in REWARDS and ":" not in spec:
            raise UnknownName("reward", spec, [*PRESETS, *REWARDS.names()], "Presets and modules share one name space.")
        return make_reward({spec: 1.0})
    if isinstance(spec, Mapping):
        return RewardMix({name: _term(name, value) for name, value in spec.items()})
    if not isinstance(spec, Sequence):
        term = Term(spec, 1.0)
        return RewardMix({spec.name: term})
    terms: dict[str, Term] = {}
    for item in spec:
        if isinstance(item, str):
            raise InvalidSetting(f"a sequence of reward terms holds module objects, got the text {item!r}")
        term = Term(*item) if isinstance(item, tuple) else Term(item, 1.0)
        if term.module.name in terms:
            raise InvalidSetting(f"two reward terms are called {term.module.name!r}: name them apart in a mapping")
        terms[term.module.name] = term
    return RewardMix(terms)


def _term(name: str, value: float | Mapping[str, Any]) -> Term:
    if isinstance(value, Mapping):
        options = dict(value)
        weight = options.pop("weight", 1.0)
        module = options.pop("module", name)
        return Term(REWARDS.make({"name": module, **options}), weight)
    return Term(REWARDS.make(name), value)
