"""`vzgym tasks score`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import vzgym
from vzgym.core.errors import InvalidSetting
from vzgym.tasks import load_tasks, write_jsonl

Run = Callable[..., Result]


def test_scores_are_computed_once_and_found_by_policies(run: Run, written: Path, tmp_path: Path) -> None:
    arguments = ("tasks", "score", "--tasks", written, "--scorer", "histogram", "--cache", tmp_path)
    seconds = sum(int(-(-task.video.duration // 1)) for task in load_tasks(written))
    planned = run(*arguments, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert f"frames to score                {seconds}" in planned.stdout
    assert "passes of the scorer's model   0" in planned.stdout
    assert not list(tmp_path.glob("*/*.npz"))
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert f"{seconds} frames scored" in first.stdout
    assert len(list(tmp_path.glob("*/0.npz"))) == 3
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/0.npz")}
    assert "0 frames scored" in run(*arguments).stdout
    policy = {"name": "aks", "scorer": "histogram", "cache": str(tmp_path)}
    report = vzgym.evaluate(policy, str(written))
    assert report.totals["frames_scored"] == seconds
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/0.npz")} == before


@pytest.mark.parametrize("scorer", ["histogram", "hash"])
def test_workers_score_the_same(scorer: str, run: Run, written: Path, tmp_path: Path) -> None:
    def stored(folder: Path) -> dict[str, list[bytes]]:
        found = {}
        for path in folder.glob("*/*.npz"):
            with np.load(path) as data:
                found[f"{path.parent.name}/{path.name}"] = [data[name].tobytes() for name in ("times", "values")]
        return found

    arguments = ("tasks", "score", "--tasks", written, "--scorer", scorer, "--fps", 3, "--cache")
    one, two = tmp_path / "one", tmp_path / "two"
    alone = run(*arguments, one).stdout
    workers = ("--workers", 2)
    together = run(*arguments, two, *workers)
    assert together.exit_code == 0, together.output
    # The number of decoded frames depends on what a process has decoded before.
    assert together.stdout.partition(",")[0] == alone.partition(",")[0]
    assert len(stored(one)) > 3  # more than one block of a video
    assert stored(two) == stored(one)
    lost = next(two.glob("*/128.npz"))
    size = len(np.load(lost)["times"])
    lost.unlink()
    assert f"{size} frames scored" in run(*arguments, two, *workers).stdout
    assert stored(two) == stored(one)


def test_embeddings_are_shared_by_the_questions_of_a_video(run: Run, written: Path, tmp_path: Path) -> None:
    task = load_tasks(written)[0]
    tasks = [vzgym.VideoTask(f"t{place}", task.video, f"The {word} one?") for place, word in enumerate(("red", "blue"))]
    file = write_jsonl(tasks, tmp_path / "two.jsonl")
    seconds = int(-(-task.video.duration // 1))
    for scorer, times in (("histogram", 1), ("hash", 2)):
        found = run("tasks", "score", "--tasks", file, "--scorer", scorer, "--cache", tmp_path / scorer, "--dry-run")
        assert f"frames to score                {times * seconds}" in found.stdout


def test_a_video_that_cannot_be_read_is_named_and_left_out(run: Run, written: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    tasks = [vzgym.VideoTask.from_file(str(broken), "Which?", id="broken"), load_tasks(written)[0]]
    file = write_jsonl(tasks, tmp_path / "two.jsonl")
    found = run("tasks", "score", "--tasks", file, "--scorer", "hash", "--cache", tmp_path / "cache")
    assert found.exit_code == 1
    assert "left out: broken:" in found.stderr
    assert len(list((tmp_path / "cache").glob("*/0.npz"))) == 1


@pytest.mark.parametrize(("tasks", "scorer", "words"), [
    ("needle-tiny[:2]", "histogram", "no video file"),
    (None, "evidence", "'evidence' are not kept on disk"),
    (None, "{name: hash, size: 1}", "no option 'size'"),
])  # fmt: skip
def test_scores_that_cannot_be_kept_are_refused(
    run: Run, written: Path, tmp_path: Path, tasks: str | None, scorer: str, words: str
) -> None:
    found = run("tasks", "score", "--tasks", tasks or written, "--scorer", scorer, "--cache", tmp_path)
    assert isinstance(found.exception, InvalidSetting)
    assert words in str(found.exception)
