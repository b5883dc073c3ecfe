"""Processes of a machine share decoded frames: exactly, within the limit, and whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.video import sharing
from vzgym.video.decoder import DecodedFrame, Rendered
from vzgym.video.file import FileVideo
from vzgym.video.settings import VideoLimits, configure, limits

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="not on Windows")
shared_frames = pytest.importorskip("vzgym.video.shared_frames")
SIZE = (48, 80)

# Writes frames whose pixels follow from their times, for ever; and one that waits for a lock.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from vzgym.video.decoder import DecodedFrame, Rendered
from vzgym.video.shared_frames import SharedFrames

shared = SharedFrames(Path(sys.argv[1]), 60_000)
with shared.hold("video", 0.0, 1.0):
    print("ready", flush=True)
    number = int(sys.argv[2])
    while True:
        frames = [
            DecodedFrame(float(n), n + 1.0, Rendered(np.full((10, 10 + n % 3, 3), n % 251, np.uint8)))
            for n in range(number, number + 20)
        ]
        shared.put("video", "spec", frames)
        number = (number + 20) % 1000
"""


@pytest.fixture
def other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Shares frames in a folder of the test's own; a call stands for another process, whose own cache is empty."""
    shared = shared_frames.SharedFrames(tmp_path / "shared", 8 << 20)
    monkeypatch.setattr(shared_frames, "shared_frames", lambda limit: shared)
    before = configure(VideoLimits(shared_bytes=shared.limit))
    sharing.clear()
    yield sharing.clear
    configure(before)
    sharing.clear()
    shared.close()
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize(
    "name", ["b-frames", "hevc", "vp9", "ten-bit", "odd-size", "turned", "variable-rate", "gif", "apng"]
)
def test_another_process_decodes_nothing_and_sees_the_same(
    name: str, make_file: Any, other_process: Callable[[], None]
) -> None:
    made = make_file(name)
    times = np.linspace(0, made.end * 0.9, 9)
    dense = np.linspace(0.2, 0.6, 5) * made.end
    before = configure(VideoLimits(shared_bytes=0))
    expected = [FileVideo(made.path).read(times, size=SIZE), FileVideo(made.path).read(dense)]
    configure(before)
    for first in (True, False):
        other_process()
        found = [FileVideo(made.path).read(times, size=SIZE), FileVideo(made.path).read(dense)]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours.pixels, theirs.pixels)
            np.testing.assert_array_equal(ours.times, theirs.times)
        assert first or sum(frames.decoded for frames in found) == 0


def test_intermediate_frames_are_shared(make_file: Any, codes: Any, other_process: Callable[[], None]) -> None:
    made = make_file("one-key-frame")
    FileVideo(made.path).read(np.arange(0, 3.9, 0.2), size=SIZE)
    other_process()
    times = np.arange(0.11, 3.0, 0.13)
    frames = FileVideo(made.path).read(times, size=SIZE)
    assert frames.decoded == 0
    assert codes(frames.pixels) == made.expected(times)
    # A changed file is another video.
    os.utime(made.path, ns=(0, 0))
    other_process()
    assert FileVideo(made.path).read(times, size=SIZE).decoded > 0


def frames_at(*starts: float) -> list[DecodedFrame]:
    return [DecodedFrame(at, at + 1, Rendered(np.full((10, 10, 3), at, np.uint8))) for at in starts]


def test_the_oldest_frames_make_room(tmp_path: Path) -> None:
    one, two = (shared_frames.SharedFrames(tmp_path / "shared", 3000) for _ in range(2))  # ten frames of 300 bytes
    for start in range(25):
        one.put("video", "spec", frames_at(start))
        nbytes, count = two.usage
        assert nbytes == 300 * count <= 3000
    found = two.find("video", "spec", np.arange(25) + 0.5)
    assert [frame.start for frame in found] == list(range(15, 25))
    assert all((frame.pixels.pixels == frame.start).all() for frame in found)
    assert (
        two.find("video", "other", [20.0]) == two.find("other", "spec", [20.0]) == two.find("video", "spec", [25]) == []
    )
    # Too large to be kept.
    two.put("video", "spec", [DecodedFrame(50.0, 51.0, Rendered(np.zeros((100, 100, 3), np.uint8)))])
    assert two.find("video", "spec", [50.0]) == []
    one.close()
    assert (tmp_path / "shared").is_dir()
    two.close()
    assert not (tmp_path / "shared").exists()


def test_a_writer_that_is_overtaken_by_a_whole_ring_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = (shared_frames.SharedFrames(tmp_path / "shared", 1200) for _ in range(2))  # four frames of 300 bytes
    begin = slow._transaction
    begun: list[None] = []

    def transaction() -> AbstractContextManager[None]:
        begun.append(None)
        if len(begun) == 2:  # its place is reserved, and it is about to write there
            for start in range(4):
                fast.put("video", "fast", frames_at(start))
        return begin()

    monkeypatch.setattr(slow, "_transaction", transaction)
    slow.put("video", "slow", frames_at(99))
    assert len(begun) > 2
    found = {spec: fast.find("video", spec, [*range(4), 99]) for spec in ("slow", "fast")}
    assert {spec: [frame.start for frame in frames] for spec, frames in found.items()} == {
        "slow": [99.0],
        "fast": [1.0, 2.0, 3.0],
    }
    assert all((frame.pixels.pixels == frame.start).all() for frames in found.values() for frame in frames)
    slow.close()
    fast.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_that_ends_leaves_the_frames_of_its_parent(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
import numpy as np
from vzgym.video.decoder import DecodedFrame, Rendered
from vzgym.video.shared_frames import SharedFrames

shared = SharedFrames(Path(sys.argv[1]), 3000)
shared.put("video", "spec", [DecodedFrame(0.0, 1.0, Rendered(np.full((10, 10, 3), 7, np.uint8)))])
if os.fork() == 0:
    sys.exit(0)
os.wait()
print(shared.folder.is_dir(), len(shared.find("video", "spec", [0.5])))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "shared")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True 1\n", "")
    assert not (tmp_path / "shared").exists()


def test_all_bytes_are_allocated_where_the_system_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    shared = shared_frames.SharedFrames(tmp_path / "shared", 3_000_000)
    assert (tmp_path / "shared" / "frames.bin").stat().st_size == 3_000_000
    shared.put("video", "spec", frames_at(3))
    assert len(shared.find("video", "spec", [3.5])) == 1
    shared.close()


def test_killed_writers_leave_no_wrong_frame(tmp_path: Path) -> None:
    folder = tmp_path / f"vzgym-frames-{os.getuid()}-60000"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}

    def write(start: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(folder), str(start)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def check(count: int) -> None:
        deadline = time.monotonic() + 60
        while count > 0:
            assert time.monotonic() < deadline
            for frame in reader.find("video", "spec", np.arange(0, 1000, 7.0)):
                number = int(frame.start)
                assert frame.pixels.pixels.shape == (10, 10 + number % 3, 3)
                assert (frame.pixels.pixels == number % 251).all()
                count -= 1

    reader = shared_frames.SharedFrames(folder, 60_000)
    writers = [write(0)]
    try:
        assert writers[0].stdout.readline() == "ready\n"
        writers.append(write(500))
        check(1000)
        writers[0].kill()
        # The other one gets the lock of the killed one.
        assert writers[1].stdout.readline() == "ready\n"
        check(1000)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()
    shared_frames._remove_leftovers(tmp_path)
    assert folder.exists()  # still in use
    reader.forget()  # as if this process were killed, too
    shared_frames._remove_leftovers(tmp_path)
    assert not folder.exists()


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, nbytes in (("2GB", 2 * 10**9), ("1.5 M", 1_500_000), ("", 0), ("300", 300), ("10kb", 10_000)):
        monkeypatch.setenv("VZGYM_SHARED_FRAMES", text)
        assert VideoLimits().shared_bytes == nbytes
    monkeypatch.setenv("VZGYM_SHARED_FRAMES", "much")
    with pytest.raises(InvalidSetting, match="must be a size such as 2GB or 500MB, got 'much'"):
        VideoLimits()
    with pytest.raises(InvalidSetting, match="shared_bytes must be an integer >= 0, got -1"):
        VideoLimits(shared_bytes=-1)
    assert limits().shared_bytes == 0
    with pytest.raises(InvalidSetting, match="there is no room for 1,000,000,000,000,000 bytes of shared frames"):
        shared_frames.shared_frames(10**15)
