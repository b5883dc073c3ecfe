"""The `vzgym` command; one file a command."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.text import Text

from vzgym.cli import (
    ablate,
    check,
    collect,
    compare,
    data,
    demo,
    doctor,
    evaluate,
    replay,
    rewards,
    schema,
    tasks,
    train,
    videos,
)
from vzgym.cli.progress import errors, say
from vzgym.core.errors import VzgymError
from vzgym.core.files import is_disk_full

__all__ = ["app", "main"]

app = typer.Typer(
    name="vzgym",
    help="The gym for agentic video reinforcement learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("eval")(evaluate.evaluate_command)
app.command("ablate")(ablate.ablate)
app.command("compare")(compare.compare)
app.command("replay")(replay.replay_command)
app.command("doctor")(doctor.doctor)
app.command("check")(check.check_command)
app.command("collect")(collect.collect_command)
app.command("schema")(schema.schema)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(rewards.app, name="rewards")
app.add_typer(tasks.app, name="tasks")
app.add_typer(videos.app, name="videos")


def main() -> None:
    """Run the command line. A named error becomes one line on stderr and exit status 1.

    So does a file or folder that cannot be written or read, and a full disk. Any other fault that names no path is none
    of the user's, and keeps its traceback.
    """
    # A command knows no working folder, but "my_module:MyPolicy" is looked for there. Last, so that it hides nothing.
    sys.path.append(str(Path.cwd()))
    _print_own_warnings()
    try:
        app()
    except VzgymError as error:
        _fail(type(error).__name__, str(error))
    except Exception as error:
        path = _path_of(error)
        if is_disk_full(error):
            _fail("DiskFull", f"{_disk_full_words(error, path)}. Free some space and run the same command again")
        if path is None:
            raise
        _fail(type(error).__name__, f"cannot write or read {path}: {getattr(error, 'strerror', None) or error}")


def _path_of(error: Exception) -> str | None:
    """The file that an error of the system names; None if it names none."""
    if not isinstance(error, OSError):
        return None
    # Of two paths (a finished file that is moved to its place) the user has named the second.
    path = error.filename if error.filename2 is None else error.filename2
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None


def _disk_full_words(error: Exception, path: str | None) -> str:
    where = f"cannot write {path}: " if path is not None else ""
    return f"{where}{getattr(error, 'strerror', None) or error}"


def _print_own_warnings() -> None:
    """Print our own warnings as one line, without the place in the code."""
    show = warnings.showwarning

    def one_line(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if category.__module__.startswith("vzgym."):
            say(f"Warning: {message}", errors)
        else:
            show(message, category, *place, **more)

    warnings.showwarning = one_line


def _fail(name: str, message: str) -> NoReturn:
    """Print an error as one line and exit."""
    # No markup in the message: brackets in it are its own.
    line = Text.assemble((name, "bold red"), f": {' '.join(message.split())}")
    errors.print(line, soft_wrap=True)
    sys.exit(1)
