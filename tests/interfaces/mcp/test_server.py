"""The server as clients see it: in memory, over stdio, over HTTP on loopback."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mcp_types", reason="needs the extra 'mcp'")

import httpx2
import mcp
import uvicorn
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from vzgym.cli.serve import serve_mcp
from vzgym.core.errors import InvalidSetting, TaskError, VzgymError
from vzgym.episode import EpisodeRecord
from vzgym.episode.runs import read_records
from vzgym.evaluation.replay import replay
from vzgym.interfaces.mcp.episodes import AgentEpisodes
from vzgym.interfaces.mcp.server import http_app, make_server
from vzgym.interfaces.tasks import ServedTasks
from vzgym.tasks import TaskList
from vzgym.testing import code_task, fault_of_seen
from vzgym.testing.parity import Seen
from vzgym.testing.parity.mcp import handle_in
from vzgym.tools.extras import Extras

MODES = ("auto", "legacy")
TOKEN = "a-token-of-some-length"


def made(records: list[EpisodeRecord] | None = None, **settings: Any) -> AgentEpisodes:
    kept = [] if records is None else records
    codes = TaskList([code_task()], name="codes")
    tasks = ServedTasks([codes], {"overview_frames": 16, "clip_frames": 8, "min_pixels": 1024, "max_pixels": 4096})
    return AgentEpisodes(tasks, keep=lambda record, **_: kept.append(record), **settings)


async def play(client: Any, seen: list[Seen], answer: str = "B") -> None:
    """One episode; adds what arrived."""
    handle = ""
    for name, arguments in (
        ("start", {"task": 0}),
        ("zoom", {"start": 10.0, "end": 14.0, "fps": 2.0}),
        ("answer", {"text": answer}),
    ):
        given = {"episode": handle, **arguments} if handle else arguments
        result = await client.call_tool(name, given)
        assert not result.is_error, result
        assert result.structured_content is None
        handle = handle or handle_in(result.content[0].text)
        seen += [block.text if block.type == "text" else base64.b64decode(block.data) for block in result.content]


# In memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_in_memory(mode: str) -> None:
    records: list[EpisodeRecord] = []
    seen: list[Seen] = []

    async def run() -> None:
        async with mcp.Client(make_server(made(records)), mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["start", "zoom", "answer"]
            assert all(tool.input_schema["type"] == "object" for tool in tools)
            assert max(len(tool.description or "") for tool in tools) < 2000
            assert "start" in (client.instructions or "")
            await play(client, seen)

    anyio.run(run)
    (record,) = records
    assert sum(isinstance(item, bytes) for item in seen) == 24
    assert fault_of_seen(record, seen) is None


@pytest.mark.parametrize("mode", MODES)
def test_an_error_of_the_server_tells_the_agent_nothing(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name, description, spec = "broken", "Fails.", {"name": "broken"}
        parameters = {"type": "object", "properties": {}}  # noqa: RUF012

        def run(self, call: object, context: object) -> None:
            raise VzgymError("the answer is in /data/secret.json")

    async def run() -> None:
        async with mcp.Client(make_server(made(extras=Extras((Broken(),)))), mode=mode) as client:
            result = await client.call_tool("start", {})
            with pytest.raises(MCPError) as caught:
                await client.call_tool("broken", {"episode": handle_in(result.content[0].text)})
            assert "secret" not in f"{caught.value} {caught.value.error}"

    anyio.run(run)
    assert "secret" in caplog.text


def test_a_description_that_clients_cut_is_refused() -> None:
    class Wordy:
        name, spec = "wordy", {"name": "wordy"}
        description = "Long. " * 400
        parameters = {"type": "object", "properties": {}}  # noqa: RUF012

        def run(self, call: object, context: object) -> None: ...

    with pytest.raises(InvalidSetting, match="2400 characters"):
        make_server(made(extras=Extras((Wordy(),))))


# Over stdio ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_command_over_stdio(mode: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["-m", "vzgym", "serve", "mcp", "--tasks", "needle-tiny", "--tool", "frame", "--out", str(out)]
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    pictures: list[np.ndarray] = []

    async def run() -> None:
        with (tmp_path / "log").open("w") as log:
            server = StdioServerParameters(command=sys.executable, args=arguments, env=keep)
            async with mcp.Client(stdio_client(server, errlog=log), mode=mode) as client:
                assert [tool.name for tool in (await client.list_tools()).tools] == ["start", "zoom", "frame", "answer"]
                opening = await client.call_tool("start", {"task": 2})
                handle = handle_in(opening.content[0].text)
                for name, given in (
                    ("zoom", {"start": 4.0, "end": 6.0, "fps": 2.0}),
                    ("frame", {"time": 9.0}),
                    ("answer", {"text": "A"}),
                ):
                    result = await client.call_tool(name, {"episode": handle, **given})
                    pictures.extend(
                        np.asarray(Image.open(io.BytesIO(base64.b64decode(block.data))))
                        for block in result.content
                        if block.type == "image"
                    )

    anyio.run(run)
    assert "Serving needle-tiny/test (1000 tasks) on stdin and stdout" in (tmp_path / "log").read_text()
    (record,) = read_records(out)
    assert (record.task.id, record.info.interface, record.info.policy) == ("needle-tiny/test/2", "mcp", "mcp")
    assert [frame.shape for frame in pictures] == [(64, 64, 3)] * 5
    again = replay(record)
    assert again.differences == []
    shown = np.concatenate([clip.pixels for clip in again.record.clips[1:]])
    # JPEG at quality 90 changes a pixel by a few of 256 levels.
    assert np.abs(np.stack(pictures).astype(int) - shown.astype(int)).mean() < 3.0


# Over HTTP ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Serves episodes over HTTP in a thread: `served(episodes, token=...)` is the address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(episodes: AgentEpisodes, token: str | None = None) -> str:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(http_app(episodes, token=token), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        running.append((server, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("mode", MODES)
def test_sixteen_clients_at_once_over_http(mode: str, served: Callable[..., str]) -> None:
    records: list[EpisodeRecord] = []
    url = served(made(records))
    arrived: list[list[Seen]] = []

    async def one() -> None:
        seen: list[Seen] = []
        async with mcp.Client(url, mode=mode) as client:
            await play(client, seen)
        arrived.append(seen)

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(16):
                group.start_soon(one)

    anyio.run(run)
    assert len(arrived) == len(records) == 16
    assert {fault_of_seen(records[0], seen) for seen in arrived} == {None}
    handles = {str(seen[0]).split()[1] for seen in arrived}
    assert len(handles) == 16


def test_a_token_is_required_where_there_is_one(served: Callable[..., str]) -> None:
    records: list[EpisodeRecord] = []
    url = served(made(records), token=TOKEN)
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert httpx2.post(url, json={}, headers=headers).status_code == 401

    async def run() -> None:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
            mcp.Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await play(client, [])

    anyio.run(run)
    assert len(records) == 1


def test_requests_of_other_pages_and_large_ones_are_refused(served: Callable[..., str]) -> None:
    url = served(made())
    call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"Accept": "application/json, text/event-stream"}
    assert httpx2.post(url, json=call, headers=headers).status_code == 200
    assert httpx2.post(url, json=call, headers={**headers, "Host": "example.org"}).status_code == 421
    assert httpx2.post(url, json=call, headers={**headers, "Origin": "https://example.org"}).status_code == 403
    large = {**call, "params": {"text": "x" * (1 << 20)}}
    assert httpx2.post(url, json=large, headers=headers).status_code == 413


def test_the_command_over_http(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vzgym", "serve", "mcp", "--http", "--port", str(port), "--out", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert f"http://127.0.0.1:{port}/mcp" in server.stderr.readline()

        async def run() -> None:
            for _ in range(200):
                try:
                    with socket.create_connection(("127.0.0.1", port), 1.0):
                        break
                except ConnectionRefusedError:
                    await anyio.sleep(0.05)
            async with mcp.Client(f"http://127.0.0.1:{port}/mcp") as client:
                opening: Any = await client.call_tool("start", {})
                handle = handle_in(opening.content[0].text)
                await client.call_tool("answer", {"episode": handle, "text": "A"})

        try:
            anyio.run(run)
        finally:
            server.terminate()
            server.communicate()
    (record,) = read_records(tmp_path / "run")
    assert record.task.id == "tiny/test/0"


# The command's settings ---------------------------------------------------------------------------------------------


def test_a_task_file_names_videos_under_its_root_only(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"no video")
    file = tmp_path / "files" / "tasks.jsonl"
    file.write_text(json.dumps({"id": "a", "video": "../secret.mp4", "question": "What?"}) + "\n")
    with pytest.raises(TaskError, match="outside"):
        serve_mcp(tasks=[str(file)])


def test_a_foreign_address_needs_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSetting, match="--allow-remote"):
        serve_mcp(http=True, host="0.0.0.0")
    monkeypatch.setenv("VZGYM_SERVE_TOKEN", "short")
    with pytest.raises(InvalidSetting, match="VZGYM_SERVE_TOKEN"):
        serve_mcp(http=True)
