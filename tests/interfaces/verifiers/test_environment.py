"""Episodes through verifiers' own agent, with a scripted model."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verifiers.v1", reason='needs the extra "verifiers": make test-interfaces')
pytest.importorskip("video_zoom", reason="needs packages/video-zoom: make test-interfaces")

import verifiers.v1 as vf
from PIL import Image

from tests.interfaces.verifiers.conftest import ChatServer, chat_server, scripted
from vzgym.core.errors import TaskError, UnknownName
from vzgym.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import read_records
from vzgym.evaluation.replay import replay
from vzgym.interfaces.messages import encode_messages
from vzgym.interfaces.verifiers import VideoZoomHarness, VideoZoomTask
from vzgym.interfaces.verifiers.taskset import RECORD
from vzgym.protocols import TagProtocol
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks
from vzgym.video import FileVideo

LOOK = '<think>Look.</think><video_zoom>{"segment": [4, 6], "fps": 4}</video_zoom>'
ANSWER = "<think>So.</think><answer>A</answer>"


def episode(server: ChatServer, index: int = 0, *, agent: Any = None, **task: Any) -> vf.Episode:
    """Play the episode of one task of tiny/test."""
    config = {
        "taskset": {"id": "video-zoom", "tasks": task.pop("tasks", "tiny/test"), "task": task},
        "agent": agent or {},
    }
    environment = vf.load_environment(vf.resolve_env_config(config))
    chosen = next(each for each in environment.taskset.load() if each.data.index == index)
    client = vf.EvalClientConfig(base_url=server.url, api_key_var="NO_SUCH_KEY")
    context = vf.ModelContext(model="scripted", client=client, sampling=vf.SamplingConfig())

    async def run() -> vf.Episode:
        async with environment.serving():
            return await environment.run_episode(chosen, context)

    return asyncio.run(run())


def record_of(trace: vf.Trace) -> EpisodeRecord:
    return EpisodeRecord.from_json(json.loads(json.dumps(trace.info[RECORD])))


def urls(messages: Sequence[dict[str, Any]]) -> list[str]:
    blocks = [block for message in messages if isinstance(message["content"], list) for block in message["content"]]
    return [block["image_url"]["url"] for block in blocks if block["type"] == "image_url"]


def test_the_plug_in_is_found() -> None:
    config = vf.resolve_env_config({"taskset": {"id": "video-zoom"}})
    environment = vf.load_environment(config)
    assert type(environment).__name__ == "VideoZoomEnv"
    assert isinstance(environment._harnesses["agent"], VideoZoomHarness)
    assert config.agent.runtime.type == "subprocess"
    tasks = [next(iter(environment.taskset.load()))]
    assert (tasks[0].key, tasks[0].data.prompt) == ("tiny/train/0", None)


def test_an_episode_with_its_rewards() -> None:
    tasks = load_tasks("tiny/test")
    right = f"<think>So.</think><answer>{tasks[0].letter}</answer>"
    with chat_server(scripted(LOOK, right)) as server:
        played = episode(server)
    (trace,) = played.traces
    assert (played.ok, trace.stop_condition, trace.is_truncated) == (True, "answered", False)
    assert {name: (reward.score, reward.weight) for name, reward in trace.rewards.items()} == {
        "accuracy": (1.0, 0.9),
        "format": (1.0, 0.1),
        "conditional_tool": (1.0, 0.5),
    }
    assert trace.reward == pytest.approx(1.5)
    assert (trace.metrics["zooms"], trace.metrics["correct"], trace.metrics["unscored"]) == (1.0, 1.0, 0.0)
    record = record_of(trace)
    assert (record.info.interface, record.task.id) == ("verifiers", "tiny/test/0")
    assert not replay(record).differences
    # The task names neither the answer nor the evidence; the model sees neither before it answers.
    assert set(trace.task.data.model_dump(exclude_defaults=True)) == {"id", "tasks", "index"}


def test_the_model_gets_every_frame_after_its_time() -> None:
    with chat_server(scripted(LOOK, ANSWER)) as server:
        episode(server, 1)
    tasks = load_tasks("tiny/test")
    engine = Episode(tasks[1], tasks.budget, TagProtocol())
    opening = [frame for message in encode_messages(engine.messages) for frame in message.frames]
    first, second = server.requests
    assert urls(first) == [frame.data_url for frame in opening]
    assert len(urls(second)) == 16 + 8
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    image = Image.open(io.BytesIO(base64.b64decode(urls(first)[0].partition(",")[2])))
    assert image.size == (64, 64)
    blocks = first[1]["content"]
    for place, block in enumerate(blocks):
        if block["type"] == "image_url":
            assert "s" in blocks[place - 1]["text"]
    times = [block["text"] for block in blocks if block["type"] == "text"]
    assert all("base64" not in text for text in times)


def test_a_limit_of_the_trainer_brings_the_record_to_its_end() -> None:
    with chat_server(scripted(LOOK, ANSWER)) as server:
        (trace,) = episode(server, agent={"max_turns": 1}).traces
    assert (trace.stop_condition, trace.is_truncated, trace.ok) == ("max_turns", True, True)
    record = record_of(trace)
    assert (record.end, len(record.turns)) == ("out_of_rounds", record.budget.max_rounds)
    assert trace.rewards["accuracy"].score == 0.0
    assert trace.metrics["cut_short"] == 1.0


def test_a_failure_of_the_server_is_no_wrong_answer() -> None:
    with chat_server(scripted(LOOK, {})) as server:
        played = episode(server)
    (trace,) = played.traces
    assert not played.ok
    assert RECORD not in trace.info
    assert all(reward is None for reward in trace.rewards.values())


def test_a_turn_that_was_cut_off_is_not_read() -> None:
    cut = {"message": {"content": ANSWER}, "finish_reason": "length"}
    with chat_server(scripted(cut, ANSWER)) as server:
        (trace,) = episode(server).traces
    assert [turn.refusal for turn in record_of(trace).turns] == ["malformed", None]


def test_reasoning_and_native_calls_are_read_as_text() -> None:
    call = {"name": "video_zoom", "arguments": json.dumps({"segment": [4, 6], "fps": 4})}
    function = {"id": "one", "type": "function", "function": call}
    asked = {"message": {"content": None, "reasoning_content": "Look.", "tool_calls": [function]}}
    protocol = {"name": "tool_calls", "structured": True}
    with chat_server(scripted(asked, "<answer>A</answer>")) as server:
        (trace,) = episode(server, protocol=protocol).traces
    record = record_of(trace)
    assert record.turns[0].outcome == "executed", record.turns[0].detail
    assert record.turns[0].text.startswith("<think>Look.</think>")


def test_what_is_unscored_stays_none(tmp_path: Path) -> None:
    """An unknown answer, and a module that needs the evidence where there is none."""
    file = write_tasks([load_tasks("tiny/test")[0]], tmp_path)
    row = json.loads(file.read_text(encoding="utf-8"))
    for facts, wanted in (
        ({"answer": "", "evidence": None}, {"accuracy": None, "recall": None}),
        ({"evidence": None}, {"accuracy": 1.0, "recall": None}),
    ):
        file.write_text(json.dumps({**row, **facts}), encoding="utf-8")
        named = file.rename(tmp_path / f"{len(facts)}.jsonl")  # a task file is read once in a process
        letter = load_tasks("tiny/test")[0].letter
        with chat_server(scripted(f"<answer>{letter}</answer>")) as server:
            (trace,) = episode(server, tasks=str(named), reward={"accuracy": 1.0, "recall": 0.5}).traces
        found = {name: None if reward is None else reward.score for name, reward in trace.rewards.items()}
        assert found == wanted
        assert trace.metrics["unscored"] == float(wanted["accuracy"] is None)


def test_records_are_appended_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    with chat_server(scripted(ANSWER)) as server:
        for index in range(2):
            episode(server, index, records=str(file))
    assert [record.task.id for record in read_records(file)] == ["tiny/test/0", "tiny/test/1"]


def test_tasks_that_name_code_are_refused() -> None:
    environment = vf.load_environment(vf.resolve_env_config({"taskset": {"id": "video-zoom", "tasks": "os:getcwd"}}))
    with pytest.raises(Exception, match="os:getcwd"):
        next(iter(environment.taskset.load()))


def test_wrong_settings_are_named_before_the_first_episode() -> None:
    for task, words in (
        ({"reward": "acuracy"}, "acuracy"),
        ({"protocol": "tag"}, "tag"),
        ({"tools": ["fram"]}, "fram"),
    ):
        config = vf.resolve_env_config({"taskset": {"id": "video-zoom", "task": task}})
        with pytest.raises(UnknownName, match=words):
            next(iter(vf.load_environment(config).taskset.load()))
    with pytest.raises(ValueError, match="rewrd"):
        vf.resolve_env_config({"taskset": {"id": "video-zoom", "task": {"rewrd": "accuracy"}}})


def test_mappings_may_be_texts() -> None:
    task = {"reward": "{accuracy: 1.0}", "budget": '{"max_zooms": 1}', "protocol": "{name: tags, think: none}"}
    with chat_server(scripted(LOOK, "<answer>A</answer>")) as server:
        (trace,) = episode(server, **task).traces
    record = record_of(trace)
    assert (record.budget.max_zooms, record.turns[1].well_formed, set(trace.rewards)) == (1, True, {"accuracy"})


def test_a_played_trace_without_a_record_is_an_error() -> None:
    environment = vf.load_environment(vf.resolve_env_config({"taskset": {"id": "video-zoom"}}))
    task = next(iter(environment.taskset.load()))
    assert isinstance(task, VideoZoomTask)
    with chat_server(scripted(ANSWER)) as server:
        (trace,) = episode(server).traces
    del trace.info[RECORD]
    with pytest.raises(TaskError, match="its record is missing"):
        asyncio.run(task.terms(trace))


# The commands --------------------------------------------------------------------------------------------------------


def run(folder: Path, *words: str) -> str:
    """Run a command of verifiers as a user does."""
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run(
        [program, *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_vf_eval(tmp_path: Path) -> None:
    with chat_server(scripted(LOOK, ANSWER)) as server:
        run(
            tmp_path, "vf-eval", "video-zoom", "-m", "scripted", "--client.base-url", server.url,
            "-n", "2", "-r", "2", "--no-push", "--rich", "None",
            "--env.taskset.tasks", "tiny/test", "--env.taskset.task.reward", '{"accuracy": 1.0}',
        )  # fmt: skip
    (file,) = tmp_path.glob("outputs/*/traces.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    traces = [trace for row in rows for trace in row.get("traces", [row])]
    letters = [task.letter for task in load_tasks("tiny/test[:2]")]
    assert sorted(trace["task"]["key"] for trace in traces) == ["tiny/test/0"] * 2 + ["tiny/test/1"] * 2
    for trace in traces:
        right = float(letters[trace["task"]["data"]["index"]] == "A")
        assert trace["rewards"] == {"accuracy": {"score": right, "weight": 1.0}}
        assert trace["stop_condition"] == "answered"


def test_validation_accepts_the_right_answer_and_releases_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = str(write_tasks([load_tasks("tiny/test")[0]], tmp_path))
    closed: list[str] = []
    monkeypatch.setattr(FileVideo, "close", lambda video: closed.append(video.uri))
    environment = vf.load_environment(vf.resolve_env_config({"taskset": {"id": "video-zoom", "tasks": named}}))
    (task,) = environment.taskset.load()
    assert asyncio.run(task.validate(None)) is True
    assert closed == [load_tasks(named)[0].video.uri]


def test_vf_validate(tmp_path: Path) -> None:
    told = run(tmp_path, "vf-validate", "video-zoom", "-n", "3", "--runtime.type", "subprocess")
    assert '"valid_rate": 1.0' in told
