"""Checking files: what is wrong is named, and remuxing keeps every frame and its time."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest

from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.video.check import check
from vzgym.video.file import FileVideo
from vzgym.video.remux import remux


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("kind", ["constant-rate", "open-groups", "edit-list", "vp8", "hevc", "late-start", "av1"])
def test_sound_files_have_no_issues(kind, full, make_file):
    made = make_file(kind)
    report = check(made.path, full=full)
    assert report.ok
    assert report.issues == ()
    assert report.info.duration == pytest.approx(made.end, abs=0.2)
    assert report.frames_checked >= len(made.times) if full else report.frames_checked >= 16
    assert json.loads(json.dumps(report.to_dict()))["info"]["height"] == made.size[0]


@pytest.mark.parametrize("kind", ["mpeg-ts", "mkv-without-cues"])
def test_remuxing_keeps_frames_and_times(kind, make_file, codes, tmp_path):
    made = make_file(kind)
    before = check(made.path)
    assert before.ok
    assert before.issues[0].remux_helps
    target = remux(made.path, tmp_path / "out.mp4")
    assert check(target, full=True).issues == ()
    times = np.array([0.0, 0.51, 1.77, 3.2, 3.98])
    for backend in ("pyav", "decord"):
        frames = FileVideo(target, backend=backend).read(times)
        assert codes(frames.pixels) == made.expected(times)
        np.testing.assert_allclose(frames.times, FileVideo(made.path).read(times).times, atol=made.tolerance)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_remux_needs_a_target_of_its_own(make_file, tmp_path):
    made = make_file("constant-rate")
    with pytest.raises(InvalidSetting, match="source itself"):
        remux(made.path, made.path)
    with pytest.raises(InvalidSetting, match="mp4"):
        remux(made.path, tmp_path / "out.mkv")


def test_a_remux_replaces_no_file(make_file, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_text("another's")
    with pytest.raises(InvalidSetting, match=r"is there already: .*out\.mp4'; delete it, or choose another folder"):
        remux(make_file("mpeg-ts").path, target)
    assert target.read_text() == "another's"
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_remuxing_what_is_no_video_leaves_nothing_behind(tmp_path):
    text = tmp_path / "a.ts"
    text.write_text("not a video")
    with pytest.raises(VideoError, match="no video"):
        remux(text, tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["a.ts"]


def test_damage_is_found_where_it_is(make_file, tmp_path):
    made = make_file("b-frames")
    data = bytearray(made.path.read_bytes())
    with av.open(str(made.path)) as container:
        packets = [(p.pos, p.size, float(p.pts * p.time_base)) for p in container.demux(video=0) if p.size]
    pos, size, time = packets[70]
    data[pos + 5 : pos + size] = bytes(size - 5)
    path = tmp_path / "hole.mp4"
    path.write_bytes(data)
    report = check(path, full=True)
    assert not report.ok
    assert all(f.time is not None and abs(f.time - time) < 0.5 for f in report.issues)


def test_a_missing_file_is_a_finding_too(tmp_path):
    report = check(tmp_path / "none.mp4")
    assert not report.ok
    assert report.info is None
    assert "found" in report.issues[0].what
