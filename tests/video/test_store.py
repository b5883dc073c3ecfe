"""The on-disk frame store: what it serves, going on after a stop, and what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from vzgym.core.errors import FolderInUse, InvalidSetting, VideoError
from vzgym.core.files import folder_lock
from vzgym.video.decoder import RenderSpec
from vzgym.video.file import FileVideo
from vzgym.video.store import FrameStore, build_store, fingerprint

SIZE = (48, 80)


@pytest.fixture
def built(make_file, tmp_path):
    """A file and the folder of its store."""
    made = make_file("variable-rate")
    return made, build_store(made.path, tmp_path / "stores", fps=4.0)


def test_clips_on_the_grid_come_from_the_store(built, tmp_path, codes):
    made, _ = built
    times = np.arange(1.0, 6.0, 0.5) + 0.1
    stored = FileVideo(made.path, grid_fps=4.0, store=tmp_path / "stores").read(times, size=SIZE)
    decoded = FileVideo(made.path, grid_fps=4.0).read(times, size=SIZE)
    assert stored.decoded == 0
    assert decoded.decoded > 0
    assert codes(stored.pixels) == codes(decoded.pixels) == made.expected(np.arange(1.0, 6.0, 0.5))
    np.testing.assert_array_equal(stored.times, decoded.times)
    assert np.abs(stored.pixels.astype(int) - decoded.pixels).mean() < 6  # JPEG, and shrunk in two steps


@pytest.mark.parametrize(
    ("times", "size"),
    [
        (np.array([1.13]), SIZE),  # a single time is exact
        (np.arange(1.0, 2.0, 0.3), SIZE),  # needs a finer grid
        (np.arange(1.0, 4.0, 0.5), None),  # the native size
        (np.arange(1.0, 4.0, 0.5), (192, 320)),  # larger than stored
    ],
)
def test_what_the_store_lacks_is_decoded(times, size, built, tmp_path):
    made, _ = built
    with_store = FileVideo(made.path, grid_fps=4.0, store=tmp_path / "stores").read(times, size=size)
    without = FileVideo(made.path, grid_fps=4.0).read(times, size=size)
    np.testing.assert_array_equal(with_store.pixels, without.pixels)
    assert with_store.decoded > 0


def test_every_moment_of_the_grid_is_stored(built):
    made, folder = built
    store = FrameStore(folder)
    moments = np.arange(0, made.times[-1], 0.25)
    places = np.searchsorted(made.times, moments + 1e-6, side="right") - 1
    assert len(store) >= len(np.unique(places))
    assert not list(folder.glob("*.partial"))


def test_a_second_builder_of_a_store_is_refused(built, tmp_path):
    made, folder = built
    with folder_lock(folder), pytest.raises(FolderInUse, match="is being written by another process"):
        build_store(made.path, tmp_path / "stores", fps=4.0)
    assert build_store(made.path, tmp_path / "stores", fps=4.0) == folder


@pytest.mark.parametrize("cut", [1, 9, 300])
def test_a_stopped_build_goes_on_where_it_was(cut, built, tmp_path):
    made, folder = built
    whole = [(folder / name).read_bytes() for name in ("index.bin", "frames.bin")]
    broken = tmp_path / "other" / folder.name
    shutil.copytree(folder, broken)
    header = json.loads((broken / "store.json").read_text())
    (broken / "store.json").write_text(json.dumps({**header, "complete": False}))
    (broken / "frames.bin").write_bytes(whole[1][: len(whole[1]) // 2])
    (broken / "index.bin").write_bytes(whole[0][: len(whole[0]) * 3 // 4 - cut])
    assert FrameStore.find(made.path, tmp_path / "other") is None
    seen = []
    again = build_store(made.path, tmp_path / "other", fps=4.0, progress=lambda done, total: seen.append(done / total))
    assert [(again / name).read_bytes() for name in ("index.bin", "frames.bin")] == whole
    assert seen == sorted(seen)
    assert seen[0] > 0.2  # the first half was not done again


def test_a_complete_store_is_not_built_again(built, tmp_path):
    made, folder = built
    before = (folder / "frames.bin").stat().st_mtime_ns
    assert build_store(made.path, tmp_path / "stores", fps=4.0) == folder
    assert (folder / "frames.bin").stat().st_mtime_ns == before


def test_other_settings_are_refused(built, tmp_path):
    made, _ = built
    with pytest.raises(InvalidSetting, match="other settings"):
        build_store(made.path, tmp_path / "stores", fps=2.0)
    with pytest.raises(InvalidSetting, match="fps"):
        build_store(made.path, tmp_path / "stores", fps=0)
    with pytest.raises(InvalidSetting, match="quality"):
        build_store(made.path, tmp_path / "stores", quality=100)
    with pytest.raises(InvalidSetting, match="grid_fps"):
        FileVideo(made.path, store=tmp_path)


def test_a_store_belongs_to_content_not_to_a_name(built, make_file, tmp_path):
    made, _ = built
    copy = tmp_path / "renamed.mp4"
    shutil.copy(made.path, copy)
    assert fingerprint(copy) == fingerprint(made.path)
    assert FrameStore.find(copy, tmp_path / "stores") is not None
    assert FrameStore.find(make_file("b-frames").path, tmp_path / "stores") is None


def test_damage_on_disk_is_named(built, tmp_path):
    made, folder = built
    data = bytearray((folder / "frames.bin").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "frames.bin").write_bytes(data)
    store = FrameStore.find(made.path, tmp_path / "stores")
    with pytest.raises(VideoError, match="damaged"):
        [store.read_frame(time, RenderSpec(SIZE)) for time in np.arange(0, 8, 0.25)]
