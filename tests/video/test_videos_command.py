"""The command `vzgym videos`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from vzgym.cli.videos import app
from vzgym.video.file import FileVideo
from vzgym.video.store import FrameStore


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


def test_check_prints_a_table_and_says_what_is_wrong(run, make_file, tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    result = run("check", make_file("b-frames").path, empty)
    assert result.exit_code == 1
    assert "160x96" in result.output
    assert "fine" in result.output
    assert "the file is empty" in result.output


def test_check_prints_json(run, make_file):
    result = run("check", "--json", "--full", make_file("variable-rate").path)
    assert result.exit_code == 0
    (report,) = json.loads(result.output)
    assert report["ok"]
    assert report["info"]["codec"] == "h264"
    assert report["frames_checked"] >= 120
    assert report["remuxed_to"] is None


def test_check_of_a_folder_remuxes_what_needs_it(run, make_file, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for kind in ("mpeg-ts", "b-frames"):
        made = make_file(kind)
        (videos / made.path.name).write_bytes(made.path.read_bytes())
    (videos / "notes.txt").write_text("no video")
    result = run("check", videos, "--json", "--remux", tmp_path / "out")
    assert result.exit_code == 0
    assert len(json.loads(result.output)) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["transport.mp4"]
    assert FileVideo(tmp_path / "out" / "transport.mp4").num_frames == 120


def test_store_builds_and_names_what_it_cannot(run, make_file, tmp_path):
    made = make_file("b-frames")
    result = run("store", made.path, tmp_path / "none.mp4", "--root", tmp_path / "stores")
    assert result.exit_code == 1
    assert "16 frames" in result.output
    assert "cannot be found" in result.output
    assert len(FrameStore.find(made.path, tmp_path / "stores")) == 16
