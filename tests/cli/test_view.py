"""`vzgym view`."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from vzgym.cli import view
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.evaluation import evaluate

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs of two episodes."""
    folder = tmp_path_factory.mktemp("saved")
    for policy in ("random", "oracle"):
        evaluate(policy, "tiny", episodes=2, out=folder / policy)
    return folder


def test_the_page_of_a_run_is_in_its_folder_and_is_written_anew(run: Run, saved: Path) -> None:
    for _ in range(2):
        found = run("view", saved / "oracle", "--no-open")
        assert found.exit_code == 0, found.output
        assert found.stdout == f"Page: {saved / 'oracle' / 'view' / 'index.html'}\n"
        assert sorted(path.name for path in (saved / "oracle" / "view" / "data" / "0").iterdir()) == ["0.js", "1.js"]
    assert list((saved / "oracle" / "view" / "frames").glob("*.webp"))


def test_the_page_of_several_runs_is_beside_them(run: Run, saved: Path) -> None:
    found = run("view", saved / "oracle", saved / "random", "--no-frames")
    assert found.stdout == f"Page: {saved / 'view' / 'index.html'}\n"
    assert not (saved / "view" / "frames").exists()
    # A pattern finds the page beside the runs.
    everything = sorted(saved.iterdir())
    assert len(everything) == 3
    assert run("view", *everything, "--no-frames").stdout == found.stdout
    assert "oracle" in run("compare", *everything).stdout


def test_only_a_desktop_opens_the_page(run: Run, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    view.open_page("file:///nowhere")
    assert opened == []
    file = tmp_path / "page.html"
    monkeypatch.setattr(view, "open_page", opened.append)
    assert run("view", saved / "oracle", "--single-file", file, "--no-frames").exit_code == 0
    assert opened == [file.as_uri()]


def test_bad_input(run: Run, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"id": "a", "video": "hall.mp4", "question": "What leaves?"}\n')
    cases: list[tuple[list[Any], type[Exception], str]] = [
        ([tmp_path / "gone"], InvalidSetting, "there is no such run"),
        ([tmp_path], RecordError, "there are no records in it"),
        ([tmp_path / "mine.txt"], RecordError, "mine.txt: there are no episode records in it"),
        ([tasks], RecordError, "tasks.jsonl: there are no episode records in it (not an episode record"),
        ([saved / "oracle", tasks], RecordError, "tasks.jsonl: there are no episode records in it"),
        ([tasks, "--single-file", tmp_path / "page.html"], RecordError, "there are no episode records in it"),
        ([saved, "--out", tmp_path], InvalidSetting, "holds other files"),
        ([saved, "--out", tmp_path / "mine.txt"], InvalidSetting, "is not a folder"),
        ([saved, "--single-file", tmp_path / "page.pdf"], InvalidSetting, "must end in .html"),
        ([saved, "--single-file", "a.html", "--out", "a"], InvalidSetting, "give one of them"),
        ([saved, "--serve", "--out", "a"], InvalidSetting, "--serve writes no page"),
    ]
    for arguments, error, told in cases:
        found = run("view", *arguments)
        assert isinstance(found.exception, error), found.output
        assert told in str(found.exception)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.txt", "tasks.jsonl"]
