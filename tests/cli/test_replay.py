"""`vzgym replay`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from vzgym.core.errors import RecordError
from vzgym.evaluation import evaluate

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs, of three and of two episodes. Not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    evaluate("random", "tiny", episodes=3, out=folder / "random")
    evaluate("oracle", "tiny", episodes=2, out=folder / "oracle")
    return folder


def test_what_was_saved_comes_out_the_same(run: Run, saved: Path) -> None:
    for path, count in ((saved, 5), (saved / "random", 3), (saved / "oracle" / "records.jsonl", 2)):
        found = run("replay", path)
        assert found.exit_code == 0, found.output
        assert found.stdout == f"{count} records replayed, 0 differ.\n"


def test_what_differs_is_told_and_the_exit_status_is_1(run: Run, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "copy")
    file = tmp_path / "copy" / "random" / "records.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    records[1]["rewards"][-1]["total"] = 99.0
    records[1]["overview"]["hashes"][0] = "0" * 32
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = run("replay", tmp_path / "copy")
    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        "random tiny/test/1: the overview's frames differ",
        "random tiny/test/1: the rewards differ",
        "5 records replayed, 1 differ.",
    ]


def test_one_episode_and_its_picture(run: Run, saved: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new" / "folder" / "picture.of.it"
    found = run("replay", saved / "random", "--episode", 2, "--picture", picture)
    assert found.exit_code == 0, found.output
    assert found.stdout == f"Picture: {picture}\n1 records replayed, 0 differ.\n"
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("PNG", (1280, 720))
        assert len(image.getcolors(maxcolors=1 << 20) or []) > 100


def test_bad_input(run: Run, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "records.jsonl").touch()
    torn = tmp_path / "torn.jsonl"
    torn.write_text((saved / "oracle" / "records.jsonl").read_text()[:-100])
    for arguments, told in (
        ([tmp_path / "gone"], "no such file of episode records"),
        ([tmp_path / "empty"], "no records.jsonl in this folder"),
        ([tmp_path / "begun"], "begun: holds no records"),
        ([tmp_path / "begun" / "records.jsonl", "--episode", 0], "holds no records"),
        ([saved, "--episode", 7], "no record has index 7"),
        ([torn], "torn.jsonl, line 2: not JSON"),
    ):
        found = run("replay", *arguments)
        assert isinstance(found.exception, RecordError)
        assert told in str(found.exception)
