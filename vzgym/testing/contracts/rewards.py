"""The contract of reward modules."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vzgym.core.errors import InvalidSetting, PluginError
from vzgym.core.registry import import_object
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import REWARDS, RewardContext, RewardModule
from vzgym.rewards.mix import RewardMix, Term
from vzgym.rewards.naming import spec_of
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, NotApplicable, Rule, apply_rules, name_of, need

__all__ = ["REWARD_RULES", "check_reward"]

_PARTS = "has the parts of a reward module"
_NUMBERS = "scores are finite numbers or None"


def _shape(module: RewardModule) -> None:
    try:
        Term(module, 1.0)
    except InvalidSetting as error:
        raise ContractViolation(
            f"{error}. A reward module has name (text), needs (frozenset) and score(record, context)"
        ) from error


def _context(record: EpisodeRecord) -> RewardContext:
    return RewardContext(group=[item for item in scenes.records() if item.task.id == record.task.id], progress=0.5)


def _scores(module: RewardModule, record: EpisodeRecord) -> list[float | None]:
    """The raw value of each turn. Some records lack what a module needs on purpose, so no log line says so."""
    mix = RewardMix({module.name: Term(module, 1.0)}).with_context(quiet=True)
    return [step.terms[module.name].value for step in mix.score_all(record, _context(record))]


def _numbers(module: RewardModule) -> None:
    for record in scenes.records():
        for count in range(1, len(record.turns) + 1):
            upto = record.upto(count)
            if "evidence" in module.needs and upto.task.evidence is None:
                continue
            if module.needs - {"evidence", "group"}:
                continue
            value = module.score(upto, _context(record))
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            need(
                value is None or (number and math.isfinite(float(value))),
                f"score() of task {record.task.id!r} after turn {count} is {value!r}: return a finite number, or None "
                "if there is no score",
            )
    if all(value is None for record in scenes.records() for value in _scores(module, record)):
        needs = ", ".join(sorted(module.needs)) or "nothing"
        raise NotApplicable(f"it scores none of the check's episodes; it needs {needs}")


def _stateless(module: RewardModule) -> None:
    records = scenes.records()
    first = [_scores(module, record) for record in records]
    again = [_scores(module, record) for record in reversed(records)][::-1]
    need(
        first == again,
        "scored again in another order, the records get different values: keep no state between calls; use the "
        "record only",
    )


def _saved(module: RewardModule) -> None:
    for record in scenes.records():
        saved = EpisodeRecord.from_json(record.to_json())
        live, later = _scores(module, record), _scores(module, saved)
        need(
            live == later,
            f"the saved record of task {record.task.id!r} is scored {later}, the live one {live}: read times, windows "
            "and hashes, never pixels or objects, which are not saved",
        )


def _harmless(module: RewardModule) -> None:
    for record in scenes.records():
        before = scenes.frozen(record)
        _scores(module, record)
        need(before == scenes.frozen(record), "score() changes the record: only read from it")


def _as_data(module: RewardModule) -> None:
    kind = type(module)
    try:
        importable = import_object(f"{kind.__module__}:{kind.__qualname__}") is kind
    except PluginError:
        importable = False
    if not importable:
        raise NotApplicable("its class cannot be imported by name, as experiments and training need")
    try:
        name, options = spec_of(module)
    except InvalidSetting as error:
        raise ContractViolation(str(error)) from error
    again = REWARDS.make({"name": name, **options})
    for record in scenes.records():
        need(
            _scores(again, record) == _scores(module, record),
            f"built again from {name!r} with {options or 'no options'}, it scores the task {record.task.id!r} "
            "differently: keep each argument of __init__ in an attribute of the same name, or give a mapping `options`",
        )


REWARD_RULES: tuple[Rule[RewardModule], ...] = (
    Rule(_PARTS, _shape),
    Rule(_NUMBERS, _numbers, requires=_PARTS),
    Rule("keeps no state", _stateless, requires=_NUMBERS),
    Rule("scores a saved record as it scored the live one", _saved, requires=_NUMBERS),
    Rule("leaves the record unchanged", _harmless, requires=_NUMBERS),
    Rule("can be serialized and rebuilt", _as_data, requires=_NUMBERS),
)


def check_reward(make: Callable[[], RewardModule], subject: str = "") -> ConformanceReport:
    """Check a reward module. See `check_observation` for the arguments."""
    return apply_rules("reward module", subject or name_of(make), REWARD_RULES, make)
