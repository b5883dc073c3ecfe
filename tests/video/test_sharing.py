"""Roll-outs of a group: what they share, whoever asks, in whatever order, thread or process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest

from vzgym.core.actions import Region
from vzgym.core.errors import VideoError
from vzgym.video import sharing
from vzgym.video.base import Video
from vzgym.video.file import ClipRequest, FileVideo
from vzgym.video.grid import grid_step, snap
from vzgym.video.scale import RawPixels
from vzgym.video.settings import VideoLimits, configure, limits

SIZE = (48, 80)


def clips(seed=0, count=12):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, 2.4) + np.arange(8) * rng.uniform(0.04, 0.18) for _ in range(count)]


@pytest.fixture
def limited():
    """Sets limits for one test."""
    before = limits()
    yield configure
    configure(before)


def test_it_is_a_video(make_file):
    assert isinstance(FileVideo(make_file("constant-rate").path), Video)


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_a_repeated_clip_decodes_nothing(backend, make_file):
    made = make_file("b-frames")
    first = FileVideo(made.path, backend=backend).read(clips()[0], size=SIZE)
    again = FileVideo(made.path, backend=backend).read(clips()[0][::-1], size=SIZE)
    assert first.decoded > 0
    assert again.decoded == 0
    np.testing.assert_array_equal(first.pixels, again.pixels[::-1])


def test_overlapping_clips_of_other_roll_outs_decode_nothing(make_file, codes):
    made = make_file("one-key-frame")
    FileVideo(made.path).read(np.arange(0, 3.9, 0.2), size=SIZE)
    other = np.arange(0.11, 3.0, 0.13)
    frames = FileVideo(made.path).read(other, size=SIZE)
    assert frames.decoded == 0  # what lay between the frames of the first clip was kept
    assert codes(frames.pixels) == made.expected(other)


def test_arrays_belong_to_the_caller(make_file):
    video = FileVideo(make_file("b-frames").path)
    first = video.read(clips()[0], size=SIZE)
    kept = first.pixels.copy()
    first.pixels[:] = 7
    np.testing.assert_array_equal(video.read(clips()[0], size=SIZE).pixels, kept)


def test_several_clips_together_are_what_each_is_alone(make_file):
    made = make_file("variable-rate")
    region = Region(0.25, 0.25, 0.75, 0.75)
    requests = [ClipRequest(times, SIZE if n % 2 else None, region if n % 3 == 0 else None)
                for n, times in enumerate(clips())]  # fmt: skip
    together = FileVideo(made.path).read_many(requests)
    for request, frames in zip(requests, together, strict=True):
        sharing.clear()
        alone = FileVideo(made.path).read(request.times, size=request.size, region=request.region)
        np.testing.assert_array_equal(frames.pixels, alone.pixels)
        np.testing.assert_array_equal(frames.times, alone.times)


def test_together_decodes_no_frame_twice(make_file):
    made = make_file("one-key-frame")
    together = FileVideo(made.path).read_many([ClipRequest(times, SIZE) for times in clips()])
    assert sum(frames.decoded for frames in together) <= len(made.times)


def test_no_request_and_no_time_are_fine(make_file):
    video = FileVideo(make_file("constant-rate").path)
    assert video.read_many([]) == []
    frames = video.read(np.empty(0), size=SIZE)
    assert frames.pixels.shape == (0, *SIZE, 3)
    assert video.read(np.empty(0), region=Region(0, 0, 0.5, 0.5)).pixels.shape == (0, 48, 80, 3)


def test_a_region_is_cut_at_full_resolution(make_file):
    video = FileVideo(make_file("b-frames").path)
    whole = video.read(np.array([1.0])).pixels[0]
    part = video.read(np.array([1.0]), region=Region(0.5, 0.25, 1.0, 0.75)).pixels[0]
    np.testing.assert_array_equal(part, whole[24:72, 80:160])
    assert video.read(np.array([1.0]), region=Region(0.5, 0.25, 1.0, 0.75), size=(30, 50)).pixels.shape[1:3] == (30, 50)


@pytest.mark.parametrize(
    "settings", [{"cache_bytes": 0}, {"max_readers": 1}, {"readers_per_file": 1}, {"decoder_threads": 2}]
)
def test_limits_change_the_cost_and_not_the_frames(settings, make_file, codes, limited):
    made = make_file("open-groups")
    limited(VideoLimits(**settings))
    for times in clips(3):
        assert codes(FileVideo(made.path).read(times, size=SIZE).pixels) == made.expected(times)
    assert sharing.stats().nbytes <= settings.get("cache_bytes", limits().cache_bytes)
    assert sharing.shared_videos().pool.open_readers <= settings.get("max_readers", 16)


def test_memory_stays_under_the_limit(make_file, limited):
    limited(VideoLimits(cache_bytes=300_000))
    video = FileVideo(make_file("b-frames").path)
    for times in clips(4, 30):
        video.read(times, size=SIZE)
        assert sharing.stats().nbytes <= 300_000


def test_closing_frees_a_file_when_its_last_user_leaves(make_file):
    made = make_file("b-frames")
    first, second = FileVideo(made.path), FileVideo(made.path)
    for video in (first, second):
        video.read(clips()[0], size=SIZE)
    first.close()
    assert sharing.stats().frames > 0
    second.close()
    assert (sharing.stats().frames, sharing.shared_videos().pool.open_readers) == (0, 0)
    assert second.read(clips()[0], size=SIZE).decoded > 0


def test_a_file_written_anew_is_read_anew(encode, codes, tmp_path):
    path = tmp_path / "a.mp4"
    options = {"preset": "ultrafast"}
    encode(path, [n / 30 for n in range(30)], options=options)
    video = FileVideo(path)
    assert codes(video.read(np.array([0.5])).pixels) == [15]
    encode(path, [n / 10 for n in range(40)], options=options)
    os.utime(path, (1, 1))
    assert codes(video.read(np.array([0.5])).pixels) == [5]
    path.unlink()
    with pytest.raises(VideoError, match="cannot be found"):
        video.read(np.array([0.5]))


def test_a_video_pickles_as_its_path_and_settings(make_file):
    video = FileVideo(make_file("b-frames").path, grid_fps=4.0, sparse_reads="key_frames")
    _ = video.duration
    copy = pickle.loads(pickle.dumps(video))
    assert copy == video
    assert hash(copy) == hash(video)
    assert copy != FileVideo(video.path)
    assert len(pickle.dumps(video)) < 500


# -- the time grid -----------------------------------------------------------------------------------------------


def test_a_grid_is_never_coarser_than_half_the_spacing():
    rng = np.random.default_rng(0)
    for _ in range(200):
        gap, grid = rng.uniform(0.05, 5), rng.uniform(0.5, 8)
        times = rng.uniform(0, 100) + np.arange(5) * gap
        step = grid_step(times, grid, 30.0)
        if step is None:
            assert min(1 / grid, gap / 2) <= 2 / 30  # as fine as the frames: no use
            continue
        assert step <= gap / 2 + 1e-6
        assert (1 / grid / step) == pytest.approx(2 ** round(np.log2(1 / grid / step)))
        snapped = snap(times, step)
        assert len(np.unique(snapped)) == 5
        assert ((snapped <= times + 1e-6) & (snapped > times - step)).all()


def test_a_grid_makes_clips_coincide_and_reports_true_times(make_file, codes):
    made = make_file("variable-rate")
    video = FileVideo(made.path, grid_fps=4.0)
    first = video.read(np.arange(1.0, 5.0, 0.5) + 0.02, size=SIZE)
    second = video.read(np.arange(1.0, 5.0, 0.5) + 0.2, size=SIZE)
    assert second.decoded == 0
    np.testing.assert_array_equal(first.times, second.times)
    assert codes(first.pixels) == made.expected(np.arange(1.0, 5.0, 0.5))
    assert np.isin(first.times.round(4), made.times.round(4)).all()


def test_a_single_time_is_exact_on_a_grid_too(make_file, codes):
    made = make_file("b-frames")
    assert codes(FileVideo(made.path, grid_fps=1.0).read(np.array([1.43])).pixels) == made.expected([1.43])


# -- the glance at key frames ------------------------------------------------------------------------------------


def test_a_glance_at_key_frames_reports_their_own_times(make_file, codes):
    made = make_file("constant-rate")
    with av.open(str(made.path)) as container:
        keys = np.array([float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe and p.size])
    times = np.array([0.0, 1.2, 2.1, 3.0, 3.9])
    shown = keys[np.searchsorted(keys, times, side="right") - 1]
    exact = FileVideo(made.path).read(times)
    snapped = FileVideo(made.path, sparse_reads="key_frames").read(times)
    assert codes(snapped.pixels) == made.expected(shown)
    np.testing.assert_allclose(snapped.times, shown, atol=1e-4)
    assert snapped.decoded == len(np.unique(shown)) < exact.decoded


def test_a_dense_clip_stays_exact_beside_a_glance_at_key_frames(make_file, codes):
    made = make_file("constant-rate")
    times = np.arange(0.5, 2.0, 0.1)
    assert codes(FileVideo(made.path, sparse_reads="key_frames").read(times).pixels) == made.expected(times)


def test_after_a_glance_at_key_frames_other_requests_are_exact(make_file, codes):
    made = make_file("constant-rate")
    FileVideo(made.path, sparse_reads="key_frames").read(np.array([0.0, 1.2, 2.1, 3.0]), size=SIZE)
    for times in (np.array([0.0, 1.25, 2.3, 3.4]), np.arange(0.9, 2.0, 0.1)):
        assert codes(FileVideo(made.path).read(times, size=SIZE).pixels) == made.expected(times)


# -- threads and processes ---------------------------------------------------------------------------------------


def read_all(path, seed):
    video = FileVideo(path)
    return [video.read(times, size=SIZE).pixels for times in clips(seed)]


def test_two_threads_give_the_frames_of_one(make_file):
    made = make_file("b-frames")
    alone = [read_all(made.path, seed) for seed in range(4)]
    sharing.clear()
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda seed: read_all(made.path, seed), range(4)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(np.stack(one), np.stack(other))


def test_threads_wait_for_the_one_reader(make_file, limited):
    limited(VideoLimits(max_readers=1, cache_bytes=0))
    made = make_file("open-groups")
    most = []

    def work(seed):
        read_all(made.path, seed)
        most.append(sharing.shared_videos().pool.open_readers)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 4
    assert max(most) == 1


def test_two_threads_that_want_the_same_stretch_decode_it_once(make_file):
    made = make_file("one-key-frame")
    times = np.arange(0.5, 3.5, 0.1)
    start = threading.Barrier(2)
    counts = []

    def work():
        start.wait()
        counts.append(FileVideo(made.path).read(times, size=SIZE).decoded)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(counts) == 0


def test_four_spawned_workers_give_the_frames_of_one(make_file):
    made = make_file("b-frames")
    expected = [read_all(made.path, seed) for seed in range(4)]
    context = multiprocessing.get_context("spawn")
    video = FileVideo(made.path)
    video.read(clips()[0], size=SIZE)
    with context.Pool(4) as pool:
        results = [
            [pool.apply_async(video.read, (times,), {"size": SIZE}) for times in clips(seed)] for seed in range(4)
        ]
        for asked, one in zip(results, expected, strict=True):
            np.testing.assert_array_equal(np.stack([r.get(120).pixels for r in asked]), np.stack(one))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork: there is nothing to keep apart")
def test_a_fork_opens_the_file_for_itself(make_file):
    made = make_file("b-frames")
    expected = read_all(made.path, 1)
    video = FileVideo(made.path)
    video.read(clips()[0], size=SIZE)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        same = all(
            np.array_equal(one, video.read(times, size=SIZE).pixels)
            for one, times in zip(expected, clips(1), strict=True)
        )
        video.close()
        sharing.clear()
        os.write(sending, b"same" if same else b"unlike")
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert (answer, status) == (b"same", 0)
    np.testing.assert_array_equal(np.stack(read_all(made.path, 1)), np.stack(expected))


def test_a_reader_that_stands_in_no_group_of_pictures_is_moved_rather_than_another_opened(make_file):
    video = FileVideo(make_file("b-frames").path)
    _ = video.duration
    pool = sharing.shared_videos().pool
    for start in (3.3, 0.1, 1.7):
        video.read(start + np.arange(4) * 0.1, size=SIZE)  # the rest of each group is decoded along
        assert pool.open_readers == 1
    FileVideo(video.path, sparse_reads="key_frames").read(np.array([0.0, 1.7, 3.3]), size=SIZE)
    assert pool.open_readers == 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuvj420p", "yuv422p", "yuv444p"])
def test_a_frame_kept_small_is_drawn_as_one_read_alone(pix_fmt, encode, codes, tmp_path):
    """Frames much larger than what is shown of them are kept resized."""
    options = {"preset": "ultrafast", "g": "20"}
    path = encode(tmp_path / "a.mp4", [n / 30 for n in range(40)], options=options, pix_fmt=pix_fmt, size=(240, 320))
    FileVideo(path).read(np.arange(0, 1.2, 0.2), size=(24, 40))
    others = np.arange(0.1, 1.0, 0.07)
    kept = FileVideo(path).read(others, size=(24, 40))
    assert kept.decoded == 0
    assert codes(kept.pixels) == [int(time * 30 + 1e-6) for time in others]
    sharing.clear()
    np.testing.assert_array_equal(kept.pixels, FileVideo(path).read(others, size=(24, 40)).pixels)


def test_what_is_kept_resized_is_drawn_once(encode, monkeypatch, tmp_path):
    path = encode(tmp_path / "a.mp4", [n / 30 for n in range(40)], options={"preset": "ultrafast"}, size=(240, 320))
    drawn = []
    render = RawPixels.render

    def counted(self, spec):
        drawn.append(spec)
        return render(self, spec)

    monkeypatch.setattr(RawPixels, "render", counted)
    FileVideo(path).read(np.arange(0, 1.2, 0.2), size=(24, 40))
    assert len(drawn) == 6  # of forty decoded, those asked for
    for _ in range(2):
        FileVideo(path).read(np.arange(0.1, 1.0, 0.2), size=(24, 40))
    assert len(drawn) == 11
