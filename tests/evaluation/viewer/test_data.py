"""Runs are read as they grow, whatever state their files are in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vzgym.core.actions import Answer, ToolCall, Zoom, Zooms
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.wording import PlainWording
from vzgym.evaluation import evaluate, read_records
from vzgym.evaluation.comparison import compare_runs
from vzgym.evaluation.viewer import LiveView
from vzgym.evaluation.viewer.data import ViewData
from vzgym.evaluation.viewer.following import find_record_files
from vzgym.evaluation.viewer.frames import FrameSheets
from vzgym.evaluation.viewer.payload import COLUMNS
from vzgym.evaluation.viewer.server import Request
from vzgym.tasks import VideoTask


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs on the same three tasks. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    for policy in ("random", "oracle"):
        evaluate(policy, "needle-tiny", episodes=3, out=folder / policy)
    return folder


def lines_of(run: Path) -> list[bytes]:
    return (run / "records.jsonl").read_bytes().splitlines(keepends=True)


def read(*paths: Path, live: bool = False) -> ViewData:
    data = ViewData(paths, live=live)
    data.poll()
    return data


def test_record_files_of_every_kind_of_run(tmp_path: Path) -> None:
    for name in (
        "eval/records.jsonl",
        "grpo/rollouts.jsonl",
        "done/records.jsonl",
        "done/rejected.jsonl",
        "begun/parts/00000.records.jsonl",
        "begun/parts/00000.rejected.jsonl",
        "done/parts/00000.records.jsonl",
        "other/tasks.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_record_files(tmp_path)
    assert {folder.name: [file.name for file in files] for folder, files in found.items()} == {
        "begun": ["00000.records.jsonl", "00000.rejected.jsonl"],
        "done": ["records.jsonl", "rejected.jsonl"],
        "eval": ["records.jsonl"],
        "grpo": ["rollouts.jsonl"],
    }


def test_the_index_has_a_row_for_each_episode_and_the_paired_difference(runs: Path) -> None:
    index = read(runs / "oracle", runs / "random").index()
    assert [run["name"] for run in index["runs"]] == ["oracle", "random"]
    rows = [dict(zip(index["columns"], row, strict=True)) for row in index["runs"][0]["rows"]]
    for row, record in zip(rows, read_records(runs / "oracle"), strict=True):
        assert row["task"] == record.task.id
        assert row["correct"] is True
        assert row["class"] == "right_and_grounded"
        assert (row["zooms"], row["frames"]) == (record.zooms, record.frames)
    expected = compare_runs([runs / "oracle", runs / "random"]).to_json()
    assert index["comparison"]["runs"] == expected["runs"]
    assert index["problems"] == []


def test_runs_without_a_shared_task_are_shown_and_not_compared(runs: Path, tmp_path: Path) -> None:
    evaluate("oracle", "needle-tiny/validation", episodes=1, out=tmp_path)
    index = read(runs / "oracle", tmp_path).index()
    assert "shares no task" in index["comparison"]["missing"]


def test_lines_that_are_no_record_are_named(runs: Path, tmp_path: Path) -> None:
    good = json.loads(lines_of(runs / "oracle")[0])
    broken = {
        "rewards": [1, 2],
        "messages": 3,
        "end": "never",
        "grade": {"status": "correct"},
        "turns": [{}],
    }
    lines = [json.dumps({**good, key: value}) for key, value in broken.items()]
    (tmp_path / "records.jsonl").write_text("\n".join([*lines, "[]", "{", json.dumps(good), '{"version": 2']))
    index = read(tmp_path).index()
    assert len(index["runs"][0]["rows"]) == 1
    assert index["unread"] == len(broken) + 3
    where = " ".join(place for place, _ in index["problems"])
    assert all(f"line {number}" in where for number in (*range(1, len(broken) + 3), len(broken) + 4))


def test_a_file_of_another_version_is_one_problem(runs: Path, tmp_path: Path) -> None:
    old = b"".join(line.replace(b'"version":', b'"version":9', 1) for line in lines_of(runs / "oracle"))
    (tmp_path / "records.jsonl").write_bytes(old)
    index = read(tmp_path).index()
    ((where, message),) = index["problems"]
    assert where.endswith("records.jsonl, lines 1 to 3")
    assert "an episode record of version" in message


def test_a_growing_run_is_followed(runs: Path, tmp_path: Path) -> None:
    first, second, third = lines_of(runs / "oracle")
    data = read(tmp_path, live=True)
    assert data.index()["runs"] == []
    file = tmp_path / "records.jsonl"
    file.write_bytes(first + second[:50])
    data.poll()
    assert len(data.runs[0].rows) == 1
    file.write_bytes(first + second + third)
    data.poll()
    index = data.index(have=[1])
    assert (index["generation"], index["runs"][0]["from"], len(index["runs"][0]["rows"])) == (0, 1, 2)
    assert index["problems"] == []
    file.write_bytes(third)
    data.poll()
    assert data.generation == 1
    assert [row[COLUMNS.index("task")] for row in data.runs[0].rows] == [json.loads(third)["task"]["id"]]


def test_a_missing_run_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="there is no such run"):
        ViewData([tmp_path / "gone"])
    with pytest.raises(RecordError, match="no records"):
        ViewData([tmp_path])


def view_of(record: EpisodeRecord, folder: Path) -> dict[str, Any]:
    (folder / "records.jsonl").write_text(record.to_line() + "\n")
    return read(folder).episode(0, 0, FrameSheets(folder / "frames"))


def test_turns_of_every_kind(make_task: Callable[..., VideoTask], tmp_path: Path) -> None:
    from vzgym.core.budget import Budget

    episode = Episode(make_task(), Budget(zooms_per_turn=2), PlainWording())
    episode.step(Zoom(1.0, 2.0, 2.0))
    episode.step(Zooms((Zoom(4.0, 5.0, 2.0), Zoom(5.0, 6.0, 2.0))))
    episode.step(Zoom(float("nan"), 2.0, 2.0))
    episode.step(ToolCall("find", {"text": "<b>", "deep": {"a": [1.5]}}))
    episode.step(Answer("A"))
    shown = view_of(episode.record, tmp_path)
    kinds = [(turn["kind"], turn["title"], turn["outcome"], len(turn["clips"])) for turn in shown["turns"]]
    assert kinds == [
        ("zoom", "Zoom", "executed", 1),
        ("zooms", "2 zooms", "executed", 2),
        ("zoom", "Zoom", "refused", 0),
        ("toolcall", "Tool find", "refused", 0),
        ("answer", "Answer", "answered", 0),
    ]
    assert shown["turns"][2]["windows"] == [["nan", 2.0, 2.0]]
    assert shown["turns"][3]["arguments"] == {"text": "<b>", "deep": {"a": [1.5]}}
    assert shown["grade"]["why"] == "Read as this, which is right."
    # The video lay in memory, so that its frames are gone.
    assert all("lay in memory" in clip["missing"] for clip in shown["clips"])


def test_frames_come_from_the_video_or_the_reason_why_not(runs: Path, tmp_path: Path) -> None:
    record = next(read_records(runs / "oracle"))
    data = json.loads(record.to_line())
    shown = view_of(record, tmp_path)
    assert all((tmp_path / "frames" / clip["sheet"][0]).is_file() for clip in shown["clips"])
    clip = data["overview"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"hashes": ["0" * 32] * len(clip["hashes"])}, "no longer shows the frames"),
        ({"size": [10**6, 10**6]}, "too large"),
        ({"requested": [1e9] * len(clip["hashes"])}, "times must lie"),
        ({"region": [0.5, 0.5, 0.1, 2.0]}, "not inside the frame"),
    ]
    for number, (change, words) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = view_of(EpisodeRecord.from_json({**data, "overview": {**clip, **change}}), folder)
        assert words in found["clips"][0]["missing"]
        assert "sheet" in found["clips"][1]


def test_only_the_page_and_its_frames_are_served(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "private.webp").touch()
    with LiveView([runs / "oracle"]) as live:

        def status(path: str) -> int:
            return live.answer(Request("GET", path)).status

        for path in ("", "static/viewer.css", "data/index.js", "data/0/0.js"):
            assert status(path) == 200, path
        sheet = re.search(rb"[0-9a-f]{32}[.]webp", live.answer(Request("GET", "data/0/0.js")).body)
        assert sheet is not None
        assert live.answer(Request("GET", f"frames/{sheet[0].decode()}")).kind == "image/webp"
        for path in (
            "static/../data.py",
            "static/",
            f"frames/{'0' * 32}.webp",
            "frames/../private.webp",
            f"frames/{tmp_path}/private.webp",
            str(runs / "oracle" / "records.jsonl"),
            "../records.jsonl",
            "data/0/0.js\n",
        ):
            assert status(path) == 404, path
        assert b"there is no episode 99 in run 7" in live.answer(Request("GET", "data/7/99.js")).body
        odd = {"generation": "0", "have": "x,-1,99999999999"}
        assert live.answer(Request("GET", "data/new.json", odd)).status == 200
