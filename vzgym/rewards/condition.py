"""Conditions that gate reward terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode.record import End, EpisodeRecord
from vzgym.episode.turn import Outcome
from vzgym.rewards.base import REWARDS, Need, RewardContext, RewardModule
from vzgym.rewards.localization import repeats_a_window
from vzgym.rewards.naming import spec_of
from vzgym.video.base import FRAME_SLACK

__all__ = ["PREDICATES", "AllOf", "Compare", "Condition", "Is", "make_condition"]


def _correct(record: EpisodeRecord) -> bool | None:
    if record.grade is None or record.grade.score is None:
        return None
    return record.grade.is_correct


def _evidence_seen(record: EpisodeRecord) -> bool | None:
    if record.task.evidence is None:
        return None
    times = [float(time) + FRAME_SLACK for clip in record.clips for time in clip.times]
    return all(any(time in span for time in times) for span in record.task.evidence)


PREDICATES: Final[Mapping[str, tuple[Callable[[EpisodeRecord], bool | None], str]]] = {
    "answered": (lambda record: record.end is End.ANSWERED, "the episode ended with an answer"),
    "consistent": (lambda record: not repeats_a_window(record), "no executed zoom repeats another's window and region"),
    "correct": (_correct, "the answer is right; unknown if the grade is unscored"),
    "evidence_seen": (_evidence_seen, "every evidence interval contains a shown frame; unknown if evidence is unknown"),
    "unrefused": (
        lambda record: all(turn.outcome is not Outcome.REFUSED for turn in record.turns),
        "no zoom was refused and every text could be parsed",
    ),
    "well_formed": (lambda record: all(turn.well_formed for turn in record.turns), "every turn was well-formed"),
    "zoomed": (lambda record: record.zooms > 0, "at least one zoom was executed"),
}
"""Predicates of a finished record: name -> (test, meaning). The test returns None if the result is unknown."""

_BOUNDS: Final = ("at_least", "above", "at_most", "below")


class Condition(Protocol):
    """A condition on a finished episode."""

    @property
    def needs(self) -> frozenset[Need]:
        """Required inputs."""
        ...

    def holds(self, record: EpisodeRecord, context: RewardContext) -> bool | None:
        """Whether the condition holds; None if unknown."""
        ...

    def to_spec(self) -> Any:
        """Specification of the condition as JSON values, as `make_condition` accepts it."""
        ...


@dataclass(frozen=True)
class Is:
    """A named predicate of the record.

    Args:
        predicate: One of `PREDICATES`.
        negated: Whether it must not hold.

    Raises:
        UnknownName: If there is no such predicate.
    """

    predicate: str
    negated: bool = False

    def __post_init__(self) -> None:
        if self.predicate not in PREDICATES:
            raise UnknownName("condition", self.predicate, PREDICATES, "Each may be negated: 'not correct'.")

    @property
    def needs(self) -> frozenset[Need]:
        """No required inputs: `holds` returns None if the result is unknown."""
        return frozenset()

    def holds(self, record: EpisodeRecord, context: RewardContext) -> bool | None:
        """See `Condition.holds`."""
        found = PREDICATES[self.predicate][0](record)
        return None if found is None else found is not self.negated

    def to_spec(self) -> str:
        """See `Condition.to_spec`."""
        return f"not {self.predicate}" if self.negated else self.predicate


@dataclass(frozen=True)
class Compare:
    """A bound on another module's value, summed over the whole episode.

    Args:
        module: The module.
        at_least: The sum must be >= this.
        above: The sum must be > this.
        at_most: The sum must be <= this.
        below: The sum must be < this.

    Raises:
        InvalidSetting: If no bound is given, or one is not finite.
    """

    module: RewardModule
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        bounds = {name: getattr(self, name) for name in _BOUNDS}
        for name, value in bounds.items():
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value)
            ):
                raise InvalidSetting(f"a condition's {name} must be a finite number, got {value!r}")
        if all(value is None for value in bounds.values()):
            raise InvalidSetting(f"a condition on {self.module.name!r} needs a bound: {', '.join(_BOUNDS)}")

    @property
    def needs(self) -> frozenset[Need]:
        """Required inputs of the module."""
        return frozenset(self.module.needs)

    def holds(self, record: EpisodeRecord, context: RewardContext) -> bool | None:
        """See `Condition.holds`."""
        values = [self.module.score(record.upto(count), context) for count in range(1, len(record.turns) + 1)]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        total = math.fsum(known)
        return (
            (self.at_least is None or total >= self.at_least)
            and (self.above is None or total > self.above)
            and (self.at_most is None or total <= self.at_most)
            and (self.below is None or total < self.below)
        )

    def to_spec(self) -> dict[str, Any]:
        """See `Condition.to_spec`."""
        name, options = spec_of(self.module, reserved=("module", *_BOUNDS))
        bounds = {bound: value for bound in _BOUNDS if (value := getattr(self, bound)) is not None}
        return {"module": name, **options, **bounds}


@dataclass(frozen=True)
class AllOf:
    """Conjunction of several conditions. Unknown if one of them is unknown.

    Raises:
        InvalidSetting: If there is no condition.
    """

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if not self.conditions:
            raise InvalidSetting("a gate needs a condition, got an empty list")

    @property
    def needs(self) -> frozenset[Need]:
        """Required inputs of all conditions."""
        return frozenset[Need]().union(*(condition.needs for condition in self.conditions))

    def holds(self, record: EpisodeRecord, context: RewardContext) -> bool | None:
        """See `Condition.holds`."""
        found = [condition.holds(record, context) for condition in self.conditions]
        return None if None in found else all(found)

    def to_spec(self) -> list[Any]:
        """See `Condition.to_spec`."""
        return [condition.to_spec() for condition in self.conditions]


def make_condition(spec: object) -> Condition:
    """Build a condition.

    Args:
        spec: A predicate's name ("correct", "not correct"; `PREDICATES`); a mapping `{"module": name, **options,
            "at_least": x}` with at least one of at_least, above, at_most, below; a list of these, all of which must
            hold; or a condition.

    Raises:
        InvalidSetting: If the specification is empty (None, or an empty string, list or mapping) or lacks a bound.
        UnknownName: If a predicate or module does not exist.
    """
    if spec is None or spec == "" or spec == {}:
        raise InvalidSetting(
            f"a gate needs a condition, got {spec!r}: give a predicate ({', '.join(PREDICATES)}), a bound on a "
            "module's value, or a list of both"
        )
    if isinstance(spec, str):
        word, _, rest = spec.strip().partition(" ")
        return Is(rest.strip(), True) if word == "not" else Is(spec.strip())
    if isinstance(spec, Mapping):
        options = {str(key): value for key, value in spec.items()}
        module = options.pop("module", None)
        if not isinstance(module, str):
            raise InvalidSetting(f"a condition on a value needs the key 'module', got {dict(spec)!r}")
        bounds = {name: options.pop(name) for name in _BOUNDS if name in options}
        return Compare(REWARDS.make({"name": module, **options}, _BOUNDS), **bounds)
    if isinstance(spec, Sequence):
        return AllOf(tuple(make_condition(item) for item in spec))
    if hasattr(spec, "holds") and hasattr(spec, "to_spec"):
        return cast("Condition", spec)
    raise InvalidSetting(f"a condition is a predicate's name, a mapping with 'module', or a list, got {spec!r}")
