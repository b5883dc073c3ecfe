"""Typed settings from YAML: values that know their line, and dataclasses made of them.

`read_items` reads a text into `Item`s, each with its place; `build` makes a dataclass of them by its type hints. A
wrong name, type or value is an `InvalidSetting` that names file and line, and the names that would have been right.
"""

from __future__ import annotations

import collections.abc
import difflib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from vzgym.core.errors import InvalidSetting, UnknownName

__all__ = [
    "Item",
    "build",
    "check_names",
    "merge",
    "plain",
    "read_file",
    "read_items",
    "read_value",
    "section_of",
    "unwrap",
    "wrap",
]

S = TypeVar("S")


@dataclass(frozen=True)
class Item:
    """A value and the place where it was written. Mappings and lists hold items again."""

    value: Any
    where: str
    merges: bool = False
    """Whether a mapping is laid over the one below it, key by key, instead of taking its place."""


class _Loader(yaml.SafeLoader):
    """Reads `2e-3` as a number, which YAML 1.1 takes for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    # All that has an exponent; everything else is resolved as before.
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def section_of(cls: type[Any]) -> str:
    """The section that holds a settings class: `SFTSettings` is "sft"."""
    return cls.__name__.removesuffix("Settings").lower()


def read_value(text: str) -> Any:
    """A single value, as YAML reads it; numbers with an exponent are numbers."""
    # A subclass of the safe loader: plain data only.
    return yaml.load(text, Loader=_Loader)


def read_file(path: str | Path) -> dict[str, Item]:
    """The settings of a YAML file, by name.

    Raises:
        InvalidSetting: If it cannot be read, or is no mapping of names to values.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"cannot read the settings file {path}: {error}") from error
    return read_items(text, str(path))


def read_items(text: str, source: str) -> dict[str, Item]:
    """The settings of a YAML text, by name.

    Args:
        text: The YAML.
        source: Where it comes from, for messages.

    Raises:
        InvalidSetting: If it is no YAML, no mapping of names to values, or gives a name twice; with the line.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        tree = _tree(loader, node, source)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidSetting(f"{source}{line}: not YAML: {error.problem}") from error
    finally:
        loader.dispose()
    if not isinstance(tree.value, dict):
        raise InvalidSetting(f"{tree.where}: settings are 'name: value' lines, got {unwrap(tree)!r}")
    return tree.value


def _tree(loader: _Loader, node: yaml.Node, source: str) -> Item:
    where = f"{source}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Item] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            place = f"{source}:{key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise InvalidSetting(f"{place}: a setting's name is text, got {key!r}")
            if key in values:
                raise InvalidSetting(f"{place}: {key!r} is given twice (before at {values[key].where})")
            # The place of a setting is that of its name: a nested value may start lines below.
            values[key] = Item(_tree(loader, value_node, source).value, place)
        return Item(values, where)
    if isinstance(node, yaml.SequenceNode):
        return Item([_tree(loader, child, source) for child in node.value], where)
    return Item(loader.construct_object(node, deep=True), where)


def wrap(value: Any, where: str) -> Item:
    """A Python value as an item, all of it from one place."""
    if isinstance(value, Mapping):
        return Item({str(key): wrap(inner, where) for key, inner in value.items()}, where)
    if isinstance(value, (list, tuple)):
        return Item([wrap(inner, where) for inner in value], where)
    return Item(value, where)


def check_names(cls: type[Any], layer: Mapping[str, Item]) -> None:
    """Check that each name is a field of the dataclass.

    Raises:
        InvalidSetting: If one is not; with its place, a close name, and all valid ones.
    """
    valid = [field.name for field in fields(cls) if field.init]
    for name, item in layer.items():
        if name not in valid:
            close = difflib.get_close_matches(name, valid, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else ";"
            raise InvalidSetting(
                f"{item.where}: {section_of(cls)} has no setting {name!r}{guess} valid: {', '.join(valid)}"
            )


def merge(cls: type[Any], below: Mapping[str, Item], above: Mapping[str, Item]) -> dict[str, Item]:
    """Lay settings over others: nested dataclasses setting by setting, anything else as a whole."""
    hints = typing.get_type_hints(cls)
    merged = dict(below)
    for name, item in above.items():
        nested = _dataclass_in(hints[name])
        if isinstance(item.value, dict) and (item.merges or nested is not None):
            if nested is not None:
                check_names(nested, item.value)
            merged[name] = _lay_over(below.get(name), item, name)
        else:
            merged[name] = item
    return merged


def _lay_over(below: Item | None, above: Item, name: str) -> Item:
    if below is None or below.value is None:
        return above
    if not isinstance(below.value, dict):
        raise InvalidSetting(
            f"{above.where}: {name} is {below.value!r} (from {below.where}), which has no parts to set: give all of it"
        )
    values = dict(below.value)
    for key, item in above.value.items():
        values[key] = _lay_over(values.get(key), item, f"{name}.{key}") if item.merges else item
    return Item(values, above.where, above.merges)


def build(cls: type[S], values: Mapping[str, Item]) -> S:
    """Make the dataclass.

    Raises:
        InvalidSetting: If a name is no field, a value that must be given is not, one has the wrong type, or the
            dataclass refuses it; with the place.
        UnknownName: If the dataclass knows no such name; with the place.
    """
    check_names(cls, values)
    hints = typing.get_type_hints(cls)
    _check_given(cls, values, hints)
    converted = {name: _convert(item, hints[name], name) for name, item in values.items()}
    try:
        return cls(**converted)
    except InvalidSetting as error:
        # The dataclass knows the rule, this function the place.
        places = [f"{name} stands at {item.where}" for name, item in values.items() if f".{name} " in str(error)]
        raise InvalidSetting(f"{error} ({'; '.join(places)})" if places else str(error)) from error
    except UnknownName as error:
        where = next((item.where for item in values.values() if _holds(item, error.name)), "")
        hint = f"{error.hint} ({where})".strip() if where else error.hint
        raise UnknownName(error.kind, error.name, error.valid, hint) from error


def _check_given(cls: type[Any], values: Mapping[str, Item], hints: Mapping[str, Any]) -> None:
    """Check that no field without a default is left out: the dataclass itself would raise a `TypeError`."""
    for field in fields(cls):
        needed = field.init and field.default is MISSING and field.default_factory is MISSING
        if needed and field.name not in values:
            raise InvalidSetting(f"{section_of(cls)} must say its {field.name!r}, {_words(hints[field.name])}")


def _holds(item: Item, name: str) -> bool:
    """Whether a name stands somewhere in a value, as key or as value."""
    if isinstance(item.value, dict):
        return name in item.value or any(_holds(child, name) for child in item.value.values())
    if isinstance(item.value, list):
        return any(_holds(child, name) for child in item.value)
    return bool(item.value == name)


def _dataclass_in(hint: Any) -> type[Any] | None:
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and is_dataclass(candidate):
            return candidate
    return None


def _convert(item: Item, hint: Any, name: str) -> Any:
    """The value as the type says.

    Raises:
        InvalidSetting: If it is of another type.
    """
    value, origin, inner = item.value, typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return unwrap(item)
    if origin in (typing.Union, types.UnionType):
        for choice in inner:
            try:
                return _convert(item, choice, name)
            except InvalidSetting:
                if _dataclass_in(choice) is not None and isinstance(value, dict):
                    raise
        raise _wrong(item, hint, name)
    if origin is Literal:
        if value in inner and type(value) in {type(choice) for choice in inner}:
            return value
        raise InvalidSetting(f"{item.where}: {name} must be one of {', '.join(map(repr, inner))}, got {value!r}")
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, dict):
        try:
            return build(hint, value)
        except InvalidSetting as error:
            # What the dataclass says of itself as a whole has no place yet.
            if item.where.rpartition(":")[0] in str(error):
                raise
            raise InvalidSetting(f"{item.where}: {error}") from error
    if origin in (dict, collections.abc.Mapping) and isinstance(value, dict):
        return {key: _convert(child, inner[1] if inner else Any, f"{name}.{key}") for key, child in value.items()}
    if origin in (list, tuple, collections.abc.Sequence) and isinstance(value, list):
        items = [_convert(child, inner[0], f"{name}[{place}]") for place, child in enumerate(value)]
        return items if origin is list else tuple(items)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (None, type(None)) and value is None:
        return None
    if hint in (str, int, bool) and type(value) is hint:
        return value
    raise _wrong(item, hint, name)


def unwrap(item: Item) -> Any:
    """The plain value of an item."""
    if isinstance(item.value, dict):
        return {key: unwrap(child) for key, child in item.value.items()}
    if isinstance(item.value, list):
        return [unwrap(child) for child in item.value]
    return item.value


def _wrong(item: Item, hint: Any, name: str) -> InvalidSetting:
    found = unwrap(item)
    kind = "nothing" if found is None else f"{found!r}, which is {type(found).__name__}"
    return InvalidSetting(f"{item.where}: {name} must be {_words(hint)}, got {kind}")


def _words(hint: Any) -> str:
    """A type in words."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    if hint in names:
        return names[hint]
    if hint in (None, type(None)):
        return "null"
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(choice) for choice in inner)
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    # Before the dataclasses: a list of them is a list.
    if origin in (list, tuple, collections.abc.Sequence):
        return f"a list ({_words(inner[0])})"
    if origin in (dict, collections.abc.Mapping) or _dataclass_in(hint):
        return "a mapping"
    return str(hint)


def plain(value: Any) -> Any:
    """A value in the words that YAML and JSON have: mappings, lists, texts, numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
