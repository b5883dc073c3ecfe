"""The server, through OpenEnv's client and validators, over the loopback interface."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openenv", reason='needs the extra "openenv": make test-interfaces')

import requests
import yaml
from openenv.cli.__main__ import app as openenv_command
from openenv.validation.graders.runtime.basic import (
    ObservationSchemaGrader,
    RewardWellFormedGrader,
    StateContractGrader,
)
from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser
from openenv.validation.runtime.collector import collect_runtime_evidence
from openenv.validation.runtime.contracts import load_runtime_plan
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.interfaces.openenv.conftest import SESSIONS, running
from vzgym.cli import app as vzgym_command
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.interfaces.guards import LocalGuard, SizeGuard
from vzgym.interfaces.openenv import Served, VideoZoomAction, VideoZoomClient, make_app
from vzgym.interfaces.openenv.server import LARGEST_MESSAGE
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks

PACKAGE = Path(__file__).parents[3] / "packages" / "openenv"
LOOK = '<think>Look.</think><video_zoom>{"segment": [4, 6], "fps": 4}</video_zoom>'
ANSWER = "<think>So.</think><answer>A</answer>"


def test_an_episode_through_the_client(url: str) -> None:
    with VideoZoomClient(base_url=url).sync() as client:
        start = client.reset(split="test", index=0)
        assert (start.reward, start.done, len(start.observation.images)) == (None, False, 16)
        looked = client.step(VideoZoomAction(text=LOOK))
        assert (looked.observation.outcome, len(looked.observation.images)) == ("executed", 8)
        assert (client.state().step_count, client.state().index) == (1, 0)
        end = client.step(ANSWER)
        correct = load_tasks("tiny/test")[0].letter == "A"
        assert (end.done, end.reward, end.observation.correct) == (True, 1.5 if correct else 0.1, correct)
        with pytest.raises(RuntimeError, match="EpisodeEnded"):
            client.step(ANSWER)
        with pytest.raises(RuntimeError, match="InvalidSetting: unknown argument of reset: task"):
            client.reset(task=0)
        assert client.reset(split="test", index=1).observation.task_id == "tiny/test/1"  # the session goes on


def test_the_example_of_the_documentation(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (PACKAGE.parents[1] / "docs" / "how-to" / "openenv.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block.replace("http://127.0.0.1:8000", url), names)
    assert capsys.readouterr().out.startswith(f"{names['result'].reward} ")
    assert [message["role"] for message in names["dialogue"]] == ["system", "user", "assistant", "user", "assistant"]
    blocks = names["dialogue"][3]["content"]
    assert sum(part["type"] == "image_url" for part in blocks) == 8


def test_a_task_file_names_videos_in_its_folder_only(tmp_path: Path) -> None:
    file = write_tasks([load_tasks("tiny/test")[0]], tmp_path / "inside")
    row = json.loads(file.read_text(encoding="utf-8"))
    (tmp_path / "outside.mp4").write_bytes((file.parent / row["video"]).read_bytes())
    for escape in ("../outside.mp4", str(tmp_path / "outside.mp4")):
        file.write_text(json.dumps({**row, "video": escape}), encoding="utf-8")
        told = CliRunner().invoke(vzgym_command, ["serve", "openenv", "--tasks", str(file)])
        assert isinstance(told.exception, TaskError)
        assert "outside" in str(told.exception)


def test_another_address_needs_a_flag() -> None:
    told = CliRunner().invoke(vzgym_command, ["serve", "openenv", "--host", "0.0.0.0"])
    assert isinstance(told.exception, InvalidSetting)
    assert "--allow-remote" in str(told.exception)


def test_a_lone_surrogate_does_not_end_the_session(url: str) -> None:
    with VideoZoomClient(base_url=url).sync() as client:
        client.reset(index=0)
        assert client.step("\ud83d <answer>A").observation.outcome in ("refused", "answered")
    with connect(url.replace("http", "ws") + "/ws") as raw:  # what another client might send
        raw.send(json.dumps({"type": "reset", "data": {"index": 0}}))
        assert json.loads(raw.recv())["type"] == "observation"
        raw.send('{"type": "step", "data": {"text": "\\ud83d"}}')
        assert json.loads(raw.recv())["data"]["observation"]["refusal"] == "malformed"


def test_unknown_fields_of_an_action_are_refused(url: str) -> None:
    with connect(url.replace("http", "ws") + "/ws") as raw:
        raw.send(json.dumps({"type": "reset"}))
        raw.recv()
        raw.send(json.dumps({"type": "step", "data": {"text": ANSWER, "answer": "A"}}))
        told = json.loads(raw.recv())
    assert told["data"]["code"] == "VALIDATION_ERROR"


def test_64_sessions_play_and_the_65th_is_refused(url: str) -> None:
    async def play(client: VideoZoomClient, number: int) -> list[Any]:
        start = await client.reset(split="test", index=number)
        await client.step(LOOK)
        return [start.observation.task_id, (await client.step(ANSWER)).done, (await client.state()).step_count]

    async def play_all() -> list[list[Any]]:
        clients = [VideoZoomClient(base_url=url) for _ in range(SESSIONS)]
        try:
            await asyncio.gather(*(client.connect() for client in clients))
            played = await asyncio.gather(*(play(client, number) for number, client in enumerate(clients)))
            with pytest.raises(RuntimeError, match="CAPACITY_REACHED"):
                async with VideoZoomClient(base_url=url) as further:
                    await further.reset()
        finally:
            await asyncio.gather(*(client.close() for client in clients))
        async with VideoZoomClient(base_url=url) as further:  # a closed session frees its place
            await further.reset()
        return played

    assert asyncio.run(play_all()) == [[f"tiny/test/{number}", True, 2] for number in range(SESSIONS)]


def test_a_closed_session_fails_by_name(served: Served) -> None:
    """What the server's timer does to a session that is still connected."""
    made: list[Any] = []

    class Remembering(Served):
        def __init__(self) -> None:
            super().__init__(served.tasks, served.rollouts)

        def set_name(self, split: str | None) -> str:
            made.append(sys._getframe(1).f_locals.get("self"))
            return super().set_name(split)

    with running(make_app(Remembering(), sessions=1)) as url, VideoZoomClient(base_url=url).sync() as client:
        client.reset(index=0)
        made[-1].close()
        for call in (lambda: client.step(ANSWER), lambda: client.reset(index=0)):
            with pytest.raises(RuntimeError, match=r"SessionClosed: .* closed session"):
                call()


def test_requests_without_a_session(url: str) -> None:
    step = requests.post(f"{url}/step", json={"action": {"text": ANSWER}}, timeout=30)
    assert (step.status_code, step.json()["detail"][:23]) == (409, "ResetNeeded: step befor")
    reset = requests.post(f"{url}/reset", json={"split": "test", "index": 2}, timeout=30)
    assert reset.json()["observation"]["task_id"] == "tiny/test/2"
    assert requests.post(f"{url}/reset", json={"where": 2}, timeout=30).status_code == 409
    assert requests.get(f"{url}/state", timeout=30).json()["episode_id"] is None


def test_the_task_api_over_http(url: str) -> None:
    def post(path: str, **data: Any) -> Any:
        return requests.post(f"{url}/video_zoom/{path}", json=data, timeout=30)

    names = [split["name"] for split in requests.get(f"{url}/video_zoom/splits", timeout=30).json()]
    assert names == ["train", "validation", "test"]
    assert post("num_tasks", split="test").json() == {"num_tasks": 1000}
    assert post("task", split="test", index=7).json()["task"]["id"] == "tiny/test/7"
    assert len(post("task_range", split="test", start=3, stop=6).json()["tasks"]) == 3
    assert post("task", split="test", index=1000).status_code == 400
    assert post("num_tasks", split="nowhere").status_code == 400


def test_openenv_validates_the_server(url: str) -> None:
    told = CliRunner().invoke(openenv_command, ["validate", "--url", url, "--json", "--timeout", "30"])
    report = json.loads(told.output)
    assert (told.exit_code, report["passed"], report["mode"]) == (0, True, "simulation"), report


def test_openenv_validates_the_package() -> None:
    told = CliRunner().invoke(openenv_command, ["validate", str(PACKAGE), "--level", "static", "--json"])
    assert (told.exit_code, json.loads(told.output)["verdict"]) == (0, "pass"), told.output


def test_the_server_passes_the_runtime_graders(url: str) -> None:
    manifest = OpenEnvYamlParser().parse(PACKAGE)
    plan = load_runtime_plan(PACKAGE, manifest.execution)
    evidence = collect_runtime_evidence(url, plan, episode_timeout_s=manifest.resources.episode_timeout_s)
    assert (evidence.failure_phase, evidence.failure_reason) == (None, None)
    assert [exchange.operation for exchange in evidence.exchanges] == ["reset", "state"] + ["step", "state"] * 3
    assert json.loads(evidence.exchanges[-2].response_json)["data"]["done"]
    subject = SimpleNamespace(manifest=manifest, runtime_evidence=evidence, root=PACKAGE)
    for grader in (RewardWellFormedGrader(), ObservationSchemaGrader(), StateContractGrader()):
        result = grader.run(subject)
        assert result.status.value == "pass", (result.check_id, result.evidence)


def test_the_package_is_complete(served: Served) -> None:
    manifest = yaml.safe_load((PACKAGE / "openenv.yaml").read_text(encoding="utf-8"))
    counts = {split: len(served.tasks.sets[name]) for split, name in served.splits.items()}
    assert manifest["validation"]["capabilities"]["declared_task_count"] == counts
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # How OpenEnv's `AutoEnv` finds the module and its classes.
    module = project["name"].removeprefix("openenv-").replace("-", "_")
    assert (module, project["version"]) == (manifest["name"], manifest["version"])
    for name, file in ((module, "__init__.py"), (f"{module}.server.app", "server/app.py")):
        places = [str(PACKAGE)] if name == module else None
        spec = importlib.util.spec_from_file_location(name, PACKAGE / file, submodule_search_locations=places)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    assert issubclass(sys.modules[module].VideoZoomEnv, VideoZoomClient)
    assert list(sys.modules[f"{module}.server.app"].served.splits) == list(counts)
    assert callable(sys.modules[f"{module}.server.app"].main)
    copied = (PACKAGE / "server" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r'CMD \["server", .*"--allow-remote"\]', copied)


def test_web_pages_of_other_sites_and_large_requests_are_refused(served: Served) -> None:
    with running(LocalGuard(SizeGuard(make_app(served, sessions=1), 1000))) as url:
        assert requests.get(f"{url}/health", timeout=30).status_code == 200
        for headers in ({"Origin": "https://page.invalid"}, {"Host": "page.invalid"}, {"Origin": "null"}):
            assert requests.get(f"{url}/health", headers=headers, timeout=30).status_code == 403
        with pytest.raises(InvalidStatus, match="403"):
            connect(url.replace("http", "ws") + "/ws", origin="https://page.invalid")  # type: ignore[arg-type]
        with connect(url.replace("http", "ws") + "/ws", origin="http://localhost:3000"):  # type: ignore[arg-type]
            pass
        assert requests.post(f"{url}/reset", json={"split": "x" * 1000}, timeout=30).status_code == 413
        assert requests.post(f"{url}/reset", data=iter([b"x" * 600] * 2), timeout=30).status_code == 413
        assert requests.post(f"{url}/reset", json={"index": 0}, timeout=30).status_code == 200


def test_a_message_over_the_limit_ends_the_session(url: str) -> None:
    with connect(url.replace("http", "ws") + "/ws", max_size=None) as raw:
        raw.send("x" * (LARGEST_MESSAGE + 1))
        with pytest.raises(ConnectionClosed, match="1009"):
            raw.recv()


def test_a_token_is_required_of_every_request(served: Served) -> None:
    token = "a-token-for-this-test"
    with running(make_app(served, sessions=1, token=token)) as url:
        assert requests.get(f"{url}/health", timeout=30).status_code == 401
        with pytest.raises(ConnectionError), VideoZoomClient(base_url=url).sync() as client:
            client.reset()
        headers = {"Authorization": f"Bearer {token}"}
        with VideoZoomClient(base_url=url, headers=headers).sync() as client:
            assert client.reset(index=0).observation.task_id == "tiny/train/0"


def test_the_command(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["serve", "openenv", "--tasks", "tiny/test", "--port", str(port), "--out", str(tmp_path / "run")]
    with subprocess.Popen([sys.executable, "-m", "vzgym", *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "Splits: test (1000 tasks)\n"
            assert process.stdout.readline() == f"Serving at http://127.0.0.1:{port}. Ctrl+C stops.\n"
            with VideoZoomClient(base_url=f"http://127.0.0.1:{port}").sync() as client:
                client.reset(index=0)
                client.step(ANSWER)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    assert process.returncode in (0, 130)
    assert (tmp_path / "run" / "records.jsonl").read_text(encoding="utf-8").count("\n") == 1
