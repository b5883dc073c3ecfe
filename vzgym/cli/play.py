"""`vzgym play`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vzgym.cli.evaluate import budget_from_pairs, run_folder
from vzgym.cli.named_tasks import load_named_tasks, say_left_out
from vzgym.cli.progress import console, errors, say
from vzgym.cli.view import open_page
from vzgym.core.errors import InvalidSetting
from vzgym.episode.runs import count_records
from vzgym.evaluation.play import Player, PlayStopped, play
from vzgym.tasks import BudgetSpec, TaskSet

__all__ = ["play_command"]


def play_command(
    tasks: Annotated[str, typer.Option(help="A suite (needle, needle/validation[:50]) or a .jsonl file.")] = "standard",
    episodes: Annotated[int, typer.Option(help="Number of tasks, from the first.", min=1)] = 10,
    out: Annotated[Path, typer.Option(help="Folder for the run; an interrupted run continues there.")] = Path(
        "runs/play"
    ),
    name: Annotated[str, typer.Option(help="Name of the run in tables and folders, such as the player's.")] = "human",
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Show the answer and the evidence after each episode. Recorded.")
    ] = False,
    terminal: Annotated[bool, typer.Option("--terminal", help="Play in the terminal instead of the browser.")] = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(help="field=value overrides the tasks' own budget, repeatable; a name (paper) replaces it."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.", min=0, max=65535)] = 0,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    backend: Annotated[str, typer.Option(help="Decoder for video files.")] = "pyav",
    root: Annotated[Path | None, typer.Option(help="Folder with the tasks' videos.")] = None,
) -> None:
    """Play episodes yourself, under a policy's budget, in the browser or the terminal. The session is a run."""
    task_set = load_named_tasks(tasks, backend=backend, root=root)
    say_left_out(task_set)
    episodes = min(episodes, len(task_set))
    folder = run_folder(out, "human", task_set, name)
    limits = budget_from_pairs(budget or [])
    if count_records(folder) >= episodes:
        say(f"All {episodes} episodes are played: {folder}. More: --episodes {episodes + 10}")
        return
    try:
        if terminal:
            _in_terminal(task_set, folder, episodes, limits, name, feedback)
        else:
            _in_browser(task_set, folder, episodes, limits, name, feedback, port, open_)
    except (PlayStopped, KeyboardInterrupt):
        kept = count_records(folder)
        say(f"\nStopped. {kept} of {episodes} episodes are recorded in {folder}; the same command continues.", errors)


def _in_terminal(tasks: TaskSet, folder: Path, episodes: int, budget: BudgetSpec, name: str, feedback: bool) -> None:
    from vzgym.evaluation.play.terminal import TerminalPlayer

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidSetting("--terminal needs a terminal: the input or the output is a file or a pipe")
    colors = console.color_system
    if colors not in ("truecolor", "256", "windows"):
        reason = "NO_COLOR is set" if os.environ.get("NO_COLOR") else f"TERM={os.environ.get('TERM', '')}"
        raise InvalidSetting(
            f"this terminal shows no pictures: it needs 256 or 24-bit colors ({reason}). Set "
            "COLORTERM=truecolor or TERM=xterm-256color if it has them, or leave out --terminal to play in the browser"
        )

    def write_picture(line: str) -> None:
        sys.stdout.write(line + "\n")

    player = TerminalPlayer(
        input, say, write_picture, lambda: console.width, true_color=colors in ("truecolor", "windows")
    )
    _run(player, tasks, folder, episodes, budget, name, feedback, "terminal")


def _in_browser(
    tasks: TaskSet,
    folder: Path,
    episodes: int,
    budget: BudgetSpec,
    name: str,
    feedback: bool,
    port: int,
    open_: bool,
) -> None:
    from vzgym.evaluation.play.browser import BrowserPlayer

    with BrowserPlayer(tasks.name, episodes, feedback=feedback, port=port) as player:
        say(f"Page: {player.url}\nOpen it in a browser on this machine. Ctrl+C stops; what was played is kept.")
        if open_:
            open_page(player.url)
        _run(player, tasks, folder, episodes, budget, name, feedback, "browser")
        player.finish()


def _run(
    player: Player,
    tasks: TaskSet,
    folder: Path,
    episodes: int,
    budget: BudgetSpec,
    name: str,
    feedback: bool,
    interface: str,
) -> None:
    from vzgym.evaluation.tables import rich_table

    report = play(
        player, tasks, folder, interface=interface, feedback=feedback, episodes=episodes, budget=budget, name=name
    )
    console.print(rich_table([report]))
    say(f"Run: {folder}. See it: vzgym view {folder}. Compare: vzgym compare RUN {folder}")
