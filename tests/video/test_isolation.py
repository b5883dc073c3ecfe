"""Decoders that hang or crash: a named error, the process gone, and the next read works."""

from __future__ import annotations

import os
import sys
import time as clock

import numpy as np
import pytest

from vzgym.core.errors import VideoError
from vzgym.video import VideoLimits, clear, configure
from vzgym.video.file import ClipRequest, FileVideo
from vzgym.video.sharing import shared_videos

# A back-end for tests. What it does is told by the file's name, and by a mark it leaves on doing it for the first time.
BACKEND = """
import os, time
from pathlib import Path
from vzgym.video.pyav_backend import PyAVDecoder


class Moody(PyAVDecoder):
    isolated = True
    finds_key_frames = False

    def __init__(self, path, *, threads=1, timeout=30.0, options=None):
        name = Path(path).name
        if "hangs-on-opening" in name:
            time.sleep(1000)
        if "aborts-on-opening" in name:
            os.abort()
        if "raises-on-opening" in name:
            raise RuntimeError("no such codec")
        super().__init__(path, threads=threads, timeout=timeout)

    def read_frames(self, times, spec, keep_every, deadline):
        mark = Path(self.path + ".mark")
        if not mark.exists():
            mark.write_text(str(os.getpid()))
            name = Path(self.path).name
            if "hangs" in name:
                time.sleep(1000)
            if "aborts" in name:
                os.abort()
            if "raises" in name:
                raise MemoryError("cannot allocate 12 GB")
            if "prints" in name:
                os.write(1, b"a library that writes to standard output")
        yield from super().read_frames(times, spec, keep_every, deadline)
"""


@pytest.fixture
def moody(make_file, tmp_path, monkeypatch):
    """A video in the hands of the back-end above; `name` says what happens."""
    (tmp_path / "moody_backend.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "moody_backend", raising=False)

    def make(name):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(make_file("b-frames").path.read_bytes())
        return FileVideo(path, backend="moody_backend:Moody")

    yield make
    clear()


def gone(pid):
    """Whether a process is gone (its parent, we, has waited for it)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "timeout", "reason"), [("hangs", 1.0, "gave up"), ("aborts", 30.0, "ended unexpectedly")]
)
def test_a_read_that_hangs_or_crashes_is_an_error_and_the_next_one_works(
    name, timeout, reason, moody, make_file, codes
):
    video = moody(name)
    assert video.duration > 0
    before = configure(VideoLimits(timeout=timeout))
    started = clock.monotonic()
    try:
        with pytest.raises(VideoError, match=reason) as caught:
            video.read(np.array([1.5, 2.0]))
    finally:
        configure(before)
    assert clock.monotonic() - started < 60
    assert caught.value.path == video.path
    assert caught.value.backend == "moody_backend:Moody"
    with open(video.path + ".mark") as mark:  # noqa: PTH123
        assert gone(int(mark.read()))
    assert codes(video.read(np.array([1.5, 2.0])).pixels) == make_file("b-frames").expected([1.5, 2.0])


def test_opening_that_crashes_is_an_error(moody):
    with pytest.raises(VideoError, match="ended unexpectedly"):
        _ = moody("aborts-on-opening").duration
    assert shared_videos().pool.open_readers == 0


def test_errors_of_other_libraries_are_reported_at_once(moody, codes, make_file):
    with pytest.raises(VideoError, match=r"the decoder failed: RuntimeError: no such codec"):
        _ = moody("raises-on-opening").duration
    video = moody("raises")
    assert video.duration > 0
    started = clock.monotonic()
    with pytest.raises(VideoError, match=r"raises\.mp4 .*: the decoder failed: MemoryError: cannot allocate 12 GB"):
        video.read(np.array([1.5]))
    assert clock.monotonic() - started < 20.0
    assert codes(video.read(np.array([1.5])).pixels) == make_file("b-frames").expected([1.5])


def test_what_a_library_prints_does_no_harm(moody, codes, make_file):
    assert codes(moody("prints").read(np.array([1.5])).pixels) == make_file("b-frames").expected([1.5])


def test_any_backend_can_be_isolated(make_file, codes):
    made = make_file("variable-rate")
    times = np.array([3.3, 0.2, 5.0])
    alone = FileVideo(made.path, isolate=True).read(times, size=(48, 80))
    np.testing.assert_array_equal(alone.pixels, FileVideo(made.path).read(times, size=(48, 80)).pixels)
    assert codes(alone.pixels) == made.expected(times)
    glance = FileVideo(made.path, isolate=True, sparse_reads="key_frames").read(np.array([0.0, 4.0, 8.0]))
    assert len(glance) == 3


def test_clips_of_which_some_are_cached_can_be_read_together(make_file):
    video = FileVideo(make_file("b-frames").path, isolate=True)
    times = np.array([0.0, 1.5, 3.0])
    large = video.read(times, size=(48, 80)).pixels
    together = video.read_many([ClipRequest(times, (48, 80)), ClipRequest(times, (24, 40))])
    np.testing.assert_array_equal(together[0].pixels, large)
    assert together[1].pixels.shape == (3, 24, 40, 3)


def test_an_error_of_the_isolated_decoder_keeps_its_name(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(VideoError, match="no video file"):
        _ = FileVideo(path, isolate=True).duration


def test_closing_ends_the_process(make_file):
    video = FileVideo(make_file("b-frames").path, isolate=True)
    video.read(np.array([1.0]))
    (reader,) = shared_videos().pool._idle
    pid = reader.decoder._process.pid  # type: ignore[attr-defined]
    assert not gone(pid)
    video.close()
    assert gone(pid)
