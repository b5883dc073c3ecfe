"""A path is a path: nothing in it is a protocol, a pattern or a playlist; `file:` URIs mean the same everywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vzgym.core.errors import VideoError
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


def test_an_image_pattern_reads_no_images(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(tmp_path / "frame-001.png")
    with pytest.raises(VideoError, match="cannot be found"):
        _ = FileVideo(tmp_path / "frame-%03d.png").duration
