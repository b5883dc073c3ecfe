"""Trajectories in other formats."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atif import Trajectory
from PIL import Image
from typer.testing import Result

import vzgym
from vzgym.agents.data.sharegpt import import_sharegpt
from vzgym.core.actions import Answer, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, RecordError, UntrustedName, VideoError
from vzgym.episode import Episode, EpisodeRecord
from vzgym.evaluation import read_records
from vzgym.evaluation.pixels import messages_with_frames
from vzgym.evaluation.trajectories import FrameURLs, export_run, to_atif
from vzgym.protocols import PROTOCOLS
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks
from vzgym.tasks.subtitles.subtitle import Subtitle


class Speaker:
    """Thinks, zooms, writes nonsense, asks for the impossible, answers."""

    name = "speaker"
    protocol = "tags"
    turns: tuple[str, ...] = (
        '<think>Look at </think> the start.</think><video_zoom>{"segment": [0.0, 1.5], "fps": 4}</video_zoom>',
        "I do not know.",
        '<video_zoom>{"segment": [NaN, 1.5], "fps": 4}</video_zoom>',
        "<think>Sure.</think><answer>D</answer>",
    )

    def reset(self, seeds: Any) -> None:
        self.number = 0

    def respond(self, dialogues: Any) -> list[str]:
        self.number += 1
        return [self.turns[self.number - 1]] * len(dialogues)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    vzgym.evaluate(Speaker(), "needle-micro", episodes=3, budget={"max_zooms": 3}, out=out)
    return out


def test_a_saved_dialogue_gets_its_frames_back(run_folder: Path) -> None:
    live: list[EpisodeRecord] = []
    vzgym.evaluate(Speaker(), "needle-micro", episodes=1, budget={"max_zooms": 3}, on_episode=live.append)
    saved = next(read_records(run_folder))
    assert not any(message.images for message in saved.messages)
    said = messages_with_frames(saved)
    assert messages_with_frames(live[0]) is live[0].messages
    assert [(message.role, message.text) for message in said] == [
        (message.role, message.text) for message in live[0].messages
    ]
    for new, old in zip(said, live[0].messages, strict=True):
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(new.images, old.images, strict=True))
    assert sum(len(message.images) for message in said) == saved.frames


def test_subtitles_in_a_dialogue_are_exported(tmp_path: Path) -> None:
    file = write_tasks([load_tasks("needle-micro/test")[0]], tmp_path / "tasks")
    task = replace(load_tasks(file)[0], subtitles=(Subtitle(0.0, 50.0, "hello"),), show_subtitles=True)
    vzgym.evaluate("random", [task], episodes=1, out=tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "out", format="chat")
    assert "hello" in (tmp_path / "out" / "chat.jsonl").read_text()


def test_atif_documents_are_valid_and_hold_every_turn(run_folder: Path, tmp_path: Path) -> None:
    report = export_run(run_folder, tmp_path / "out", format="atif")
    assert (report.written, report.broken) == (3, [])
    for number, record in enumerate(read_records(run_folder)):
        folder = tmp_path / "out" / f"{number:06d}"
        data = json.loads((folder / "trajectory.json").read_text())
        trajectory = Trajectory.model_validate(data)
        assert [step.source for step in trajectory.steps] == ["system", "user", *["agent"] * len(record.turns)]
        first, second, third, last = trajectory.steps[2:]
        # A "</think>" that is only mentioned does not end the thought.
        assert first.reasoning_content == "Look at </think> the start."
        assert f"<think>{first.reasoning_content}</think>{first.message}" == record.turns[0].text
        (call,) = first.tool_calls or []
        assert (call.function_name, call.arguments) == ("video_zoom", {"segment": [0.0, 1.5], "fps": 4.0})
        (result,) = first.observation.results if first.observation else []
        assert result.source_call_id == call.tool_call_id
        paths = [part.source.path for part in result.content if part.source]
        assert [len(paths), len(set(paths))] == [6, 6]
        assert all((folder / path).is_file() for path in paths)
        assert (second.tool_calls, second.extra["outcome"]) == (None, "refused")
        assert second.observation.results[0].source_call_id is None
        # A number that JSON has no form for stays readable.
        assert third.tool_calls[0].arguments["segment"] == ["nan", 1.5]
        assert (last.message, last.observation) == ("<answer>D</answer>", None)
        assert trajectory.final_metrics.extra["correct"] == record.grade.is_correct
        assert trajectory.extra["task"]["answer"] == record.task.answer
        # The record can be rebuilt from nothing but its own line; the document repeats its facts.
        assert trajectory.agent.name == "speaker"


def test_chat_rows_have_what_was_said_and_shown(run_folder: Path, tmp_path: Path) -> None:
    export_run(run_folder, tmp_path / "files", format="chat")
    export_run(run_folder, tmp_path / "urls", format="chat", images="urls", image_format="jpeg")
    rows = [json.loads(line) for line in (tmp_path / "files" / "chat.jsonl").read_text().splitlines()]
    facts = [json.loads(line) for line in (tmp_path / "files" / "episodes.jsonl").read_text().splitlines()]
    records = list(read_records(run_folder))
    assert [fact["task_id"] for fact in facts] == [record.task.id for record in records]
    for row, record in zip(rows, records, strict=True):
        assert [message["role"] for message in row["messages"]] == [
            "user" if message.role == "tool" else message.role for message in record.messages
        ]
        for message, saved in zip(row["messages"], record.messages, strict=True):
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            assert "".join(block["text"] for block in blocks if block["type"] == "text") == saved.text
            if message["role"] == "assistant":
                assert isinstance(content, str)
    urls = [block["image_url"]["url"] for block in rows[0]["messages"][1]["content"] if block["type"] == "image_url"]
    shown = messages_with_frames(records[0])[1].images
    for url, frame in zip(urls, shown, strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "files" / url)), frame.pixels)
    encoded = json.loads((tmp_path / "urls" / "chat.jsonl").read_text().splitlines()[0])["messages"][1]["content"][1]
    head, _, data = encoded["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == shown[0].pixels.shape[1::-1]
    assert not (tmp_path / "urls" / "images").exists()


def test_sharegpt_rows_can_be_imported(run_folder: Path, tmp_path: Path) -> None:
    export_run(run_folder, tmp_path / "out", format="sharegpt", name="mine")
    assert "mine" in json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    report = import_sharegpt(tmp_path / "out" / "trajectories.json", tmp_path / "back")
    assert (report.rows, report.turns) == (3, 12)


def test_only_right_episodes_on_request(run_folder: Path, tmp_path: Path) -> None:
    right = sum(record.grade.is_correct for record in read_records(run_folder))
    assert 0 < right < 3
    told: list[tuple[int, int]] = []
    report = export_run(
        run_folder, tmp_path / "out", format="chat", correct_only=True, progress=lambda *counts: told.append(counts)
    )
    assert (report.written, report.left_out) == (right, 3 - right)
    assert told == [(1, 3), (2, 3), (3, 3)]


def lines_of(folder: Path) -> list[str]:
    return (folder / "records.jsonl").read_text().splitlines()


def test_broken_records_are_named_or_skipped(run_folder: Path, tmp_path: Path) -> None:
    whole = lines_of(run_folder)
    other = json.dumps({**json.loads(whole[1]), "version": 1})
    changed = json.loads(whole[2])
    changed["messages"][1]["text"] += " Please."
    file = tmp_path / "records.jsonl"
    cases = {
        "of version 1": [whole[0], other],
        "dialogue is worded differently": [whole[0], json.dumps(changed)],
        "the last line is incomplete": [whole[0], whole[1][:200]],
    }
    for words, lines in cases.items():
        file.write_text("\n".join(lines))
        with pytest.raises(RecordError, match=words):
            export_run(file, tmp_path / "out", format="chat")
        assert not (tmp_path / "out").exists()
        report = export_run(file, tmp_path / words.replace(" ", "-"), format="atif", skip_broken=True)
        assert report.written == 1
        assert words in report.broken[0]
    file.write_text("\n".join([whole[0], whole[1][:200], "", other, whole[2]]))
    report = export_run(file, tmp_path / "rest", skip_broken=True)
    assert report.written == 2
    assert [fault.split(":")[0] for fault in report.broken] == [f"{file}, line 2", f"{file}, line 4"]
    with pytest.raises(RecordError, match="line 2: not JSON"):
        export_run(file, tmp_path / "out")
    file.write_text(other)
    with pytest.raises(RecordError, match=r"no episode to export; the first: .*version 1"):
        export_run(file, tmp_path / "out", skip_broken=True)


def test_a_missing_video_and_foreign_code_are_named(tmp_path: Path) -> None:
    tasks = write_tasks([load_tasks("needle-micro/test")[0]], tmp_path / "tasks")
    vzgym.evaluate("oracle", tasks, episodes=1, out=tmp_path / "run")
    (record,) = read_records(tmp_path / "run")
    Path(record.task.video).unlink()
    with pytest.raises(VideoError, match="cannot be found"):
        export_run(tmp_path / "run", tmp_path / "out", format="chat")
    record.set_info(wording={"name": "subprocess:check_output"})
    (tmp_path / "evil.jsonl").write_text(record.to_line() + "\n")
    with pytest.raises(UntrustedName):
        export_run(tmp_path / "evil.jsonl", tmp_path / "out", format="chat")
    assert not (tmp_path / "out").exists()


def test_options_are_checked(run_folder: Path, tmp_path: Path) -> None:
    for options, words in (
        ({"format": "csv"}, "one of atif, chat, sharegpt"),
        ({"images": "inline"}, "'files' or 'urls'"),
        ({"image_format": "webp"}, "png or jpeg"),
        ({"format": "sharegpt", "images": "urls"}, "PNG files only"),
    ):
        with pytest.raises(InvalidSetting, match=words):
            export_run(run_folder, tmp_path / "out", **options)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InvalidSetting, match="holds something already"):
        export_run(run_folder, tmp_path / "full")
    with pytest.raises(RecordError, match=r"no records\.jsonl"):
        export_run(tmp_path / "full", tmp_path / "out")


def test_each_zoom_of_a_turn_is_a_call_with_its_own_result() -> None:
    task = load_tasks("needle-micro/test")[0]
    budget = Budget(clip_frames=6, max_zooms=2, zooms_per_turn=2)
    episode = Episode(task, budget, PROTOCOLS.make("tool_calls"))
    episode.step(Zooms((Zoom(1.0, 2.0, 2.0), Zoom(4.0, 5.0, 3.0))))
    step = Trajectory.model_validate(to_atif(episode.record, episode.messages, FrameURLs())).steps[-1]
    calls = {call.tool_call_id: call.arguments["segment"] for call in step.tool_calls or []}
    shown = {
        result.source_call_id: sum(part.type == "image" for part in result.content)
        for result in step.observation.results
    }
    assert list(calls.values()) == [[1.0, 2.0], [4.0, 5.0]]
    assert shown == dict(zip(calls, [2, 3], strict=True))


def test_a_tool_call_is_a_call_of_its_own_name(tmp_path: Path) -> None:
    file = write_tasks([load_tasks("needle-micro/test")[0]], tmp_path / "tasks")
    task = replace(load_tasks(file)[0], subtitles=(Subtitle(0.0, 50.0, "hello world"),))

    class Caller(Speaker):
        protocol = "tool_calls"
        turns: tuple[str, ...] = (
            '<tool_call>{"name": "subtitles", "arguments": {"query": "hello"}}</tool_call>',
            "<answer>A</answer>",
        )

    vzgym.evaluate(Caller(), [task], episodes=1, tools=["subtitles"], out=tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "out", format="atif")
    trajectory = Trajectory.model_validate_json((tmp_path / "out" / "000000" / "trajectory.json").read_text())
    names = [tool["function"]["name"] for tool in trajectory.agent.tool_definitions or []]
    assert names == ["video_zoom", "subtitles"]
    step = trajectory.steps[-2]
    assert [(call.function_name, call.arguments) for call in step.tool_calls or []] == [
        ("subtitles", {"query": "hello"})
    ]
    assert "hello world" in str(step.observation)


def test_an_episode_in_progress_and_a_video_error_are_documents_too() -> None:
    task = load_tasks("needle-micro/test")[0]
    episode = Episode(task, None, PROTOCOLS.make("tool_calls"))
    episode.step(Zoom(1.0, 2.0, 4.0))
    data = to_atif(episode.record, episode.messages, FrameURLs())
    assert Trajectory.model_validate(data).extra["end"] is None
    episode.step(Answer("A"))
    Trajectory.model_validate(json.loads(json.dumps(to_atif(episode.record, episode.messages, FrameURLs()))))


def test_the_command_exports_runs(run: Callable[..., Result], run_folder: Path, tmp_path: Path) -> None:
    result = run("data", "export", run_folder, "--format", "atif", "--out", tmp_path / "out", "--correct-only")
    assert result.exit_code == 0, result.output
    assert "left out since they are not right" in result.output
    assert (tmp_path / "out" / "000000" / "trajectory.json").is_file()


@pytest.fixture
def run() -> Callable[..., Result]:
    from typer.testing import CliRunner

    from vzgym.cli import app

    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
