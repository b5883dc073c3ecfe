"""Settings from presets, YAML files and flags, into typed dataclasses. Mistakes are named with file and line.

Later sources win: the dataclass's own defaults, then the preset, then the file, then single overrides. A preset is a
YAML file in `vzgym/agents/training/presets/`, of the very form that a user's own file has:

```yaml
sft:                    # one section a stage: collect, pretrain, sft, grpo
  learning_rate: 2e-3
  lora: {rank: 16}
grpo:
  reward: {accuracy: 0.9, format: 0.1, conditional_tool: 0.5}
```

A file for one stage alone may leave the section's name out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vzgym.agents.training.typed_yaml import (
    Item,
    build,
    check_names,
    merge,
    plain,
    read_file,
    read_items,
    read_value,
    section_of,
    wrap,
)
from vzgym.core.errors import InvalidSetting, UnknownName

__all__ = ["SECTIONS", "load_settings", "parse_overrides", "preset_names", "save_settings", "section_of", "to_yaml"]

S = TypeVar("S")

SECTIONS = ("collect", "pretrain", "sft", "grpo")
"""The stages, in the order in which they are run; sections of a settings file."""


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    folder = resources.files("vzgym.agents.training") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_settings(
    cls: type[S],
    preset: str | None = None,
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    section: Mapping[str, Item] | None = None,
) -> S:
    """Settings of one stage.

    Args:
        cls: The dataclass to fill.
        preset: A preset's name.
        file: A YAML file: of sections, or of this stage's settings alone.
        overrides: Single settings by name, over everything else. A dotted name reaches into a nested one
            (`lora.rank`). Values are Python values; `parse_overrides` makes them of "name=value" texts.
        section: This stage's settings out of a file that was read already; over `file`, below `overrides`.

    Raises:
        UnknownName: If there is no such preset.
        InvalidSetting: If the file cannot be read, a name is no setting (the message gives the place and lists the
            valid names), a value is of the wrong type, or the dataclass refuses it.
    """
    layers: list[dict[str, Item]] = []
    if preset is not None:
        if preset not in preset_names():
            raise UnknownName("preset", preset, preset_names(), "Settings of your own go into a YAML file: --config.")
        text = (resources.files("vzgym.agents.training") / "presets" / f"{preset}.yaml").read_text(encoding="utf-8")
        layers.append(_section(read_items(text, f"preset {preset!r}"), cls, f"preset {preset!r}"))
    if file is not None:
        layers.append(_section(read_file(file), cls, str(file)))
    layers.append(dict(section or {}))
    layers.extend({name.partition(".")[0]: _override(name, value)} for name, value in (overrides or {}).items())
    merged: dict[str, Item] = {}
    for layer in layers:
        check_names(cls, layer)
        merged = merge(cls, merged, layer)
    return build(cls, merged)


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
            found[name.strip()] = read_value(value)
        except yaml.YAMLError as error:
            raise InvalidSetting(f"--set {pair}: the value is not YAML: {error}") from error
    return found


class _Dumper(yaml.SafeDumper):
    """Writes what YAML has no word for (a dtype of torch, given from Python) as its text."""


_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(str(value)))


def to_yaml(settings: Any) -> str:
    """Settings as YAML text under their section's name: what `load_settings` reads back to equal settings."""
    values = {key: plain(value) for key, value in asdict(settings).items()}
    return yaml.dump({section_of(type(settings)): values}, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def save_settings(settings: Any, folder: str | Path) -> Path:
    """Write what was run beside its results, as `settings.yaml`; returns the file."""
    path = Path(folder) / "settings.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_yaml(settings), encoding="utf-8")
    return path


def _section(values: dict[str, Item], cls: type[Any], source: str) -> dict[str, Item]:
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


def _override(name: str, value: Any) -> Item:
    where = f"--set {name}"
    item = wrap(value, where)
    for part in reversed(name.split(".")[1:]):
        item = Item({part: item}, where, merges=True)
    return item
