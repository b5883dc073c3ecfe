"""Writes docs/reference/cli.md and docs/reference/settings.md, from the commands' help and the settings' descriptions.

    python docs/command_pages.py

A test checks that the pages are what this writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml
from pydantic import BaseModel

from vzgym.agents import CollectSettings, GRPOSettings, LoraSettings, PretrainSettings, SB3Settings, SFTSettings
from vzgym.cli import app

FOLDER = Path(__file__).parent / "reference"

SETTINGS: dict[str, tuple[str, Any]] = {
    "collect": ("vzgym collect", CollectSettings),
    "pretrain": ("vzgym train pretrain", PretrainSettings),
    "sft": ("vzgym train sft", SFTSettings),
    "grpo": ("vzgym train grpo", GRPOSettings),
    "sb3": ("vzgym train sb3", SB3Settings),
}

CLI_INTRODUCTION = """\
# Command line

`vzgym COMMAND --help` shows the same texts. `python -m vzgym` is the same program.

- A named error is printed as one line on stderr (settings: a line for each fault), and the exit status is 1.
  Wrong usage has status 2.
- `module:Class` is also looked up in the working folder.
- Runs that write to a folder continue there when the command is repeated.
"""

SETTINGS_INTRODUCTION = """\
# Settings files

`vzgym collect` and `vzgym train` read settings from these sources; later ones override earlier ones: defaults,
`--preset NAME`, `--config FILE.yaml`, flags, and `--set name=value`. A settings file has one section per command:

```yaml
collect:
  tasks: needle-tiny/train
  mix: {exemplar: 0.6, reflection: 0.4}
sft:
  learning_rate: 1e-5
  lora: {rank: 16}
grpo:
  reward: {accuracy: 0.9, format: 0.1, conditional_tool: 0.5}
```

`--set lora.rank=8` sets a nested value. All mistakes of a file are reported at once, each with its line:

```text
InvalidSetting: run.yaml:6: sft has no setting 'learning_rat'; did you mean 'learning_rate'? Valid: out, ...
```

A run writes its `settings.yaml` when it starts, after all checks; `--config` reads it. A run that is refused changes
nothing in its folder.

Editors with a YAML language server complete names and mark mistakes: run `vzgym schema train > train.json`, and make
`# yaml-language-server: $schema=train.json` the first line of the file. `vzgym schema` also knows `experiment`
([experiment files](../how-to/experiments.md)), `rewards` ([reward files](rewards.md#compose-a-reward)) and `tasks`
([task files](tasks.md#task-files)).
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group of commands with its full name, in the order of `vzgym --help`."""

    def walk(command: Any, context: Any, path: str) -> Iterator[tuple[str, Any]]:
        if path != "vzgym":
            yield path, command
        if hasattr(command, "list_commands"):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                yield from walk(child, context.__class__(child, info_name=name, parent=context), f"{path} {name}")

    command: Any = typer.main.get_command(app)
    yield from walk(command, command.context_class(command, info_name="vzgym"), "vzgym")


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")


def command_section(path: str, command: Any) -> list[str]:
    """A command's help and its options."""
    lines = [f"{'#' * (path.count(' ') + 1)} `{path}`", "", (command.help or "").split("\f")[0].strip(), ""]
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    rows = []
    for parameter in parameters:
        argument = parameter.param_type_name == "argument"
        name = parameter.name.upper() if argument else ", ".join(parameter.opts + parameter.secondary_opts)
        default = parameter.default
        notes = []
        if parameter.required:
            notes.append("Required.")
        elif default is not None and default is not False and default != [] and not callable(default):
            notes.append(f"Default: `{getattr(default, 'value', default)}`.")
        rows.append(f"| `{name}` | {cell(' '.join([getattr(parameter, 'help', '') or '', *notes]))} |")
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return lines


def cli_page() -> str:
    """The page of all commands."""
    lines = [CLI_INTRODUCTION]
    for path, command in commands():
        lines += command_section(path, command)
    return "\n".join(lines).rstrip() + "\n"


def default_text(value: Any) -> str:
    """A default value, as YAML has it; nothing for an empty one."""
    if value is None or value in ("", (), {}):
        return ""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    elif isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).removesuffix("\n...\n").strip()
    return f"`{cell(text)}`"


def settings_table(settings: Any) -> list[str]:
    """A table of the fields of a settings class."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else default_text(field.get_default(call_default_factory=True))
        lines.append(f"| `{name}` | {default} | {cell(field.description or '')} |")
    return [*lines, ""]


def settings_page() -> str:
    """The page of all settings."""
    lines = [SETTINGS_INTRODUCTION]
    for section, (command, settings) in SETTINGS.items():
        lines += [f"## `{section}`", "", f"Settings of `{command}`.", "", *settings_table(settings)]
    lines += ["## `lora`", "", "Adapters, in the sections `sft` and `grpo`.", "", *settings_table(LoraSettings)]
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    return {"cli.md": cli_page(), "settings.md": settings_page()}


def main() -> None:
    """Write both pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
