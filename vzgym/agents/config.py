"""Settings from presets, YAML files and flags, into typed dataclasses. Mistakes are named with file and line.

Later sources win: the dataclass's own defaults, then the preset, then the file, then single overrides. A preset is a
YAML file in `vzgym/agents/presets/`, of the very form that a user's own file has:

```yaml
sft:                    # one section a stage: collect, warmup, sft, grpo
  learning_rate: 2e-3
  lora: {rank: 16}
grpo:
  reward: {accuracy: 0.9, format: 0.1, conditional_tool: 0.5}
```

A file for one stage alone may leave the section's name out.
"""

from __future__ import annotations

import collections.abc
import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from vzgym.core.errors import InvalidSetting, UnknownName

__all__ = ["SECTIONS", "load_settings", "parse_overrides", "preset_names", "save_settings", "section_of", "to_yaml"]

S = TypeVar("S")

SECTIONS = ("collect", "warmup", "sft", "grpo")
"""The stages, in the order in which they are run; sections of a settings file."""


@dataclass(frozen=True)
class _Item:
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


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    folder = resources.files("vzgym.agents") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_settings(
    cls: type[S],
    preset: str | None = None,
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> S:
    """Settings of one stage.

    Args:
        cls: The dataclass to fill.
        preset: A preset's name.
        file: A YAML file: of sections, or of this stage's settings alone.
        overrides: Single settings by name, over everything else. A dotted name reaches into a nested one
            (`lora.rank`). Values are Python values; `parse_overrides` makes them of "name=value" texts.

    Raises:
        UnknownName: If there is no such preset.
        InvalidSetting: If the file cannot be read, a name is no setting (the message gives the place and lists the
            valid names), a value is of the wrong type, or the dataclass refuses it.
    """
    layers: list[dict[str, _Item]] = []
    if preset is not None:
        if preset not in preset_names():
            raise UnknownName("preset", preset, preset_names(), "Settings of your own go into a YAML file: --config.")
        text = (resources.files("vzgym.agents") / "presets" / f"{preset}.yaml").read_text(encoding="utf-8")
        layers.append(_section(_read(text, f"preset {preset!r}"), cls, f"preset {preset!r}"))
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSetting(f"cannot read the settings file {file}: {error}") from error
        layers.append(_section(_read(text, str(file)), cls, str(file)))
    layers.extend({name.partition(".")[0]: _override(name, value)} for name, value in (overrides or {}).items())
    merged: dict[str, _Item] = {}
    for layer in layers:
        _check_names(cls, layer)
        merged = _merge(cls, merged, layer)
    return _build(cls, merged)


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """`["learning_rate=2e-3", "lora.rank=8"]` as a mapping, values read as YAML.

    Raises:
        InvalidSetting: If a pair has no "=", or its value is no YAML.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark or not name.strip():
            raise InvalidSetting(f"--set takes name=value, such as learning_rate=1e-4; got {pair!r}")
        try:
            # A subclass of the safe loader: plain data only.
            found[name.strip()] = yaml.load(value, Loader=_Loader)
        except yaml.YAMLError as error:
            raise InvalidSetting(f"--set {pair}: the value is not YAML: {error}") from error
    return found


def to_yaml(settings: Any) -> str:
    """Settings as YAML text under their section's name: what `load_settings` reads back to equal settings."""
    values = {key: _plain(value) for key, value in asdict(settings).items()}
    return yaml.safe_dump({section_of(type(settings)): values}, sort_keys=False, allow_unicode=True)


def save_settings(settings: Any, folder: str | Path) -> Path:
    """Write what was run beside its results, as `settings.yaml`; returns the file."""
    path = Path(folder) / "settings.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml(settings), encoding="utf-8")
    return path


# Reading -------------------------------------------------------------------------------------------------------


def _read(text: str, source: str) -> dict[str, _Item]:
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
        raise InvalidSetting(f"{tree.where}: settings are 'name: value' lines, got {tree.value!r}")
    return tree.value


def _tree(loader: _Loader, node: yaml.Node, source: str) -> _Item:
    where = f"{source}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        values: dict[str, _Item] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            place = f"{source}:{key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise InvalidSetting(f"{place}: a setting's name is text, got {key!r}")
            if key in values:
                raise InvalidSetting(f"{place}: {key!r} is given twice (before at {values[key].where})")
            # The place of a setting is that of its name: a nested value may start lines below.
            values[key] = _Item(_tree(loader, value_node, source).value, place)
        return _Item(values, where)
    if isinstance(node, yaml.SequenceNode):
        return _Item([_tree(loader, child, source) for child in node.value], where)
    return _Item(loader.construct_object(node, deep=True), where)


def _section(values: dict[str, _Item], cls: type[Any], source: str) -> dict[str, _Item]:
    """The settings of one stage out of a file."""
    wanted = section_of(cls)
    named = [key for key in values if key in SECTIONS]
    if not named:
        return values
    for key, item in values.items():
        if key not in SECTIONS:
            raise InvalidSetting(
                f"{item.where}: {key!r} stands beside the section {named[0]!r}: put it into a section; "
                f"sections: {', '.join(SECTIONS)}"
            )
        if not isinstance(item.value, dict) and item.value is not None:
            raise InvalidSetting(f"{item.where}: section {key!r} must hold 'name: value' lines, got {item.value!r}")
    if wanted not in values:
        raise InvalidSetting(f"{source} has no section {wanted!r}; it has: {', '.join(named)}")
    return values[wanted].value or {}


def _override(name: str, value: Any) -> _Item:
    where = f"--set {name}"
    item = _wrap(value, where)
    for part in reversed(name.split(".")[1:]):
        item = _Item({part: item}, where, merges=True)
    return item


def _wrap(value: Any, where: str) -> _Item:
    if isinstance(value, Mapping):
        return _Item({str(key): _wrap(inner, where) for key, inner in value.items()}, where)
    if isinstance(value, (list, tuple)):
        return _Item([_wrap(inner, where) for inner in value], where)
    return _Item(value, where)


# Checking ------------------------------------------------------------------------------------------------------


def _check_names(cls: type[Any], layer: Mapping[str, _Item]) -> None:
    valid = [field.name for field in fields(cls) if field.init]
    for name, item in layer.items():
        if name not in valid:
            close = difflib.get_close_matches(name, valid, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else ";"
            raise InvalidSetting(
                f"{item.where}: {section_of(cls)} has no setting {name!r}{guess} valid: {', '.join(valid)}"
            )


def _merge(cls: type[Any], below: Mapping[str, _Item], above: Mapping[str, _Item]) -> dict[str, _Item]:
    hints = typing.get_type_hints(cls)
    merged = dict(below)
    for name, item in above.items():
        nested = _dataclass_in(hints[name])
        if isinstance(item.value, dict) and (item.merges or nested is not None):
            if nested is not None:
                _check_names(nested, item.value)
            merged[name] = _lay_over(below.get(name), item, name)
        else:
            merged[name] = item
    return merged


def _lay_over(below: _Item | None, above: _Item, name: str) -> _Item:
    if below is None or below.value is None:
        return above
    if not isinstance(below.value, dict):
        raise InvalidSetting(
            f"{above.where}: {name} is {below.value!r} (from {below.where}), which has no parts to set: give all of it"
        )
    values = dict(below.value)
    for key, item in above.value.items():
        values[key] = _lay_over(values.get(key), item, f"{name}.{key}") if item.merges else item
    return _Item(values, above.where, above.merges)


def _build(cls: type[S], values: Mapping[str, _Item]) -> S:
    _check_names(cls, values)
    hints = typing.get_type_hints(cls)
    converted = {name: _convert(item, hints[name], name) for name, item in values.items()}
    try:
        return cls(**converted)
    except InvalidSetting as error:
        # The dataclass knows the rule, this function the place.
        places = [f"{name} stands at {item.where}" for name, item in values.items() if f".{name} " in str(error)]
        raise InvalidSetting(f"{error} ({'; '.join(places)})" if places else str(error)) from error


def _dataclass_in(hint: Any) -> type[Any] | None:
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and is_dataclass(candidate):
            return candidate
    return None


def _convert(item: _Item, hint: Any, name: str) -> Any:
    """The value as the type says.

    Raises:
        InvalidSetting: If it is of another type.
    """
    value, origin, inner = item.value, typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _unwrap(item)
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
        return _build(hint, value)
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


def _unwrap(item: _Item) -> Any:
    if isinstance(item.value, dict):
        return {key: _unwrap(child) for key, child in item.value.items()}
    if isinstance(item.value, list):
        return [_unwrap(child) for child in item.value]
    return item.value


def _wrong(item: _Item, hint: Any, name: str) -> InvalidSetting:
    found = _unwrap(item)
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
    if origin in (dict, collections.abc.Mapping) or _dataclass_in(hint):
        return "a mapping"
    if origin in (list, tuple, collections.abc.Sequence):
        return f"a list ({_words(inner[0])})"
    return str(hint)


def _plain(value: Any) -> Any:
    """Only what YAML has words for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
