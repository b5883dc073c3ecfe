"""`vzgym data verl` and `vzgym data skyrl`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

import vzgym
from vzgym.cli import progress
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName, UntrustedName
from vzgym.interfaces.rollouts import shared_rollouts
from vzgym.tasks import VideoTask
from vzgym.tasks.io.rows import read_rows
from vzgym.tasks.suite import ProceduralTasks

Run = Callable[..., Result]


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [dict(row) for _, row in read_rows(file)]


def test_rows_name_tasks_and_hold_no_pictures(run: Run, tmp_path: Path) -> None:
    result = run("data", "verl", "--tasks", "tiny[:3]", "--validation", "tiny/test[2:4]", "--out", tmp_path / "d")
    assert result.exit_code == 0, result.exception
    rows = rows_of(tmp_path / "d" / "train.parquet")
    tasks = vzgym.load_tasks("tiny/train")
    assert [row["extra_info"] for row in rows] == [{"tasks": "tiny/train[:3]", "index": index} for index in range(3)]
    assert rows[1] == {
        "data_source": "tiny/train",
        "prompt": [{"role": "user", "content": tasks[1].question}],
        "agent_name": "video_zoom",
        "extra_info": {"tasks": "tiny/train[:3]", "index": 1},
        "reward_model": {"style": "rule", "ground_truth": tasks[1].answer},
    }
    rollouts = shared_rollouts("test")
    for row, task in zip(
        rows_of(tmp_path / "d" / "validation.parquet"), vzgym.load_tasks("tiny/test[2:4]"), strict=True
    ):
        assert rollouts.find(row["extra_info"])[0].id == task.id
    assert "3 rows in" in result.stdout
    assert "data.max_prompt_length=PROMPT_TOKENS" in result.stdout.replace("\n", "")


def test_the_agent_loop_is_configured(run: Run, tmp_path: Path) -> None:
    reward = tmp_path / "reward.yaml"
    reward.write_text("accuracy: 1.0\nframe_cost: 0.01\n")
    options = ["--reward", reward, "--protocol", "{name: tags, think: optional}", "--budget", "{max_zooms: 2}"]
    options += ["--tool", "frame", "--subtitles", "all", "--records", "r.jsonl", "--turn-tokens", 99]
    options += ["--root", "videos"]
    assert run("data", "verl", "--tasks", "tiny[:1]", "--out", tmp_path / "d", *options).exit_code == 0
    (loop,) = yaml.safe_load((tmp_path / "d" / "agent_loop.yaml").read_text())
    assert loop == {
        "name": "video_zoom",
        "_target_": "vzgym.interfaces.verl.VideoZoomLoop",
        "turn_tokens": 99,
        "tool_role": "user",
        "settings": {
            "reward": {"accuracy": 1.0, "frame_cost": 0.01},
            "protocol": {"name": "tags", "think": "optional"},
            "budget": {"max_zooms": 2},
            "tools": ["frame"],
            "subtitles": "all",
            "records": str(Path("r.jsonl").resolve()),
            "root": str(Path("videos").resolve()),
        },
    }
    played = shared_rollouts("verl", loop["settings"])
    assert played.find({"tasks": "tiny/train", "index": 0})[1].max_zooms == 2


def test_lengths_are_measured(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="chat templates")
    from vzgym.agents.vlm.chat import encode
    from vzgym.protocols import as_chat
    from vzgym.testing.models import build_checkpoint, build_processor

    model = build_checkpoint("qwen3_vl", tmp_path / "model")
    result = run("data", "verl", "--tasks", "tiny[:6]", "--out", tmp_path / "d", "--model", model, "--turn-tokens", 50)
    assert result.exit_code == 0, result.exception
    printed = result.stdout.replace("\n", "")
    prompt, response = (int(printed.split(f"data.max_{name}_length=")[1].split()[0]) for name in ("prompt", "response"))
    processor = build_processor("qwen3_vl")
    openings, whole = [], []
    for index in range(6):
        rollout = shared_rollouts("test").start({"tasks": "tiny/train", "index": index})
        openings.append(len(encode(processor, as_chat(rollout.episode.messages))["input_ids"]))
        for start in (0, 8, 56):
            rollout.step(f'<think>.</think><video_zoom>{{"segment": [{start}, {start + 2}], "fps": 4}}</video_zoom>')
        whole.append(len(encode(processor, as_chat(rollout.episode.messages))["input_ids"]) - openings[-1])
    assert max(openings) <= prompt <= 1.1 * max(openings)
    assert max(whole) <= response


def test_rows_of_a_task_file(run: Run, written: Path, tmp_path: Path) -> None:
    file = vzgym.tasks.write_jsonl(vzgym.load_tasks(written), tmp_path / "mine.jsonl")
    # The videos of a task file that a row names lie in its own folder, unless the user says otherwise.
    result = run("data", "skyrl", "--tasks", file, "--out", tmp_path / "d")
    assert isinstance(result.exception, TaskError)
    result = run("data", "skyrl", "--tasks", f"{file}[1:]", "--out", tmp_path / "d", "--root", written.parent)
    assert result.exit_code == 0, result.exception
    rows = rows_of(tmp_path / "d" / "train.parquet")
    assert [row["extra_info"] for row in rows] == [{"tasks": f"{file.resolve()}[1:]", "index": n} for n in range(2)]
    assert {row["env_class"] for row in rows} == {"video_zoom"}
    assert rows[0]["reward_spec"]["method"] == "rule"
    rollouts = shared_rollouts("test", {"root": str(written.parent)})
    for row in rows:
        record = rollouts.start(row["extra_info"]).record
        assert record.task.question == row["prompt"][0]["content"]
        assert record.task.answer == row["reward_spec"]["ground_truth"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--tasks", "tini"], UnknownName, "tiny"),
        (["--tasks", "os:path"], UntrustedName, "os:path"),
        (["--tasks", "tiny", "--reward", "videozomer"], UnknownName, "videozoomer"),
        (["--tasks", "tiny", "--budget", "{zooms: 1}"], InvalidSetting, "zooms"),
        (["--tasks", "tiny", "--turn-tokens", "0"], InvalidSetting, "turn_tokens"),
        (["--tasks", "tiny", "--protocol", "{name: tags, think: never}"], InvalidSetting, "think"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_written(
    run: Run, tmp_path: Path, options: list[str], error: type[Exception], words: str
) -> None:
    result = run("data", "verl", *options, "--out", tmp_path / "d")
    assert isinstance(result.exception, error)
    assert words in str(result.exception)
    assert not (tmp_path / "d").exists()


def test_nothing_is_written_if_the_validation_tasks_cannot_be(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["data", "skyrl", "--tasks", "tiny[:1]", "--out", tmp_path / "d", "--validation"]
    assert isinstance(run(*options, "tini").exception, UnknownName)
    build = ProceduralTasks.__getitem__

    def fail(tasks: ProceduralTasks, index: int) -> VideoTask:
        if index == 1:
            raise TaskError("broken")
        return build(tasks, index)

    monkeypatch.setattr(ProceduralTasks, "__getitem__", fail)
    assert isinstance(run(*options, "tiny/test[:2]").exception, TaskError)
    assert not (tmp_path / "d").exists()


def test_files_are_not_replaced(run: Run, tmp_path: Path) -> None:
    assert run("data", "skyrl", "--tasks", "tiny[:1]", "--out", tmp_path).exit_code == 0
    written = (tmp_path / "train.parquet").read_bytes()
    result = run("data", "skyrl", "--tasks", "tiny[:2]", "--out", tmp_path)
    assert "exists" in str(result.exception)
    assert (tmp_path / "train.parquet").read_bytes() == written
    (tmp_path / "train.parquet").rename(tmp_path / "validation.parquet")
    result = run("data", "verl", "--tasks", "tiny[:1]", "--validation", "tiny[:2]", "--out", tmp_path)
    assert "validation.parquet exists" in str(result.exception)
    assert [file.name for file in tmp_path.iterdir()] == ["validation.parquet"]


@pytest.mark.parametrize("trainer", ["verl", "skyrl"])
def test_progress_is_reported_over_both_splits(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str
) -> None:
    monkeypatch.setattr(progress._ProgressBar, "_PERIOD", 0.0)
    result = run("data", trainer, "--tasks", "tiny[:2]", "--validation", "tiny/test[:2]", "--out", tmp_path / "d")
    assert result.exit_code == 0, result.exception
    lines = [line.split(",")[0] for line in result.stderr.splitlines() if "/4," in line]
    assert lines == [f"writing rows {done}/4" for done in (1, 2, 3)]
