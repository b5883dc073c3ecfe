"""`vzgym tasks show` on tasks of a file, and `vzgym envs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

import vzgym
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.interval import Interval
from vzgym.envs.registration import ENV_IDS
from vzgym.evaluation.policy_evaluation import ZoomNotNeeded
from vzgym.tasks import TaskList, VideoTask, load_tasks, write_jsonl
from vzgym.tasks.io.writing import write_tasks

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks about one's own video: one whose evidence an overview frame shows, one without known evidence."""
    folder = tmp_path_factory.mktemp("own")
    video = load_tasks(write_tasks([load_tasks("needle-tiny/test")[0]], folder / "made"))[0].video
    shown = VideoTask(
        "shown", video, "Which one?", ("red", "blue"), "red", evidence=(Interval(0.0, video.duration),), category="a"
    )
    unknown = VideoTask("unknown", video, "How [many]?", answer="3")
    return write_jsonl([shown, unknown], folder / "own.jsonl")


def test_a_task_of_a_file_is_shown_with_its_contact_sheet(run: Run, own: Path, tmp_path: Path) -> None:
    found = run("tasks", "show", "unknown", "--tasks", own, "--out", tmp_path / "sheet.png")
    assert found.exit_code == 0, found.output
    assert "How [many]?" in found.stdout
    assert "none: task 'unknown': an expert needs known evidence" in found.stdout
    assert "overview alone" not in found.stderr
    assert Image.open(tmp_path / "sheet.png").width > 500
    other = run("tasks", "show", "gone", "--tasks", own)
    assert isinstance(other.exception, UnknownName)
    assert "valid: shown, unknown" in str(other.exception)
    close = run("tasks", "show", "shwon", "--tasks", own)
    assert "did you mean 'shown'? Valid: shown, unknown" in str(close.exception)
    alone = run("tasks", "show", own)
    assert isinstance(alone.exception, InvalidSetting)
    assert f"say vzgym tasks show ID --tasks {own}" in str(alone.exception)


def test_a_task_whose_overview_shows_the_evidence_draws_a_warning(run: Run, own: Path) -> None:
    found = run("tasks", "show", "shown", "--tasks", own)
    assert "the overview alone shows the evidence" in found.stderr
    assert "overview alone" not in run("tasks", "show", "needle-tiny/test/0").stderr


def test_evaluation_counts_the_tasks_that_need_no_zoom(own: Path, recwarn: pytest.WarningsRecorder) -> None:
    vzgym.evaluate("overview", "needle-tiny", episodes=3)
    # The uniform control shows more on purpose.
    vzgym.evaluate("uniform", "needle-tiny", episodes=3)
    assert not [item for item in recwarn if item.category is ZoomNotNeeded]
    with pytest.warns(ZoomNotNeeded, match="evidence of 1 of 2 tasks of 'own'"):
        vzgym.evaluate("blind", own)
    # Nothing to find: the control family does not count.
    task = load_tasks("control-tiny/test")[0]
    vzgym.evaluate("blind", TaskList([task]))
    assert not [item for item in recwarn if item.category is ZoomNotNeeded]


def test_the_ids_are_listed(run: Run) -> None:
    found = run("envs")
    assert found.exit_code == 0, found.output
    for name in ENV_IDS:
        assert name in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 80
