"""What a command may write into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vzgym.cli.outputs import check_jsonl_output, evaluation_command
from vzgym.core.errors import InvalidSetting


def test_a_file_of_its_own_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    (tmp_path / "old.jsonl").touch()
    for name in ("new.jsonl", "deep/er.jsonl", "old.jsonl"):
        check_jsonl_output(tmp_path / name, [tmp_path / "in.jsonl"])


def test_a_file_that_is_read_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = tmp_path / "in.jsonl"
    read.touch()
    (tmp_path / "soft.jsonl").symlink_to(read)
    os.link(read, tmp_path / "hard.jsonl")
    monkeypatch.chdir(tmp_path)
    for out in (read, Path("in.jsonl"), tmp_path / "soft.jsonl", tmp_path / "hard.jsonl"):
        with pytest.raises(InvalidSetting, match=r"is the file that is read \(.*in\.jsonl\): choose another"):
            check_jsonl_output(out, [tmp_path / "other.jsonl", read])


def test_nor_what_is_no_jsonl_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"--out must name a \.jsonl file, but .* is a folder; say .*NAME\.jsonl"):
        check_jsonl_output(tmp_path, [])
    with pytest.raises(InvalidSetting, match=r"--out must end in \.jsonl, got tasks\.json"):
        check_jsonl_output(Path("tasks.json"), [])


@pytest.mark.parametrize(
    ("tasks", "shown"),
    [
        ("needle-tiny", "needle-tiny/test"),
        ("needle-tiny/train[:100]", "needle-tiny/test"),
        ("my_module:suite/train", "my_module:suite/test"),
        ("a/b/mine.jsonl", "a/b/mine.jsonl"),
        ("a/b/mine.jsonl[5:20]", "a/b/mine.jsonl"),
        ("a/b/train.jsonl[:20]", "a/b/test.jsonl"),
        ("a/train/mine.jsonl", "a/train/mine.jsonl"),
    ],
)
def test_the_next_command_names_the_tasks(
    tasks: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "test.jsonl").touch()
    assert evaluation_command(["runs/x"], tasks).endswith(f" --tasks {shown}")
