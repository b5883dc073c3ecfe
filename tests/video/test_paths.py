"""A path is a path: nothing in it is a protocol, a pattern or a playlist; `file:` URIs mean the same everywhere."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from vzgym.core.errors import VideoError
from vzgym.tasks import load_tasks
from vzgym.video.check import check
from vzgym.video.file import FileVideo
from vzgym.video.paths import local_path
from vzgym.video.remux import remux
from vzgym.video.store import FrameStore, build_store, fingerprint

NAMES = [
    "10:30.mp4",
    "2024-01-01T12:00:00.mp4",
    "concat:x.mp4",
    "data:x.mp4",
    "file:x.mp4",
    "http:x.mp4",
    "pipe:0",
    "a%20b.mp4",
    "a b#c?d=e.mp4",
    "frame-%03d.mp4",
    "café [1].mp4",
    "-.mp4",
]


@pytest.mark.parametrize(("backend", "name"), [*(("pyav", n) for n in NAMES), *(("decord", n) for n in NAMES[1:4])])
def test_a_name_has_no_meaning(name, backend, make_file, codes, tmp_path, monkeypatch):
    made = make_file("b-frames")
    shutil.copy(made.path, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        video = FileVideo(path, backend=backend)
        assert codes(video.read(np.array([1.01])).pixels) == [30]
    if backend == "pyav":
        assert check(name).ok
        assert fingerprint(name) == fingerprint(made.path)


def uris(path):
    plain = path.as_uri()
    return [plain, plain.replace("file:///", "file://localhost/"), plain.replace("file:///", "file:/"), Path(plain)]


@pytest.mark.parametrize("name", ["plain.mp4", "a b.mp4", "50%.mp4", "what?.mp4", "ü#1.mp4"])
def test_a_file_uri_is_the_path_everywhere(name, make_file, codes, tmp_path):
    path = tmp_path / name
    shutil.copy(make_file("b-frames").path, path)
    for number, uri in enumerate(uris(path)):
        video = FileVideo(uri)
        assert video.path == video.uri == str(path)
        assert video == FileVideo(path)
        assert codes(video.read(np.array([1.01])).pixels) == [30]
        assert check(uri).ok
        assert fingerprint(uri) == fingerprint(path)
        remux(uri, tmp_path / f"copy{number}.mp4")
        folder = build_store(uri, tmp_path / "stores", fps=2.0)
        assert FrameStore.find(uri, tmp_path / "stores").folder == folder


def test_another_host_is_refused():
    with pytest.raises(VideoError, match="names the host 'server'"):
        local_path("file://server/a.mp4")


@pytest.mark.parametrize("url", ["https://example.org/a.mp4", "concat://a.mp4", "rtsp://camera/1"])
def test_a_url_is_no_file(url):
    with pytest.raises(VideoError, match="download it first"):
        _ = FileVideo(url).duration


def test_a_zero_byte_in_a_path_is_named():
    with pytest.raises(VideoError, match="cannot be found"):
        _ = FileVideo("a\0.mp4").duration


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {}\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{}</BaseURL></MPD>\n',
}


@pytest.mark.parametrize("suffix", [".mp4", ".ffconcat", ".m3u8", ".mpd", ".txt"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_does_not_read_its_neighbours(kind, suffix, make_file, tmp_path):
    shutil.copy(make_file("mpeg-ts").path, tmp_path / "secret.ts")
    path = tmp_path / f"list{suffix}"
    path.write_text(PLAYLISTS[kind].format("secret.ts"))
    with pytest.raises(VideoError, match="is a playlist, which names other files"):
        _ = FileVideo(path).duration
    assert "playlist" in check(path).issues[0].what
    if suffix == ".mp4":
        with pytest.raises(VideoError, match="playlist"):
            _ = FileVideo(path, backend="decord").duration


def members(kind, folder, make_file):
    """Two files in a folder, and the name of a playlist of them."""
    (folder / "parts").mkdir(parents=True)
    suffix = ".ts" if kind == "hls" else ".mp4"
    source = make_file("mpeg-ts" if kind == "hls" else "b-frames").path
    names = [f"parts/{number}{suffix}" for number in (1, 2)]
    for name in names:
        shutil.copy(source, folder / name)
    lists = {
        "ffconcat": "ffconcat version 1.0\n# two parts\n" + "".join(f"file '{n}'\nduration 4.0\n" for n in names),
        "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n"
        + "#EXT-X-DISCONTINUITY\n".join(f"#EXTINF:4.0,\n{name}\n" for name in names)
        + "#EXT-X-ENDLIST\n",
    }
    path = folder / "list.txt"
    path.write_text(lists[kind])
    return path


@pytest.mark.parametrize("kind", ["ffconcat", "hls"])
def test_an_allowed_playlist_reads_its_files_exactly(kind, make_file, codes, tmp_path):
    path = members(kind, tmp_path, make_file)
    video = FileVideo(path, allow_playlists=True)
    assert video.duration == pytest.approx(8.0, abs=0.1)
    times = (np.arange(240) + 0.5) / 30
    order = np.random.default_rng(0).permutation(240)
    assert codes(video.read(times[order]).pixels) == (order % 120).tolist()
    for number in order[:40]:
        assert codes(video.read(times[[number]]).pixels) == [number % 120]
    dense = video.read(np.arange(3.5, 4.5, 1 / 30))
    np.testing.assert_allclose(dense.times, np.arange(3.5, 4.5, 1 / 30), atol=0.02)
    assert codes(dense.pixels) == [*range(105, 120), *range(15)]
    assert len(FileVideo(path, allow_playlists=True, sparse_reads="key_frames").read(times[::60]).pixels) == 4
    assert pickle.loads(pickle.dumps(video)) == video
    if kind == "ffconcat":
        other = FileVideo(path, allow_playlists=True, backend="decord")
        assert codes(other.read(times[::40]).pixels) == [0, 40, 80] * 2


def test_the_files_of_a_playlist_have_one_size(make_file, encode, tmp_path):
    path = members("ffconcat", tmp_path, make_file)
    encode(tmp_path / "parts" / "2.mp4", [n / 30 for n in range(9)], size=(48, 80))
    with pytest.raises(VideoError, match=r"of several sizes: 160x96 and 80x48 \(parts/2.mp4\)"):
        _ = FileVideo(path, allow_playlists=True).duration


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ffconcat version 1.0\nfile ../secret.mp4\n", "outside of"),
        ("ffconcat version 1.0\nfile {outside}\n", "outside of"),
        ("ffconcat version 1.0\nfile link.mp4\n", "outside of"),
        ("ffconcat version 1.0\nfile none.mp4\n", "missing file"),
        ("ffconcat version 1.0\nfile other.ffconcat\n", "another playlist"),
        ("ffconcat version 1.0\nfile http://a/b.mp4\n", "line 2 is not accepted"),
        ("ffconcat version 1.0\nfile 'a'\\''b.mp4'\n", "line 2 is not accepted"),
        ("ffconcat version 1.0\noption protocol_whitelist file,http\n", "line 2 is not accepted"),
        ('#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="key"\na.ts\n#EXT-X-ENDLIST\n', "line 2 is not accepted"),
        ("#EXTM3U\n#EXTINF:4,\nconcat:a.ts\n#EXT-X-ENDLIST\n", "line 3 is not accepted"),
        ("#EXTM3U\n#EXTINF:4,\na.ts\n", "without an end"),
        ("#EXTM3U\n#EXT-X-ENDLIST\n", "names no file"),
        ("<MPD></MPD>", "only ffconcat and HLS"),
    ],
)
def test_an_allowed_playlist_is_confined(text, reason, make_file, tmp_path):
    outside = tmp_path / "secret.mp4"
    shutil.copy(make_file("b-frames").path, outside)
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "link.mp4").symlink_to(outside)
    (folder / "other.ffconcat").write_text("ffconcat version 1.0\nfile link.mp4\n")
    path = folder / "list.ffconcat"
    path.write_text(text.format(outside=outside))
    with pytest.raises(VideoError, match=reason):
        _ = FileVideo(path, allow_playlists=True).duration


def test_root_widens_and_limits_what_a_playlist_may_name(make_file, tmp_path):
    path = members("ffconcat", tmp_path / "a", make_file)
    path.write_text(path.read_text().replace("parts/", "../a/parts/"))
    assert FileVideo(path, allow_playlists=True).duration == pytest.approx(8.0, abs=0.1)
    (tmp_path / "b").mkdir()
    with pytest.raises(VideoError, match="outside of"):
        _ = FileVideo(path, allow_playlists=True, root=tmp_path / "b").duration
    moved = tmp_path / "b" / "list.txt"
    moved.write_text(path.read_text())
    with pytest.raises(VideoError, match="outside of"):
        _ = FileVideo(moved, allow_playlists=True).duration
    assert FileVideo(moved, allow_playlists=True, root=tmp_path).duration == pytest.approx(8.0, abs=0.1)


def test_tasks_allow_playlists_within_root(make_file, tmp_path):
    path = members("ffconcat", tmp_path, make_file)
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps({"id": "1", "video": path.name, "question": "What?", "answer": "x"}) + "\n")
    with pytest.raises(VideoError, match="is a playlist"):
        _ = load_tasks(file)[0].video.duration
    assert load_tasks(file, allow_playlists=True, root=tmp_path)[0].video.duration == pytest.approx(8.0, abs=0.1)
    path.write_text("ffconcat version 1.0\nfile ../secret.mp4\n")
    with pytest.raises(VideoError, match="outside of"):
        _ = load_tasks(file, allow_playlists=True, root=tmp_path)[0].video.duration


def test_a_changed_part_is_read_again(make_file, codes, tmp_path):
    path = members("ffconcat", tmp_path, make_file)
    video = FileVideo(path, allow_playlists=True)
    assert codes(video.read(np.array([1.0])).pixels) == [30]
    shutil.copy(make_file("one-key-frame").path, tmp_path / "parts" / "1.mp4")
    assert codes(video.read(np.array([2.0])).pixels) == [60]


def test_an_image_pattern_reads_no_images(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(tmp_path / "frame-001.png")
    with pytest.raises(VideoError, match="cannot be found"):
        _ = FileVideo(tmp_path / "frame-%03d.png").duration
