"""What all tests share: one Hypothesis profile, and the code blocks of the README and the documentation as tests.

- `python` blocks run. The blocks of a page share a namespace and a temporary working directory.
- `bash` and `console` blocks are read, not run: each `vzgym` command in them must exist, with these options. The
  tutorials' commands are run by `tests/docs/`.
- `json`, `toml` and `yaml` blocks must parse.

A block that cannot be tested says why, in a comment above it: `<!-- skip: next "needs a GPU" -->`.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import settings
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

# The same examples on every machine, however slow it is.
settings.register_profile("vzgym", deadline=None, derandomize=True)
settings.load_profile("vzgym")

# Nothing is fetched, whatever a test names.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# `vzgym view` opens no browser, in the commands that tests start neither.
os.environ["BROWSER"] = "true"


def whole_lines(text: str) -> Iterator[list[str]]:
    """The words of each shell command; a quotation or a backslash carries a command over several lines."""
    begun = ""
    for line in text.replace("\\\n", " ").splitlines():
        begun += line.removeprefix("$ ") if not begun else f"\n{line}"
        if begun.count("'") % 2 or begun.count('"') % 2:
            continue
        yield shlex.split(begun, comments=True)
        begun = ""


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of each `vzgym` command in a block of shell commands, without "vzgym" itself."""
    for words in whole_lines(text):
        while words and "=" in words[0]:  # OMP_NUM_THREADS=1 vzgym ...
            words.pop(0)
        if words and words[0] == "vzgym":
            end = next((i for i, word in enumerate(words) if word in ("|", "&&", ">", ";", "&")), len(words))
            yield words[1:end]


def check_commands(example: Example) -> str | None:
    """Read each `vzgym` command of a block with the parser of the command that it names."""
    import typer.main

    from vzgym.cli import app, complete_ray

    for words in command_lines(str(example.parsed)):
        command: Any = typer.main.get_command(app)
        context = command.context_class(command, info_name="vzgym")
        rest = complete_ray(words)
        while hasattr(command, "get_command") and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            child = command.get_command(context, name)
            if child is None:
                return f"vzgym {shlex.join(words)}: there is no command {name!r} in {context.command_path!r}"
            context = child.context_class(child, info_name=name, parent=context)
            command = child
        # Raises an error that names the option, if there is no such option.
        command.make_parser(context).parse_args(rest)
    return None


def check_yaml(example: Example) -> None:
    """Parse a block of YAML."""
    yaml.safe_load(str(example.parsed))


def check_json(example: Example) -> None:
    """Parse a block of JSON, or of JSON lines."""
    text = str(example.parsed)
    try:
        json.loads(text)
    except json.JSONDecodeError:
        for line in text.splitlines():
            json.loads(line)


def check_toml(example: Example) -> None:
    """Parse a block of TOML."""
    tomllib.loads(str(example.parsed))


class _Surroundings:
    """A temporary working directory for a page, and the registries as they were before it."""

    def __init__(self) -> None:
        from vzgym.envs import ACTIONS, OBSERVATIONS
        from vzgym.policies import POLICIES
        from vzgym.protocols import PROTOCOLS
        from vzgym.rewards import REWARDS
        from vzgym.scorers import SCORERS
        from vzgym.tasks import FAMILIES, SUITES
        from vzgym.tasks.benchmarks import BENCHMARKS

        self.folder = Path.cwd()
        self.temporary = tempfile.TemporaryDirectory()
        registries: list[Any] = [
            ACTIONS,
            BENCHMARKS,
            FAMILIES,
            OBSERVATIONS,
            POLICIES,
            PROTOCOLS,
            REWARDS,
            SCORERS,
            SUITES,
        ]
        for registry in registries:
            registry.names()  # the built-in components are registered on first use
        self.registered = [(registry, dict(registry._factories)) for registry in registries]
        os.chdir(self.temporary.name)

    def restore(self) -> None:
        os.chdir(self.folder)
        self.temporary.cleanup()
        for registry, factories in self.registered:
            registry._factories.clear()
            registry._factories.update(factories)


def enter_page(namespace: dict[str, Any]) -> None:
    """Before the first block of a page."""
    namespace["_surroundings"] = _Surroundings()


def leave_page(namespace: dict[str, Any]) -> None:
    """After its last block."""
    namespace["_surroundings"].restore()


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=check_commands),
        CodeBlockParser(language="console", evaluator=check_commands),
        CodeBlockParser(language="json", evaluator=check_json),
        CodeBlockParser(language="toml", evaluator=check_toml),
        CodeBlockParser(language="yaml", evaluator=check_yaml),
        SkipParser(),
    ],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=enter_page,
    teardown=leave_page,
).pytest()
