"""Settings of runs from presets, YAML files and command-line flags. Errors name file and line.

Later sources override earlier ones: defaults, preset, file, single overrides. A preset is a YAML file in
`vzgym/agents/training/presets/`, with the same structure as a user's own file:

```yaml
sft:                    # a section for each stage: collect, pretrain, sft, grpo, sb3
  learning_rate: 2e-3
  lora: {rank: 16}
grpo:
  reward: {accuracy: 0.9, format: 0.1, conditional_tool: 0.5}
```

A file for one stage alone may omit the section's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.sb3.settings import SB3Settings
from vzgym.agents.training.settings import GRPOSettings, PretrainSettings, SFTSettings
from vzgym.core.documents import Document, read_file, read_text, read_value
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.files import write_text
from vzgym.core.settings import Settings, build, merged, plain, section_of

__all__ = [
    "SETTINGS",
    "STAGES",
    "SettingsFile",
    "load_settings",
    "parse_overrides",
    "preset_names",
    "save_settings",
    "to_yaml",
]

S = TypeVar("S", bound=Settings)

SETTINGS = "settings.yaml"
"""The file in a run's folder with its settings."""

STAGES: Mapping[str, type[Settings]] = {
    section_of(cls): cls for cls in (CollectSettings, PretrainSettings, SFTSettings, GRPOSettings, SB3Settings)
}
"""The settings of each stage, by the name of its section in a settings file."""


class SettingsFile(Settings):
    """A settings file of `vzgym collect` and `vzgym train`: a section for each stage."""

    collect: CollectSettings | None = None
    pretrain: PretrainSettings | None = None
    sft: SFTSettings | None = None
    grpo: GRPOSettings | None = None
    sb3: SB3Settings | None = None


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    folder = resources.files("vzgym.agents.training") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_settings(
    cls: type[S],
    preset: str | None = None,
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    section: Document | None = None,
) -> S:
    """Load the settings of one stage.

    Args:
        cls: The settings class.
        preset: Name of a preset.
        file: A YAML file: of sections, or of this stage's settings alone.
        overrides: Single settings by name, over everything else. A dotted name reaches into a nested one
            (`lora.rank`). Values are Python values; `parse_overrides` parses "name=value" texts.
        section: This stage's section of an already parsed file; overrides `file`, overridden by `overrides`.

    Raises:
        UnknownName: If there is no such preset.
        InvalidSetting: If the file cannot be read, a name is unknown, or a value is invalid. Lists every fault with
            its place.
    """
    layers = []
    if preset is not None:
        if preset not in preset_names():
            raise UnknownName("preset", preset, preset_names(), "For custom settings use a YAML file: --config.")
        text = (resources.files("vzgym.agents.training") / "presets" / f"{preset}.yaml").read_text(encoding="utf-8")
        layers.append(_section(read_text(text, f"preset {preset!r}"), cls))
    if file is not None:
        layers.append(_section(read_file(file), cls))
    if section is not None:
        layers.append(section)
    found = merged(cls, layers)
    for name, value in (overrides or {}).items():
        found = found.override(name, value, f"--set {name}")
    return build(cls, found)


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `["learning_rate=2e-3", "lora.rank=8"]` into a mapping, with values read as YAML.

    Raises:
        InvalidSetting: If a pair has no "=", or its value is not YAML.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark or not name.strip():
            raise InvalidSetting(f"--set takes name=value, such as learning_rate=1e-4; got {pair!r}")
        found[name.strip()] = read_value(value, f"--set {pair}")
    return found


class _Dumper(yaml.SafeDumper):
    """Writes values without a YAML type (a torch dtype, given from Python) as text."""


_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(str(value)))


def to_yaml(settings: Settings) -> str:
    """Dump settings as YAML text under their section's name; `load_settings` restores equal settings."""
    # A mixture given by name is written as a name.
    values = plain(settings.model_dump())
    return yaml.dump({section_of(type(settings)): values}, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def save_settings(settings: Settings, folder: str | Path) -> Path:
    """Write the settings of a run to `settings.yaml` in its folder, and return the file."""
    path = Path(folder) / SETTINGS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, to_yaml(settings))
    return path


def _section(document: Document, cls: type[Settings]) -> Document:
    """The settings of one stage in a file."""
    values, wanted = document.data, section_of(cls)
    named = [key for key in values if key in STAGES] if isinstance(values, Mapping) else []
    if not named:
        return document
    for key, value in values.items():
        if key not in STAGES:
            raise InvalidSetting(
                f"{document.where(key)}: {key!r} is outside the sections; move it into one of {', '.join(named)}"
            )
        if not isinstance(value, Mapping) and value is not None:
            raise InvalidSetting(f"{document.where(key)}: section {key!r} must be a mapping, got {value!r}")
    if wanted not in values:
        raise InvalidSetting(f"{document.source} has no section {wanted!r}; it has: {', '.join(named)}")
    return document.part(wanted, values[wanted])
