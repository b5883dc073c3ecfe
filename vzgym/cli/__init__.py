"""The `vzgym` command, with one module for each subcommand.

Modules are imported when their commands run, so that `vzgym --help` and `vzgym replay` load no training code.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

import vzgym
from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.core.files import is_disk_full

__all__ = ["COMMANDS", "app", "complete_ray", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo:demo", "Show agents searching videos, then train a small model."),
    "eval": ("evaluate:evaluate_command", "Evaluate policies on tasks: accuracy with intervals, and cost."),
    "ablate": ("ablate:ablate", "Run an experiment: a grid of rewards, learners, tasks and seeds."),
    "compare": ("compare:compare", "Compare runs on the tasks that they share."),
    "play": ("play:play_command", "Play episodes yourself, in the browser or the terminal."),
    "view": ("view:view", "Show runs on a page: episodes with frames, dialogue and rewards."),
    "replay": ("replay:replay_command", "Play saved records again and print what differs."),
    "doctor": ("doctor:doctor", "Print what is installed, which decoders work, and the machine."),
    "check": ("check:check_command", "Check a custom component against its contract."),
    "collect": ("collect:collect_command", "Collect trajectories for the cold start."),
    "schema": ("schema:schema", "Print the JSON schema of a settings file, for editors."),
    "data": ("data:app", "Convert trajectories and tasks from and to other formats."),
    "train": ("train:app", "Train a model to zoom: pretrain, sft, grpo, sb3."),
    "push": ("push:push", "Publish a trained model on the Hugging Face hub, with a card."),
    "rewards": ("rewards:app", "List and show reward modules, score a saved run."),
    "envs": ("envs:list_envs", "List the environment ids of gymnasium.make."),
    "tasks": ("tasks:app", "List, show, write, verify, score and import tasks."),
    "bench": ("bench:app", "List, check, download and score published benchmarks."),
    "paper": ("paper:paper_command", "Reproduce the tables of a paper, or say what they need and cost."),
    "serve": ("serve:app", "Serve episodes to agents and trainers of other ecosystems: mcp, openenv."),
    "videos": ("videos:app", "Check video files, remux them, build frame stores."),
}
"""Commands: location ("module:function" or "module:app" in `vzgym.cli`) and summary in `vzgym --help`."""


def complete_ray(arguments: Sequence[str]) -> list[str]:
    """Arguments in which `--ray` has a value; typer has no options with an optional one."""
    following = [*arguments[1:], "-"]
    return [
        "--ray=local" if argument == "--ray" and after.startswith("-") else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


class _LazyGroup(TyperGroup):
    """A group of commands whose modules are imported when they run."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; while help is printed, a placeholder with its name and help text."""
        if cmd_name not in COMMANDS:
            return None
        place, help_text = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=help_text) if self._listing else _load(cmd_name, place)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As in the base class, which suggests names for a mistyped one."""
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # only its keys are used
        return super().resolve_command(ctx, complete_ray(args))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As in the base class, without importing the commands."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def _load(name: str, place: str) -> Any:
    """Import a command."""
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"vzgym.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        loaded: Any = get_group(found)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name)(found)
        loaded = get_command(single)
    loaded.name = name
    return loaded


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vzgym {vzgym.__version__}")
        raise typer.Exit


app = typer.Typer(
    name="vzgym",
    cls=_LazyGroup,
    help="The gym for agentic video reinforcement learning.",
    no_args_is_help=True,
    # Plain help: importing the formatter for Markdown takes longer than all of typer.
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The gym for agentic video reinforcement learning."""


def main() -> None:
    """Run the command line. A named error becomes one line on stderr (settings: one for each fault) and exit status 1.

    The same applies to files and folders that cannot be read or written, and to a full disk. Other errors keep their
    traceback.
    """
    # "my_module:MyPolicy" is also looked up in the working folder, last, so that it shadows nothing.
    sys.path.append(str(Path.cwd()))
    _print_own_warnings()
    try:
        app()
    except Exception as error:
        path = _path_of(error)
        if is_disk_full(error):
            _fail("DiskFull", f"{_disk_full_words(error, path)}. Free some space and run the same command again")
        if isinstance(error, VzgymError):
            # Settings have several faults, each with its place.
            faults = str(error).splitlines() if isinstance(error, InvalidSetting) else [str(error)]
            _fail(type(error).__name__, *faults)
        if path is None:
            raise
        _fail(type(error).__name__, f"cannot write or read {path}: {getattr(error, 'strerror', None) or error}")


def _path_of(error: Exception) -> str | None:
    """File named by a system error; None if there is none."""
    if not isinstance(error, OSError):
        return None
    # Of two paths (a file moved to its destination), the second is the one that the user gave.
    path = error.filename if error.filename2 is None else error.filename2
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None


def _disk_full_words(error: Exception, path: str | None) -> str:
    where = f"cannot write {path}: " if path is not None else ""
    return f"{where}{getattr(error, 'strerror', None) or error}"


def _print_own_warnings() -> None:
    """Print vzgym's warnings as one line, without the location in the code."""
    show = warnings.showwarning

    def one_line(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if category.__module__.startswith("vzgym."):
            from vzgym.cli.progress import errors, say

            say(f"Warning: {message}", errors)
        else:
            show(message, category, *place, **more)

    warnings.showwarning = one_line


def _fail(name: str, *messages: str) -> NoReturn:
    """Print an error, each of its messages as one line, and exit."""
    from rich.text import Text

    from vzgym.cli.progress import errors

    # Messages are plain text: brackets in them are not markup.
    lines = "\n".join(" ".join(message.split()) for message in messages)
    errors.print(Text.assemble((name, "bold red"), f": {lines}"), soft_wrap=True)
    sys.exit(1)
