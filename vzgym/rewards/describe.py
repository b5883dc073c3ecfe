"""Parses the docstrings of reward modules, for the command line and the documentation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Final

from vzgym.core.errors import InvalidSetting
from vzgym.rewards.base import NEEDS, REWARDS

__all__ = ["FACTS", "ModuleFacts", "describe"]

FACTS: Final = ("Formula", "Range", "Source", "Known to break")
"""Headings of the paragraphs that the docstring of every built-in module has."""


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """Description of a reward module.

    Attributes:
        name: The registered name.
        path: `module:Class`.
        summary: One sentence.
        facts: The paragraphs of `FACTS`, without their headings.
        options: Each option with its default and meaning.
        needs: Required inputs with default options, by name, with their meaning.
        alias_of: The module's own name if it is registered under another.
    """

    name: str
    path: str
    summary: str
    facts: dict[str, str]
    options: dict[str, tuple[Any, str]]
    needs: dict[str, str]
    alias_of: str | None = None


def describe(name: str) -> ModuleFacts:
    """Describe a registered module.

    Raises:
        UnknownName: If there is no such module.
        InvalidSetting: If the docstring lacks one of `FACTS`, which only built-in modules must have.
    """
    factory = REWARDS.get(name)
    text = inspect.cleandoc(inspect.getdoc(factory) or "")
    head, _, arguments = text.partition("\n\nArgs:\n")
    facts = {}
    for fact in FACTS:
        found = re.search(rf"(?:^|\s){fact}: (.*?)(?=\n\n|\s(?:{'|'.join(FACTS)}): |\Z)", head, re.DOTALL)
        if found is None:
            raise InvalidSetting(f"the docstring of reward module {name!r} does not state its {fact.lower()}")
        facts[fact] = " ".join(found.group(1).split())
    module = REWARDS.make(name)
    return ModuleFacts(
        name=name,
        path=f"{type(module).__module__}:{type(module).__qualname__}",
        summary=" ".join(head.partition("\n\n")[0].split()),
        facts=facts,
        options=_options(factory, arguments),
        needs={need: NEEDS[need] for need in sorted(module.needs)},
        alias_of=module.name if module.name != name else None,
    )


def _options(factory: Callable[..., Any], arguments: str) -> dict[str, tuple[Any, str]]:
    said = {
        match.group(1): " ".join(match.group(2).split())
        for match in re.finditer(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |^\S|\Z)", arguments, re.DOTALL | re.MULTILINE)
    }
    if not is_dataclass(factory):
        return {}
    return {
        field.name: (None if field.default is MISSING else field.default, said.get(field.name, ""))
        for field in fields(factory)
        if field.init
    }
