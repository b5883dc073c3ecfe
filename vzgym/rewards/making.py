"""Rewards from what names them: a preset, a module, data, a YAML file, or objects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.rewards.base import REWARDS, RewardModule
from vzgym.rewards.condition import make_condition
from vzgym.rewards.mix import TERM_KEYS, Anneal, RewardMix, Term
from vzgym.rewards.presets import PRESETS
from vzgym.rewards.yaml_file import Place, is_yaml_path, read_yaml

__all__ = ["RewardSpec", "make_reward"]

RewardSpec: TypeAlias = (
    "str | os.PathLike[str] | Mapping[str, Any] | Sequence[RewardModule | tuple[RewardModule, float] | Term] "
    "| RewardModule | RewardMix"
)
"""What names a reward: a preset or module by name, a YAML file, terms by name, module objects, or a finished mix."""


def make_reward(spec: RewardSpec) -> RewardMix:
    """Build a mix.

    Args:
        spec: A preset's name ("videozoomer"); a module's name or `"module:Class"` (weight 1); the path of a YAML file
            (ends in .yaml or .yml) that holds any of what follows as data; a mapping from names to weights or to
            mappings of `TERM_KEYS` (`module` gives the module's name where the term is called otherwise) and options
            of the module; a module object, or a sequence of objects, `(object, weight)` pairs and `Term`s; or a mix.

    Raises:
        UnknownName: If a name is neither preset nor module; lists both, and the line of a YAML file.
        InvalidSetting: If a weight is not finite, an option is unknown, a gate has no condition, or two terms share a
            name; names the line of a YAML file.
    """
    if isinstance(spec, RewardMix):
        return spec
    if isinstance(spec, os.PathLike) or (isinstance(spec, str) and is_yaml_path(spec)):
        data, place = read_yaml(spec)
        return _from_data(data, place)
    if isinstance(spec, (str, Mapping)):
        return _from_data(spec, Place())
    if not isinstance(spec, Sequence):
        term = Term(spec, 1.0)
        return RewardMix({spec.name: term})
    terms: dict[str, Term] = {}
    for item in spec:
        if isinstance(item, str):
            raise InvalidSetting(f"a sequence of reward terms holds module objects, got the text {item!r}")
        term = item if isinstance(item, Term) else Term(*(item if isinstance(item, tuple) else (item, 1.0)))
        if term.module.name in terms:
            raise InvalidSetting(f"two reward terms are called {term.module.name!r}: name them apart in a mapping")
        terms[term.module.name] = term
    return RewardMix(terms)


def _from_data(spec: object, place: Place) -> RewardMix:
    if isinstance(spec, str):
        if spec in PRESETS:
            return _from_data(PRESETS[spec], Place())
        if spec not in REWARDS and ":" not in spec:
            hint = f"Presets and modules share one name space.{place.hint()}"
            raise UnknownName("reward", spec, [*PRESETS, *REWARDS.names()], hint)
        return _from_data({spec: 1.0}, place)
    if not isinstance(spec, Mapping):
        raise InvalidSetting(f"{place.prefix()}a reward is a mapping of terms, or a name, got {spec!r}")
    terms = {}
    for name, value in spec.items():
        if not isinstance(name, str):
            raise InvalidSetting(f"{place.prefix(name)}a reward term's name is a text, got {name!r}")
        terms[name] = _term(name, value, place)
    with place.errors():
        return RewardMix(terms)


def _term(name: str, value: object, place: Place) -> Term:
    """One term of a mapping; errors name the line on which the fault stands."""
    if not isinstance(value, Mapping):
        with place.errors(name):
            return Term(REWARDS.make(name), value)  # type: ignore[arg-type]  # Term says so if it is no number
    options = {str(key): item for key, item in value.items()}
    given = {key: options.pop(key) for key in TERM_KEYS if key in options}
    kind = given.get("module", name)
    if not isinstance(kind, str):
        raise InvalidSetting(f"{place.prefix(name, 'module')}the module of {name!r} is named by a text, got {kind!r}")
    with place.errors(name, *(["module"] if "module" in given else []), words=[(name, option) for option in options]):
        module = REWARDS.make({"name": kind, **options})
    parts: dict[str, Any] = {}
    if "when" in given:
        with place.errors(name, "when"):
            parts["when"] = make_condition(given["when"])
    if "anneal" in given:
        with place.errors(name, "anneal"):
            parts["anneal"] = _anneal(given["anneal"])
    for key in ("clip", "by_category"):
        if key in given:
            with place.errors(name, key):
                if given[key] is None:
                    raise InvalidSetting(f"{key} of {name!r} is empty: give it a value, or leave it out")
                Term(module, 1.0, **{key: given[key]})
                parts[key] = given[key]
    with place.errors(name, *(["weight"] if "weight" in given else [])):
        return Term(module, given.get("weight", 1.0), **parts)


_ANNEAL: Final = {"from": "first", "to": "last", "start": "start", "end": "end"}


def _anneal(data: object) -> Anneal:
    if isinstance(data, Anneal):
        return data
    if not isinstance(data, Mapping) or "to" not in data:
        raise InvalidSetting(f"anneal needs a mapping with 'to' (and from, start, end), got {data!r}")
    unknown = sorted(str(key) for key in data if key not in _ANNEAL)
    if unknown:
        raise InvalidSetting(f"anneal has no option {', '.join(map(repr, unknown))}; valid: {', '.join(_ANNEAL)}")
    return Anneal(**{_ANNEAL[key]: value for key, value in data.items()})
