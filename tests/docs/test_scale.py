"""The commands of docs/how-to/scale.md, in order, at small size. `tests/rollout/test_ray.py` tests those of Ray."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vzgym.cli import app
from vzgym.core.files import read_json
from vzgym.evaluation import read_records
from vzgym.video.settings import configure, limits
from vzgym.video.shared_frames import shared_frames

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "scale.md"
SMALL = {"--tasks": "4", "--episodes": "4"}


def commands(section: str) -> list[list[str]]:
    """The words of the `vzgym` commands of a section, with small numbers."""
    (text,) = re.findall(
        rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    lines = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ").splitlines()
    found = []
    for words in (shlex.split(line, comments=True) for line in lines):
        if words[:1] == ["vzgym"]:
            pairs = zip(words[1:], words, strict=False)
            found.append([SMALL.get(before, word) if word.isdigit() else word for word, before in pairs])
    assert found
    return found


def test_worker_processes_that_share_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VZGYM_CACHE", str(tmp_path))
    before = limits()
    try:
        for words in [*commands("Worker processes"), *commands("Share decoded frames on one machine")]:
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, f"{words}\n{result.output}"
        assert limits().shared_bytes == 500_000_000
    finally:
        configure(before)
        shared_frames(500_000_000).close()
        shared_frames.cache_clear()
    (folder,) = Path("runs/random").iterdir()
    assert [record.info.index for record in read_records(folder)] == [0, 1, 2, 3]
    assert sum(read_json("runs/cold-start/statistics.json")["played"].values()) == 4
