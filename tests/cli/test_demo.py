"""`vzgym demo`, on the smallest scale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.baselines.test_readers import boxed, evidence_frames, native
from vzgym.baselines import CONTROLS
from vzgym.cli import app, demo
from vzgym.core import overview_times
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation import read_records
from vzgym.tasks import load_jsonl, load_tasks

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A demo of three videos: its folder, and what it printed. Not to be changed."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = ["demo", "--episodes", "3", "--quick", "--out", str(folder), "--workers", "1"]
    return folder, CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})


def test_it_writes_videos_records_and_a_picture(shown: tuple[Path, Result]) -> None:
    folder, found = shown
    assert found.exit_code == 0, found.output
    rows = [json.loads(line) for line in (folder / "videos" / "tasks.jsonl").read_text().splitlines()]
    assert [row["category"] for row in rows] == ["needle", "count", "control"]
    assert all((folder / "videos" / row["video"]).stat().st_size > 10_000 for row in rows)
    for control in CONTROLS:
        records = list(read_records(folder / "runs" / f"{control.name}-tasks"))
        assert [record.task.id for record in records] == [row["id"] for row in rows]
        assert all(record.task.video.endswith(".mp4") for record in records)
    with Image.open(folder / "episode.png") as image:
        assert image.size == (1280, 720)
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 1000


def test_it_prints_a_table_and_where_things_are(shown: tuple[Path, Result]) -> None:
    folder, found = shown
    lines = found.stdout.partition("A trained model")[0].splitlines()
    table = [line for line in lines if line.startswith(tuple(control.name for control in CONTROLS))]
    assert [line.split()[0] for line in table] == [control.name for control in CONTROLS]
    assert all(len(line) <= 80 for line in table)
    oracle = next(line for line in table if line.startswith("oracle"))
    assert "100.0 [43.9, 100.0]" in oracle
    assert "pyav and decord read the same frames" in found.stdout
    assert f"vzgym view {folder / 'runs'}" in found.stdout
    assert str(folder / "episode.png") in found.stdout


def test_the_quick_one_plays_the_trained_model(shown: tuple[Path, Result]) -> None:
    folder, found = shown
    table = {
        line.split()[0]: line for line in found.stdout.partition("A trained model")[2].splitlines() if line.strip()
    }
    assert {"blind", "random", "tiny", "expert"} <= set(table)
    records = list(read_records(folder / "trained" / "tiny-needle-micro-test"))
    assert len(records) == demo.TRAINED_TASKS
    right = sum(record.grade is not None and record.grade.is_correct for record in records)
    assert right > demo.TRAINED_TASKS / 2  # chance is a sixth
    assert all(record.zooms > 0 for record in records)


def test_a_second_call_goes_on_where_the_first_stopped(shown: tuple[Path, Result], run: Run) -> None:
    folder, first = shown
    kept = [*folder.glob("videos/*.mp4"), *folder.glob("runs/*/records.jsonl")]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}
    found = run("demo", "--episodes", 3, "--quick", "--out", folder, "--workers", 1)
    assert found.exit_code == 0, found.output
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept} == before
    assert found.stdout == first.stdout


def test_its_records_replay_on_their_files(shown: tuple[Path, Result], run: Run) -> None:
    folder, _ = shown
    found = run("replay", folder / "runs")
    assert found.exit_code == 0, found.output
    assert found.stdout == f"{3 * len(CONTROLS)} records replayed, 0 differ.\n"


def test_readers_are_right_on_its_files_whole_and_in_a_box(shown: tuple[Path, Result]) -> None:
    folder, _ = shown
    for task in load_jsonl(folder / "videos" / "tasks.jsonl"):
        frames = evidence_frames(task, overview_times(task.video.duration, load_tasks("short").budget))
        assert native(task, frames).option == boxed(task, frames).option == task.answer
        task.video.close()


@pytest.mark.parametrize("episodes", [0, 1001])
def test_impossible_numbers_of_videos(run: Run, tmp_path: Path, episodes: int) -> None:
    found = run("demo", "--episodes", episodes, "--out", tmp_path / "demo")
    assert isinstance(found.exception, InvalidSetting)
    assert "--episodes must be 1 to 1000" in str(found.exception)
    assert not (tmp_path / "demo").exists()


def test_the_quick_one_is_small(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Enough(Exception):
        pass

    def write(tasks: list[object], *arguments: object, **options: object) -> Path:
        asked.append(len(tasks))
        raise Enough

    monkeypatch.setattr(demo, "write_task_files", write)
    run("demo", "--quick", "--out", tmp_path)
    run("demo", "--quick", "--episodes", 4, "--out", tmp_path)
    run("demo", "--out", tmp_path)
    assert asked == [demo.QUICK, 4, 30]
