"""Builds rewards from presets, modules, data, YAML files or objects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.text import close_name, known_names
from vzgym.rewards.base import REWARDS, RewardModule
from vzgym.rewards.condition import make_condition
from vzgym.rewards.mix import TERM_KEYS, Anneal, RewardMix, Term
from vzgym.rewards.presets import PRESETS

if TYPE_CHECKING:
    from vzgym.core.documents import Document

__all__ = ["RewardSpec", "is_yaml_path", "make_reward"]

RewardSpec: TypeAlias = (
    "str | os.PathLike[str] | Mapping[str, Any] | RewardModule | RewardMix | Document "
    "| Sequence[RewardModule | str | tuple[RewardModule | str, float] | Term]"
)
"""Specification of a reward: a preset or module by name, a YAML file, terms by name, module objects, or a mix."""


def is_yaml_path(text: str) -> bool:
    """Whether a string is the path of a YAML file, by its suffix."""
    return text.endswith((".yaml", ".yml"))


def make_reward(spec: RewardSpec) -> RewardMix:
    """Build a mix.

    Args:
        spec: A preset's name ("videozoomer"); a module's name or `"module:Class"` (weight 1); the path of a YAML file
            (ends in .yaml or .yml) with any of the following as data; a mapping, as YAML text ("{accuracy: 1}") or an
            object, from names to weights, or to mappings
            of `TERM_KEYS` (`module` is the module's name if it differs from the term's) and module options; a module
            object, or a sequence of modules (objects or names), `(module, weight)` pairs and `Term`s; a mix; or any of
            this data as part of a YAML file.

    Raises:
        UnknownName: If a name is neither a preset nor a module; the message lists both.
        InvalidSetting: If a weight is not finite, an option is unknown, a gate has no condition, or two terms share a
            name. Errors in a YAML file name the line.
    """
    if isinstance(spec, RewardMix):
        return spec
    # Imported here, since importing pydantic takes longer than importing vzgym.
    from vzgym.core.documents import Document

    if isinstance(spec, Document):
        return _from_data(spec)
    if isinstance(spec, (str, os.PathLike, Mapping)):
        return _from_data(Document(spec))
    if not isinstance(spec, Sequence):
        term = Term(spec, 1.0)
        return RewardMix({spec.name: term})
    terms: dict[str, Term] = {}
    for item in spec:
        term = _item(item)
        if term.module.name in terms:
            raise InvalidSetting(f"two reward terms are called {term.module.name!r}: use distinct names in a mapping")
        terms[term.module.name] = term
    return RewardMix(terms)


def _item(item: RewardModule | tuple[RewardModule | str, float] | Term | object) -> Term:
    """One term of a sequence."""
    if isinstance(item, Term):
        return item
    pair = item if isinstance(item, (tuple, list)) else (item, 1.0)
    if len(pair) != 2:
        raise InvalidSetting(f"a sequence of reward terms holds modules and (module, weight) pairs, got {item!r}")
    module, weight = pair
    if isinstance(module, str):
        return next(iter(make_reward({module: weight}).terms.values()))
    return Term(module, weight)


def _from_data(document: Document) -> RewardMix:
    from vzgym.core.documents import Document, read_file

    spec = document.data
    if isinstance(spec, os.PathLike) or (isinstance(spec, str) and is_yaml_path(spec)):
        with document.at():
            document = read_file(spec)
        spec = document.data
    if isinstance(spec, str) and spec.lstrip().startswith("{"):
        from vzgym.core.documents import read_value

        spec = read_value(spec, "a reward given as a mapping")
        document = Document(spec)
    if isinstance(spec, str):
        if spec in PRESETS:
            spec = PRESETS[spec]
        elif spec in REWARDS or ":" in spec:
            spec = {spec: 1.0}
        else:
            with document.at():
                hint = "Presets and modules share one namespace."
                raise UnknownName("reward", spec, [*PRESETS, *REWARDS.names()], hint)
    if not isinstance(spec, Mapping):
        raise InvalidSetting(f"{document.prefix()}a reward must be a mapping of terms or a name, got {spec!r}")
    terms = {}
    for name, value in spec.items():
        if not isinstance(name, str):
            raise InvalidSetting(f"the name of a reward term must be text, got {name!r}")
        terms[name] = _term(name, value, document)
    with document.at():
        return RewardMix(terms)


def _term(name: str, value: object, document: Document) -> Term:
    """One term of a mapping; errors name the line of the value that is wrong."""
    from vzgym.core.settings import build
    from vzgym.rewards.settings import TermSettings

    part = document.part(name, value if isinstance(value, Mapping) else {"weight": value})
    given = build(TermSettings, part, f"reward term {name!r}: ")
    options, kind = given.model_extra or {}, given.module or name
    if kind not in REWARDS and not given.module:
        for key in options:
            # Otherwise the term's name, which is the user's own, would be called an unknown module.
            if close_name(key, TERM_KEYS) == "module":
                with part.at(key):
                    raise InvalidSetting(f"reward term {name!r} has no key {key!r}; {known_names([key], TERM_KEYS)}")
    with part.at("module"):
        REWARDS.get(kind)
    with part.at():
        module = REWARDS.make({"name": kind, **options}, TERM_KEYS)
    parts: dict[str, Any] = {}
    if "when" in given.model_fields_set:
        with part.at("when"):
            parts["when"] = make_condition(given.when)
    if "anneal" in given.model_fields_set:
        with part.at("anneal"):
            parts["anneal"] = Anneal(**dict(given.anneal))
    parts |= {key: getattr(given, key) for key in ("clip", "by_category") if key in given.model_fields_set}
    with part.at():
        return Term(module, given.weight, **parts)
