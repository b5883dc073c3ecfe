"""`vzgym serve`: episodes for agents and trainers of other ecosystems."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vzgym.cli.policies import named_tools
from vzgym.cli.progress import errors, say
from vzgym.cli.settings import SubtitlesOption, ToolOption
from vzgym.core.errors import DependencyNotInstalled

if TYPE_CHECKING:
    from vzgym.interfaces.tasks import ServedTasks

__all__ = [
    "AllowRemoteOption",
    "BackendOption",
    "BudgetOption",
    "HostOption",
    "NameOption",
    "RecordsOption",
    "RewardOption",
    "RootOption",
    "TasksOption",
    "app",
    "served_tasks",
]

app = typer.Typer(
    name="serve",
    help="Serve episodes to agents and trainers of other ecosystems.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

TasksOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A suite (needle, needle/validation[:50]), a benchmark or a task file, the only ones that clients may "
        "choose from; repeatable. Default: tiny."
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder with a benchmark's files; of a task file: the only folder of its videos. Default: the file's own."
    ),
]
BudgetOption = Annotated[
    list[str] | None,
    typer.Option(help="field=value overrides the tasks' own budget, repeatable; a name (paper) replaces it."),
]
RewardOption = Annotated[str, typer.Option(help="The reward: a preset, a module, a .yaml file, or {accuracy: 1, ...}.")]
RecordsOption = Annotated[
    Path | None, typer.Option(help="Folder for the records of finished episodes: a run, as of vzgym eval --out.")
]
NameOption = Annotated[str, typer.Option(help="Names the agent in records and tables.")]
BackendOption = Annotated[str, typer.Option(help="Decoder for video files.")]
HostOption = Annotated[str, typer.Option(help="Address to bind. Other than loopback: with --allow-remote only.")]
AllowRemoteOption = Annotated[
    bool,
    typer.Option(
        "--allow-remote", help="Allow a --host that other machines can reach. Set VZGYM_SERVE_TOKEN to require a token."
    ),
]


def served_tasks(
    tasks: list[str] | None, *, root: Path | None, backend: str, budget: list[str] | None, speech: bool = False
) -> ServedTasks:
    """The tasks that a server offers, from its options.

    Args:
        tasks: Value of `TasksOption`.
        root: Value of `RootOption`.
        backend: Value of `BackendOption`.
        budget: Values of `BudgetOption`.
        speech: Whether subtitles are used.
    """
    from vzgym.cli.evaluate import budget_from_pairs
    from vzgym.cli.named_tasks import load_named_tasks, say_left_out
    from vzgym.interfaces.tasks import ServedTasks, confined_root

    sets = []
    for text in tasks or ["tiny"]:
        confined = confined_root(text, root)
        found = load_named_tasks(
            text, backend=backend, root=None if confined is None else Path(confined), speech=speech
        )
        say_left_out(found)
        sets.append(found)
    return ServedTasks(sets, budget_from_pairs(budget or []))


@app.command("openenv")
def openenv_command(
    tasks: TasksOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 8000,
    allow_remote: AllowRemoteOption = False,
    sessions: Annotated[int, typer.Option(help="Maximum number of sessions at a time.", min=1)] = 64,
    session_timeout: Annotated[
        float, typer.Option(help="Seconds after which an unused session is closed.", min=1.0)
    ] = 3600.0,
    reward: RewardOption = "videozoomer",
    protocol: Annotated[str, typer.Option(help="Text protocol of the turns: tags, tool_calls, compact_tags.")] = "tags",
    budget: BudgetOption = None,
    tool: ToolOption = None,
    subtitles: SubtitlesOption = None,
    out: RecordsOption = None,
    name: NameOption = "",
    root: RootOption = None,
    backend: BackendOption = "pyav",
) -> None:
    """Serve episodes as an OpenEnv environment: each connection of a client is a session."""
    if importlib.util.find_spec("openenv") is None:
        raise DependencyNotInstalled('openenv is not installed; run: pip install "vzgym[openenv]"')
    from vzgym.interfaces.openenv import Served, serve
    from vzgym.interfaces.tasks import splits_of

    chosen = [split for text in tasks or ["tiny"] for split in splits_of(text)]
    offered = served_tasks(chosen, root=root, backend=backend, budget=budget, speech=subtitles not in (None, "none"))
    served = Served.make(
        offered,
        reward=reward,
        protocol=protocol,
        tools=named_tools(tool) or (),
        subtitles=subtitles,
        records=out,
        name=name,
    )
    say(f"Splits: {', '.join(f'{split} ({len(offered.sets[of])} tasks)' for split, of in served.splits.items())}")
    try:
        serve(
            served,
            host=host,
            port=port,
            allow_remote=allow_remote,
            sessions=sessions,
            session_timeout=session_timeout,
            ready=lambda: say(f"Serving at http://{host}:{port}. Ctrl+C stops."),
        )
    finally:
        served.close()


@app.command("mcp")
def serve_mcp(
    tasks: TasksOption = None,
    http: Annotated[
        bool, typer.Option("--http", help="Serve many clients over HTTP, instead of one on stdin and stdout.")
    ] = False,
    out: RecordsOption = None,
    name: NameOption = "mcp",
    frames: Annotated[
        Literal["single", "sheet"],
        typer.Option(help="single: each frame is a picture. sheet: each clip is one picture, with its times drawn in."),
    ] = "single",
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Tell the agent at the end whether its answer is right, and its reward.")
    ] = False,
    tool: ToolOption = None,
    subtitles: SubtitlesOption = None,
    budget: BudgetOption = None,
    reward: RewardOption = "videozoomer",
    root: RootOption = None,
    backend: BackendOption = "pyav",
    max_pixels: Annotated[
        int, typer.Option(help="Larger pictures are downscaled to this area; 0: the budget's size.", min=0)
    ] = 0,
    max_episodes: Annotated[int, typer.Option(help="Largest number of episodes in progress.", min=1)] = 32,
    idle_minutes: Annotated[float, typer.Option(help="An episode that was unused for this long ends.")] = 60.0,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of --http.", min=1, max=65535)] = 8765,
    allow_remote: AllowRemoteOption = False,
) -> None:
    """Serve episodes over the Model Context Protocol: tools start, zoom and answer for any agent."""
    from vzgym.interfaces.mcp.episodes import AgentEpisodes
    from vzgym.interfaces.network import check_host, read_token
    from vzgym.interfaces.records import ServedRun
    from vzgym.rewards.making import make_reward
    from vzgym.tools.extras import Extras
    from vzgym.video.images import ImageEncoder

    # Version 1 of the package has no such module.
    if importlib.util.find_spec("mcp_types") is None:
        raise DependencyNotInstalled('mcp 2 is not installed; run: pip install "vzgym[mcp]"')
    token = read_token() if http else None
    if http:
        check_host(host, allow_remote=allow_remote, token=token)
    extras = Extras.make(named_tools(tool), subtitles)
    served = served_tasks(tasks, root=root, backend=backend, budget=budget, speech=extras.uses_subtitles)
    mix = make_reward(reward)
    run = ServedRun(out, served, interface="mcp", reward=mix, extras=extras, name=name) if out is not None else None
    episodes = AgentEpisodes(
        served,
        extras=extras,
        reward=mix,
        keep=None if run is None else run.add,
        frames=frames,
        feedback=feedback,
        images=ImageEncoder(max_pixels=max_pixels),
        max_episodes=max_episodes,
        idle_seconds=60 * idle_minutes,
    )
    from vzgym.interfaces.mcp.server import serve_http, serve_stdio

    sets = ", ".join(f"{key} ({len(found)} tasks)" for key, found in served.sets.items())
    try:
        if http:
            guard = " Requests need the header Authorization: Bearer $VZGYM_SERVE_TOKEN." if token else ""
            say(f"Serving {sets} at http://{host}:{port}/mcp.{guard} Ctrl+C stops.", errors)
            serve_http(episodes, host=host, port=port, token=token)
        else:
            # stdout belongs to the protocol.
            say(f"Serving {sets} on stdin and stdout. --http serves over HTTP. Ctrl+C stops.", errors)
            serve_stdio(episodes)
    except KeyboardInterrupt:
        say("Stopped.", errors)
    finally:
        episodes.close()
        if run is not None:
            run.close()
