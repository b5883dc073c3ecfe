"""Every back-end, on every kind of file it reads, gives the frame shown at the time asked for."""

from __future__ import annotations

import importlib.util

import av
import numpy as np
import pytest

from vzgym.core.errors import VideoError
from vzgym.video.file import FileVideo

# Every kind of file of conftest.py.
ALL = (
    "constant-rate", "b-frames", "open-groups", "variable-rate", "variable-rate-mkv", "edit-list", "late-start",
    "hevc", "vp9", "vp8", "av1", "ten-bit", "odd-size", "turned", "mpeg-ts", "mkv-without-cues", "one-key-frame",
    "intra-only", "slow", "fragmented-mp4", "avi", "avi-b-frames", "avi-mpeg4", "mpeg-ps", "asf", "flv", "gif", "apng",
    "hevc-open-group-cut", "hevc-closed-groups", "wrapped-clock",
)  # fmt: skip
# What a back-end refuses, with a named error; PyAV refuses none.
REFUSED = {
    "pyav": (),
    "decord": (
        "edit-list", "av1", "mpeg-ts", "mkv-without-cues", "avi", "avi-b-frames", "avi-mpeg4", "mpeg-ps", "gif", "apng",
        "hevc-open-group-cut", "wrapped-clock", "open-groups", "hevc",
    ),
    "torchcodec": (
        "edit-list", "mpeg-ts", "avi-b-frames", "avi-mpeg4", "mpeg-ps", "gif", "hevc-open-group-cut", "wrapped-clock",
    ),
}  # fmt: skip
# decord has no wheels for some platforms, torchcodec is an extra: what is not installed is not in the list.
INSTALLED = ["pyav", *(name for name in ("decord", "torchcodec") if importlib.util.find_spec(name) is not None)]
CASES = [(backend, kind) for backend in INSTALLED for kind in ALL if kind not in REFUSED[backend]]
REFUSALS = [(backend, kind) for backend in INSTALLED for kind in REFUSED[backend]]


def moments(made, seed=0):
    """Times that tell: on a frame, a hair before and after one, in between, in no order, both ends."""
    rng = np.random.default_rng(seed)
    on = rng.choice(made.times, 12)
    just_before = rng.choice(made.times[1:], 6) - 2 * made.tolerance - 1e-5
    just_after = rng.choice(made.times, 6) + 2 * made.tolerance
    between = rng.uniform(0, made.end, 12)
    times = np.concatenate([on + made.tolerance, just_before, just_after, between, [0.0, made.times[-1] + 1e-3]])
    # Not within the container's rounding of a frame's start, where either neighbor is right.
    distance = times[:, None] - made.times[None, :]
    unclear = (np.abs(distance) < made.tolerance * 0.99).any(axis=1) & (times > 0)
    return rng.permutation(times[~unclear])


@pytest.mark.parametrize(("backend", "kind"), CASES)
def test_shuffled_times_give_the_frames_shown(backend, kind, make_file, codes):
    made = make_file(kind)
    video = FileVideo(made.path, backend=backend)
    assert (video.height, video.width) == made.size
    assert made.times[-1] < video.duration <= made.end + 0.2
    times = moments(made)
    frames = video.read(times)
    assert frames.pixels.shape == (len(times), *made.size, 3)
    assert codes(frames.pixels) == made.expected(times)
    place = np.searchsorted(made.times, times + 1e-6, side="right") - 1
    np.testing.assert_allclose(frames.times, made.times[place], atol=made.tolerance)


@pytest.mark.parametrize(("backend", "kind"), REFUSALS)
def test_a_kind_that_a_backend_cannot_read_is_refused_by_name(backend, kind, make_file):
    with pytest.raises(VideoError, match=backend):
        FileVideo(make_file(kind).path, backend=backend).read(np.array([0.0, 0.5]))


@pytest.mark.parametrize("kind", ALL)
def test_frames_are_those_of_the_decoder_in_its_order(kind, make_file, codes):
    """FFmpeg decides what is shown, and in which order: reading by time gives the same, and counts them."""
    made = make_file(kind)
    with av.open(str(made.path)) as container:
        order = codes([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    truth = made.numbers.tolist()
    video = FileVideo(made.path)
    read = codes(video.read(made.times + made.tolerance).pixels)
    assert len(order) == len(read) == len(truth)
    assert video.num_frames in (None, len(truth))
    # A bar code may be lost in coding (None), but never become another one.
    assert all(code in (None, number) for code, number in zip(read, truth, strict=True))
    assert sum(code is None for code in read) < len(truth) / 10
    if kind != "turned":  # PyAV's own frames lie as they are stored
        assert all(code in (None, number) for code, number in zip(order, truth, strict=True))
