"""Measure the processor time that each interface adds to a call of the plain `Episode`, and print a Markdown table.

    python benchmarks/interfaces.py [--episodes 40] [--only openenv]

An episode of `tiny/test` has three calls: reset (16 frames of 64x64), one zoom of 8 frames, an answer. Both sides run
in this process: client and server, or agent and chat server. Imports and the start of servers are not counted.
Interfaces whose packages are missing here are measured by the Python of `.venv-NAME` (`make test-interfaces` makes it),
if there is one. Processor times of all threads: other programs affect them only through shared caches.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from vzgym.envs import VideoZoomEnv
from vzgym.episode import Episode
from vzgym.interfaces.messages import encode_messages
from vzgym.protocols import TagProtocol
from vzgym.tasks import load_tasks

TASKS = load_tasks("tiny/test")
TURNS = (
    '<think>Look.</think><video_zoom>{"segment": [4, 6], "fps": 4}</video_zoom>',
    "<think>So.</think><answer>A</answer>",
)
CALLS = 1 + len(TURNS)
WARM_UP = 4

Play: TypeAlias = Callable[[int], None]
"""Plays the episode of a task, by its index."""


def _played(index: int) -> Episode:
    """An episode of the engine, with the parser of a text protocol."""
    protocol = TagProtocol()
    episode = Episode(TASKS[index], TASKS.budget, protocol)
    for turn in TURNS:
        parsed = protocol.parse(turn, episode.rules)
        episode.step(parsed.action, text=turn, well_formed=parsed.well_formed)
    return episode


@contextmanager
def engine() -> Iterator[Play]:
    """The engine, with the parser of a text protocol."""

    def play(index: int) -> None:
        _played(index)

    yield play


@contextmanager
def images() -> Iterator[Play]:
    """The engine, and all frames as JPEG files in base64: what every interface that sends images needs."""

    def play(index: int) -> None:
        frames = [frame for message in encode_messages(_played(index).messages) for frame in message.frames]
        assert all(frame.base64 for frame in frames)

    yield play


@contextmanager
def gymnasium() -> Iterator[Play]:
    """`VideoZoomEnv` with text, without frames in its observations; its reward included."""
    with closing(VideoZoomEnv(TASKS, observation="dialogue", action="text")) as env:

        def play(index: int) -> None:
            env.reset(options={"task": index})
            for turn in TURNS:
                env.step(turn)

        yield play


@contextmanager
def mcp(*, http: bool = False) -> Iterator[Play]:
    """A server of the Model Context Protocol and its client: in memory, or over HTTP on loopback."""
    from mcp import Client

    from vzgym.interfaces.mcp import AgentEpisodes, http_app, make_server
    from vzgym.interfaces.tasks import ServedTasks
    from vzgym.testing.parity.mcp import handle_in
    from vzgym.testing.parity.openenv import serving_app

    episodes = AgentEpisodes(ServedTasks([TASKS]))

    async def episode(client: Any, index: int) -> None:
        opening = await client.call_tool("start", {"task": index})
        handle = {"episode": handle_in(opening.content[0].text)}
        await client.call_tool("zoom", {**handle, "start": 4.0, "end": 6.0, "fps": 4.0})
        await client.call_tool("answer", {**handle, "text": "A"})

    # The client's task group must be left by the task that entered it, so all episodes run in one.
    async def serve(server: Any, wanted: asyncio.Queue[int | None], done: asyncio.Queue[None]) -> None:
        async with Client(server) as client:
            await done.put(None)
            while (index := await wanted.get()) is not None:
                await episode(client, index)
                await done.put(None)

    async def ask(index: int | None) -> None:
        await wanted.put(index)
        await (done.get() if index is not None else serving)

    with ExitStack() as stack:
        url = stack.enter_context(serving_app(http_app(episodes))) if http else ""
        runner = stack.enter_context(asyncio.Runner())
        wanted, done = asyncio.Queue[int | None](), asyncio.Queue[None]()
        server = f"{url}/mcp" if http else make_server(episodes)
        serving = runner.get_loop().create_task(serve(server, wanted, done))
        runner.run(done.get())
        yield lambda index: runner.run(ask(index))
        runner.run(ask(None))


@contextmanager
def trl() -> Iterator[Play]:
    """The environment of TRL's tool loop, called as the loop calls it; without a model and its processor."""
    from vzgym.agents.training.tool_environment import ToolEnvironment, finish_rollout, opening_row

    protocol = TagProtocol()
    environment = ToolEnvironment(TASKS, TASKS.budget, protocol)
    prompt = opening_row(Episode(TASKS[0], TASKS.budget, protocol).messages)

    def play(index: int) -> None:
        environment.reset(prompt, task=index)
        reply = {"role": "tool", "content": environment.video_zoom(TURNS[0])}
        finish_rollout(environment, [reply, {"role": "assistant", "content": TURNS[1]}])

    yield play


@contextmanager
def served() -> Iterator[Play]:
    """A policy on a chat server over HTTP: each request holds the whole dialogue with all its frames."""
    from vzgym.agents.served.policy import ServedPolicy
    from vzgym.rollout.rollout import EpisodeStart, Rollout
    from vzgym.testing.parity.served_chat import serving_chat

    replies = [{"role": "assistant", "content": turn} for turn in TURNS]
    with serving_chat(replies * len(TASKS)) as (url, _):
        rollout = Rollout(ServedPolicy("scripted", url, check_images=False), TASKS, TASKS.budget)

        def play(index: int) -> None:
            (played,) = rollout.play([EpisodeStart(TASKS[index], 0)])
            assert played is not None

        yield play


@contextmanager
def skyrl() -> Iterator[Play]:
    """An environment of skyrl-gym."""
    import skyrl_gym

    from vzgym.interfaces.skyrl import register

    register("video_zoom_benchmark")

    def play(index: int) -> None:
        row = {"extra_info": {"tasks": "tiny/test", "index": index}, "max_turns": TASKS.budget.max_rounds}
        env: Any = skyrl_gym.make("video_zoom_benchmark", env_config={}, extras=row)
        env.init([])
        for turn in TURNS:
            env.step(turn)
        env.close()

    yield play


@contextmanager
def openenv() -> Iterator[Play]:
    """A session of an OpenEnv server, over the loopback interface."""
    from vzgym.interfaces.openenv import Served, VideoZoomClient, make_app
    from vzgym.interfaces.tasks import ServedTasks
    from vzgym.testing.parity.openenv import serving_app

    served = Served.make(ServedTasks([TASKS]))
    with serving_app(make_app(served, sessions=1)) as url, VideoZoomClient(base_url=url).sync() as client:

        def play(index: int) -> None:
            client.reset(index=index)
            for turn in TURNS:
                client.step(turn)

        yield play


@contextmanager
def verifiers() -> Iterator[Play]:
    """An episode of verifiers with our harness, against a chat server; three local HTTP hops for each turn."""
    import verifiers.v1 as vf

    from vzgym.interfaces.verifiers import VideoZoomTask, VideoZoomTaskConfig, VideoZoomTaskData
    from vzgym.testing.parity.served_chat import serving_chat

    environment = vf.load_environment(vf.resolve_env_config({"taskset": {"id": "video-zoom", "tasks": "tiny/test"}}))
    replies = [{"role": "assistant", "content": turn} for turn in TURNS]
    with serving_chat(replies * len(TASKS)) as (url, requests), asyncio.Runner() as runner:
        client = vf.EvalClientConfig(base_url=url, api_key_var="VZGYM_NO_KEY")
        context = vf.ModelContext(model="scripted", client=client, sampling=vf.SamplingConfig())
        serving: Any = environment.serving()
        runner.run(serving.__aenter__())

        def play(index: int) -> None:
            data = VideoZoomTaskData(id=f"tiny/test/{index}", tasks="tiny/test", index=index)
            episode = runner.run(environment.run_episode(VideoZoomTask(data, VideoZoomTaskConfig()), context))
            assert episode.ok
            assert len(requests) % len(TURNS) == 0

        yield play
        runner.run(serving.__aexit__(None, None, None))


@contextmanager
def verl() -> Iterator[Play]:
    """A batch of one row through verl's worker: the processor's work on prompt, clip and training inputs included."""
    from vzgym.testing.parity.verl import ScriptedClient, play_rows, row_batch, small_worker

    worker = small_worker()
    loop = {"_target_": "vzgym.interfaces.verl.VideoZoomLoop"}

    def play(index: int) -> None:
        client = ScriptedClient(worker.tokenizer, lambda row: TURNS)
        play_rows(worker, row_batch("?", {"tasks": TASKS.name, "index": index}), client, loop)

    yield play


ROWS: dict[str, tuple[Callable[[], AbstractContextManager[Play]], tuple[str, ...]]] = {
    "engine": (engine, ()),
    "engine, images": (images, ()),
    "gymnasium": (gymnasium, ()),
    "trl": (trl, ("torch", "transformers", "trl")),
    "served": (served, ("openai",)),
    "mcp": (mcp, ("mcp_types",)),
    "mcp, http": (partial(mcp, http=True), ("mcp_types",)),
    "skyrl": (skyrl, ("skyrl_gym",)),
    "openenv": (openenv, ("openenv",)),
    "verifiers": (verifiers, ("verifiers", "video_zoom")),
    "verl": (verl, ("verl", "trl")),
}
"""What is measured, and the packages that it needs. The first is what the others are compared with."""


def measure(name: str, episodes: int) -> float:
    """Milliseconds of processor time an episode."""
    with ROWS[name][0]() as play:
        for index in range(WARM_UP):
            play(index)
        started = time.process_time()
        for index in range(WARM_UP, WARM_UP + episodes):
            play(index)
        return 1e3 * (time.process_time() - started) / episodes


def measured(name: str, episodes: int) -> tuple[float, float] | None:
    """Milliseconds an episode through the interface and through the engine; None if packages are missing."""
    if all(map(importlib.util.find_spec, ROWS[name][1])):
        return measure(name, episodes), measure("engine", episodes)
    python = Path(__file__).resolve().parents[1] / f".venv-{name}" / "bin" / "python"
    if not python.exists():
        return None
    words = [str(python), __file__, "--only", name, "--episodes", str(episodes), "--json"]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    took = json.loads(printed.splitlines()[-1])  # packages may print too
    return float(took[0]), float(took[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=40, help="episodes per row (default: 40)")
    parser.add_argument("--only", choices=list(ROWS), action="append", help="an interface; repeatable")
    parser.add_argument("--json", action="store_true", help="print the two numbers of one interface")
    given = parser.parse_args()
    episodes, names = max(1, given.episodes), given.only or list(ROWS)
    if given.json:
        sys.stdout.write(json.dumps(measured(names[0], episodes)))
        return
    print(f"{episodes} episodes of {TASKS.name}, {CALLS} calls each; Python {platform.python_version()}.\n")
    print("| interface | CPU ms an episode | over the engine, ms a call |\n|---|---:|---:|")
    for name in names:
        found = measured(name, episodes)
        if found is None:
            print(f"| {name} | not installed | |", flush=True)
        else:
            more = "" if name == "engine" else f"{(found[0] - found[1]) / CALLS:.2f}"
            print(f"| {name} | {found[0]:.1f} | {more} |", flush=True)


if __name__ == "__main__":
    main()
