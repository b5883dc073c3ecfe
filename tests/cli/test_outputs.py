"""What a command may write into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vzgym.cli.outputs import check_jsonl_output
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
