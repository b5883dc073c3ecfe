"""Files that are broken, empty or no video: a right frame or a named error, never a hang or a wrong frame."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import time as clock
from fractions import Fraction

import av
import numpy as np
import pytest

from vzgym.core.errors import InvalidSetting, UnknownName, VideoError
from vzgym.video.file import FileVideo
from vzgym.video.settings import VideoLimits, configure

INSTALLED = ["pyav", *(name for name in ("decord", "torchcodec") if importlib.util.find_spec(name) is not None)]
# The stated time: no read may go on longer without a frame. Machines that run tests may be slow: the margin is wide.
TIMEOUT = 20.0


@pytest.fixture(autouse=True)
def bounded():
    before = configure(VideoLimits(timeout=TIMEOUT))
    yield
    configure(before)


def audio_only(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16_000)
        samples = np.zeros((1, 1024), dtype=np.float32)
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, number * 1024, Fraction(1, 16_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def cover_art(path, picture):
    """An mp3 with a picture: FFmpeg calls it a video stream."""
    tag = b"APIC"
    body = b"\x00image/png\x00\x03\x00" + picture
    frame = tag + len(body).to_bytes(4, "big") + b"\x00\x00" + body
    size = len(frame)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    with av.open(str(path), "w", format="mp3") as out:
        stream = out.add_stream("libmp3lame", rate=44_100)
        for number in range(20):
            frame_ = av.AudioFrame.from_ndarray(np.zeros((1, 1152), dtype=np.float32), format="fltp", layout="mono")
            frame_.sample_rate, frame_.pts, frame_.time_base = 44_100, number * 1152, Fraction(1, 44_100)
            out.mux(stream.encode(frame_))
        out.mux(stream.encode(None))
    path.write_bytes(b"ID3\x03\x00\x00" + syncsafe + frame + path.read_bytes())


def png():
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(buffer, format="png")
    return buffer.getvalue()


def no_video(kind, folder):
    path = folder / "broken.mp4"
    if kind == "missing":
        return path
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("This is not a video. " * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.write_bytes(bytes(100_000))
    elif kind == "audio only":
        audio_only(path)
    else:
        path = folder / "song.mp3"
        cover_art(path, png())
    return path


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "cannot be found"),
        ("empty", "empty"),
        ("text", "no video file|cannot be opened"),
        ("folder", "not a regular file"),
        ("pipe", "not a regular file"),
        ("zeros", "no video file|cannot be opened"),
        ("audio only", "no video stream"),
        ("cover art", "cover art only"),
    ],
)
def test_what_is_no_video_is_named(kind, reason, backend, tmp_path):
    path = no_video(kind, tmp_path)
    video = FileVideo(path, backend=backend)
    with pytest.raises(VideoError, match=reason) as caught:
        _ = video.duration
    assert caught.value.path == str(path)
    assert caught.value.backend == backend
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_raw_stream_is_refused(encode, tmp_path):
    path = encode(tmp_path / "raw.h264", [n / 30 for n in range(30)], options={"preset": "ultrafast"}, format="h264")
    with pytest.raises(VideoError, match="time stamps are missing"):
        _ = FileVideo(path).duration


def test_a_web_address_is_told_from_a_file():
    with pytest.raises(VideoError, match="download it first"):
        _ = FileVideo("https://example.org/a.mp4").duration


@pytest.mark.parametrize("backend", INSTALLED)
def test_truncated_before_its_header_is_named(backend, make_file, tmp_path):
    data = make_file("b-frames").path.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="without its index"):
        _ = FileVideo(path, backend=backend).duration


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize("backend", INSTALLED)
def test_truncated_after_its_header_is_named_with_the_time(backend, share, encode, tmp_path):
    times = [n / 30 for n in range(120)]
    options = {"preset": "ultrafast", "g": "24"}
    path = encode(tmp_path / "fast.mp4", times, options=options, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    header = data.index(b"mdat")
    path.write_bytes(data[: header + int((len(data) - header) * share)])
    with pytest.raises(VideoError, match=": truncated: ") as caught:
        _ = FileVideo(path, backend=backend).duration
    assert 0 < caught.value.time < 4.0


def test_truncated_matroska_is_named_or_ends_earlier(make_file, codes, tmp_path):
    made = make_file("variable-rate-mkv")
    data = made.path.read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=": truncated: ") as caught:
        _ = FileVideo(path).duration
    assert 0 < caught.value.time < made.end


def right_or_named(video, made, times, codes):
    """Reads each time alone; how many came right and how many ended in an error."""
    right, named = 0, []
    for time in times:
        started = clock.monotonic()
        try:
            frames = video.read(np.array([time]))
        except VideoError as error:
            named.append((error.path, error.backend))
        else:
            assert codes(frames.pixels) == made.expected([time]), f"a wrong frame at {time}"
            right += 1
        assert clock.monotonic() - started < 3 * TIMEOUT + 60
    assert set(named) <= {(video.path, video.backend)}
    return right, len(named)


@pytest.mark.parametrize("backend", [b for b in INSTALLED if b == "pyav"])
def test_a_hole_of_zeros_never_gives_a_wrong_frame(backend, make_file, codes, tmp_path):
    made = make_file("b-frames")
    data = bytearray(made.path.read_bytes())
    with av.open(str(made.path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, end = packets[40][0], sum(packets[60])
    data[start:end] = bytes(end - start)
    path = tmp_path / "hole.mp4"
    path.write_bytes(data)
    times = np.arange(0, 4.0, 0.07)
    right, errors = right_or_named(FileVideo(path, backend=backend), made, times, codes)
    assert errors > 0
    assert right > len(times) / 3


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_hole_of_zeros_ends_in_time(backend, make_file, tmp_path):
    data = bytearray(make_file("constant-rate").path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path = tmp_path / "hole.mp4"
    path.write_bytes(data)
    video = FileVideo(path, backend=backend)
    started = clock.monotonic()
    with contextlib.suppress(VideoError):
        assert video.read(np.arange(0, 3.9, 0.1)).pixels.shape[0] == 39
    assert clock.monotonic() - started < 39 * TIMEOUT


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_give_the_right_frame_or_a_named_error(seed, make_file, tmp_path):
    """A decoder cannot see every flipped bit; what it gives is the frame of that time, perhaps with a blemish."""
    made = make_file("b-frames")
    data = bytearray(made.path.read_bytes())
    rng = np.random.default_rng(seed)
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    for place in rng.integers(start, end, 12):
        data[place] ^= 1 << int(rng.integers(8))
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)
    video = FileVideo(path)
    for time in np.arange(0, 4.0, 0.11):
        with contextlib.suppress(VideoError):
            frames = video.read(np.array([time]))
            place = np.searchsorted(made.times, time + 1e-6, side="right") - 1
            assert frames.times[0] == pytest.approx(made.times[place], abs=made.tolerance)


@pytest.mark.parametrize("backend", INSTALLED)
def test_one_frame_is_a_video(backend, encode, codes, tmp_path):
    path = encode(tmp_path / "one.mp4", [0.0], options={"preset": "ultrafast"})
    video = FileVideo(path, backend=backend)
    assert video.duration > 0
    assert video.fps > 0
    frames = video.read(np.array([0.0, video.duration, 0.0]))
    assert codes(frames.pixels) == [0, 0, 0]
    assert frames.times.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("backend", INSTALLED)
def test_four_k_shrinks_to_the_budget(backend, encode, codes, tmp_path):
    path = encode(tmp_path / "4k.mp4", [n / 30 for n in range(12)], options={"preset": "ultrafast"}, size=(2160, 3840))
    video = FileVideo(path, backend=backend)
    assert (video.height, video.width) == (2160, 3840)
    frames = video.read(np.array([0.3, 0.1]), size=(237, 422))
    assert codes(frames.pixels) == [9, 3]


def test_a_read_that_makes_no_progress_is_ended(make_file, monkeypatch):
    video = FileVideo(make_file("one-key-frame").path)
    _ = video.duration
    configure(VideoLimits(timeout=1e-6, readers_per_file=1))
    with pytest.raises(VideoError, match="gave up") as caught:
        video.read(np.array([3.5]))
    assert caught.value.time == pytest.approx(3.5, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"backend": "nope"}, UnknownName, "decord, pyav, torchcodec"),
        ({"grid_fps": 0.0}, InvalidSetting, "grid_fps"),
        ({"grid_fps": float("nan")}, InvalidSetting, "grid_fps"),
        ({"sparse_reads": "fast"}, InvalidSetting, "key_frames"),
        ({"sparse_reads": "key_frames", "backend": "decord"}, InvalidSetting, "pyav"),
    ],
)
def test_bad_settings_are_named_at_once(arguments, error, said):
    with pytest.raises(error, match=said):
        FileVideo("a.mp4", **arguments)


@pytest.mark.parametrize("times", [[-0.1], [4.2], [float("nan")], [float("inf")]])
def test_times_outside_the_video_are_refused(times, make_file):
    with pytest.raises(InvalidSetting, match="times must lie"):
        FileVideo(make_file("constant-rate").path).read(np.array(times))


def test_sizes_below_one_pixel_are_refused(make_file):
    with pytest.raises(InvalidSetting, match="size"):
        FileVideo(make_file("constant-rate").path).read(np.array([0.0]), size=(0, 10))


@pytest.mark.parametrize(
    ("name", "value"),
    [("cache_bytes", -1), ("max_readers", 0), ("readers_per_file", 0), ("decoder_threads", True), ("timeout", 0.0)],
)
def test_limits_out_of_range_are_named(name, value):
    with pytest.raises(InvalidSetting, match=name):
        VideoLimits(**{name: value})
