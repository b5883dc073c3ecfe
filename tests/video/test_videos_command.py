"""The command `vzgym videos`."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from vzgym.cli.videos import app
from vzgym.core.errors import InvalidSetting
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


def test_files_of_one_name_are_all_remuxed(run, make_file, tmp_path):
    source = make_file("mpeg-ts").path
    for folder in ("a", "b"):
        (tmp_path / "videos" / folder).mkdir(parents=True)
        shutil.copy(source, tmp_path / "videos" / folder / "clip.ts")
    result = run("check", tmp_path / "videos", "--json", "--remux", tmp_path / "out")
    assert result.exit_code == 0
    wanted = [tmp_path / "out" / folder / "clip.mp4" for folder in ("a", "b")]
    assert [report["remuxed_to"] for report in json.loads(result.output)] == [str(path) for path in wanted]
    assert sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()) == wanted


def test_a_remux_that_would_replace_a_file_is_an_error(run, make_file, tmp_path):
    source = make_file("mpeg-ts").path
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "clip.ts")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip.mp4").write_text("another's")
    result = run("check", tmp_path / "a", "--remux", tmp_path / "out")
    assert result.exit_code == 1
    assert "clip.mp4'; delete it, or choose another folder" in result.output
    assert (tmp_path / "out" / "clip.mp4").read_text() == "another's"
    # Two files given by name have one place.
    result = run("check", tmp_path / "a/clip.ts", tmp_path / "b/clip.ts", "--json", "--remux", tmp_path / "new")
    assert result.exit_code == 1
    assert [report["remuxed_to"] for report in json.loads(result.output)] == [str(tmp_path / "new" / "clip.mp4"), None]
    result = run("check", tmp_path / "a", "--remux", tmp_path / "out" / "clip.mp4")
    assert isinstance(result.exception, InvalidSetting)
    assert "--remux must name a folder" in str(result.exception)


@pytest.mark.parametrize("command", [["check"], ["check", "--json"], ["store", "--root", "stores"]])
def test_a_folder_without_videos_is_named(run, tmp_path, command):
    (tmp_path / "notes.txt").write_text("no video")
    result = run(*command, tmp_path)
    assert isinstance(result.exception, InvalidSetting)
    assert f"no video files in {tmp_path}; suffixes: .3gp, .apng, .asf, .avi" in str(result.exception)


def test_store_builds_and_names_what_it_cannot(run, make_file, tmp_path):
    made = make_file("b-frames")
    result = run("store", made.path, tmp_path / "none.mp4", "--root", tmp_path / "stores")
    assert result.exit_code == 1
    assert "16 frames" in result.output
    assert "cannot be found" in result.output
    assert len(FrameStore.find(made.path, tmp_path / "stores")) == 16
