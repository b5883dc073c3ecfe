from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vzgym.video
from vzgym.core.errors import InvalidSetting, ScorerError, VideoError
from vzgym.core.interval import Interval
from vzgym.scorers import Frames, Query, candidate_times, embed_video, make_scorer, score_video
from vzgym.video import ArrayVideo, FileVideo, ProceduralVideo

QUERY = Query("the red one", (), "t", (Interval(3, 5),))


def noise_video(count: int = 300, fps: float = 2.0) -> ArrayVideo:
    pixels = np.random.default_rng(1).integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    return ArrayVideo(pixels, fps)


class Mean:
    """The mean brightness."""

    name = "mean"
    batch_size = 7

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        self.shapes.append(frames.pixels.shape)
        return frames.pixels.mean(axis=(1, 2, 3))


def test_candidates_are_evenly_spaced() -> None:
    np.testing.assert_array_equal(candidate_times(3.0), [0, 1, 2])
    np.testing.assert_array_equal(candidate_times(3.2, 2.0), [0, 0.5, 1, 1.5, 2, 2.5, 3])
    np.testing.assert_array_equal(candidate_times(0.1), [0])
    np.testing.assert_array_equal(candidate_times(10.0, most=4), [0, 3, 6, 9])
    assert len(candidate_times(3600.0, most=128)) == 128
    for wrong in ((0.0, 1.0, None), (5.0, 0.0, None), (float("inf"), 1.0, None), (5.0, 1.0, 0)):
        with pytest.raises(InvalidSetting):
            candidate_times(*wrong)


def test_batches_do_not_change_scores() -> None:
    video, scorer = noise_video(), Mean()
    result = score_video(scorer, video, QUERY)
    frames = video.read(candidate_times(150.0))
    np.testing.assert_array_equal(result.scores, frames.pixels.mean(axis=(1, 2, 3)))
    np.testing.assert_array_equal(result.times, frames.times)
    assert {shape[0] for shape in scorer.shapes[:-1]} <= {7, 2}  # 128 = 18 * 7 + 2
    assert result.costs == {"candidates_decoded": 150, "frames_scored": 150, "scorer_passes": 150}


def test_a_lookback_crosses_batches() -> None:
    class Batched(type(make_scorer("frame-difference"))):  # type: ignore[misc]
        batch_size = 5

    video = noise_video()
    whole = make_scorer("frame-difference").score(QUERY, video.read(candidate_times(150.0)))
    np.testing.assert_allclose(score_video(Batched(), video, QUERY).scores, whole, rtol=1e-12)


def test_a_scorer_of_times_decodes_nothing() -> None:
    class Unreadable(ArrayVideo):
        def read(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

    video = Unreadable(np.zeros((40, 4, 4, 3), np.uint8), 4.0)
    result = score_video(make_scorer("evidence"), video, QUERY)
    np.testing.assert_array_equal(np.flatnonzero(result.scores), [3, 4])
    # It stands for a scorer that looks at the frames.
    assert result.costs == {"candidates_decoded": 10, "frames_scored": 10}


def test_scores_through_embeddings_equal_scores() -> None:
    video, scorer = noise_video(), make_scorer("histogram")
    result = score_video(scorer, video, QUERY)
    np.testing.assert_array_equal(result.scores, scorer.score(QUERY, video.read(candidate_times(150.0))))
    embedded = embed_video(scorer, video)
    assert embedded.embeddings.shape == (150, 12)
    np.testing.assert_allclose(np.linalg.norm(embedded.embeddings, axis=1), 1, rtol=1e-6)


def test_large_frames_are_read_in_small_batches_and_may_be_downscaled() -> None:
    video, scorer = ArrayVideo(np.zeros((4, 3000, 4000, 3), np.uint8), 1.0), Mean()
    score_video(scorer, video, QUERY)
    assert {shape[0] for shape in scorer.shapes} == {1}  # 36 MB each
    scorer = Mean()
    score_video(scorer, video, QUERY, max_pixels=1200)
    assert scorer.shapes == [(4, 30, 40, 3)]


def test_progress_is_told_after_each_batch() -> None:
    seen: list[tuple[int, int]] = []
    score_video(Mean(), noise_video(), QUERY, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (150, 150)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) > 20


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (lambda n: np.full(n, np.nan), r"'bad' is nan for the frame at 0\.000 s \(7 of 7 frames\)"),
        (lambda n: np.where(np.arange(n) == 2, np.inf, 0.0), r"inf for the frame at 2\.000 s \(1 of 7"),
        (lambda n: np.zeros(n - 1), r"shape \(7,\), got \(6,\)"),
        (lambda n: np.zeros((n, 2)), r"shape \(7,\), got \(7, 2\)"),
        (lambda n: np.zeros(n, dtype=bool), "numbers, got bool"),
        (lambda n: ["a"] * n, "numbers"),
        (lambda n: [[1, 2], [3]], "array of numbers"),
    ],
)
def test_invalid_scores_are_errors(scores: Any, words: str) -> None:
    class Bad(Mean):
        name = "bad"

        def score(self, query: Query, frames: Frames) -> Any:
            return scores(len(frames))

    with pytest.raises(ScorerError, match=words):
        score_video(Bad(), noise_video(), QUERY)


def test_embeddings_that_are_missing_or_invalid_are_errors() -> None:
    with pytest.raises(ScorerError, match=r"'mean' has no embeddings.*clip"):
        embed_video(Mean(), noise_video())

    class Bad(Mean):
        def embed_text(self, text: str) -> Any: ...

        def embed_frames(self, frames: Frames) -> Any:
            return np.full((len(frames), 3), np.nan, np.float32)

    with pytest.raises(ScorerError, match=r"embed_frames\(\).*frame at 0\.000 s"):
        embed_video(Bad(), noise_video())


def test_an_unreadable_video_has_no_scores(make_task: Any) -> None:
    task = make_task(most=4)  # only four frames can be read at once
    with pytest.raises(VideoError, match="the data ends here"):
        score_video(Mean(), task.video, task)


def test_times_must_be_there_and_inside_the_video() -> None:
    with pytest.raises(InvalidSetting, match="at least one time"):
        score_video(Mean(), noise_video(), QUERY, np.array([]))
    with pytest.raises(InvalidSetting, match="times must lie in"):
        score_video(Mean(), noise_video(), QUERY, np.array([1e6]))


def test_equal_scores_and_a_single_candidate_are_fine() -> None:
    video = ArrayVideo(np.zeros((3, 4, 4, 3), np.uint8), 30.0)
    result = score_video(make_scorer("hash"), video, "anything")
    assert result.scores.shape == (1,)
    assert len(set(score_video(make_scorer("frame-difference"), video, "x", np.zeros(3)).scores)) == 1


def test_memory_does_not_grow_with_the_video() -> None:
    def draw(indices: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint8]:
        return np.repeat(indices.astype(np.uint8), height * width * 3).reshape(-1, height, width, 3)

    peaks = []
    for minutes in (5, 60):
        video = ProceduralVideo("procedural:long", draw, 60 * minutes, 1.0, 60, 80)
        score_video(Mean(), video, QUERY, np.arange(8.0))
        tracemalloc.start()
        result = score_video(Mean(), video, QUERY)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(result.scores) == 60 * minutes
    # 4 MB and 52 MB of frames.
    assert peaks[1] < peaks[0] + 1_000_000


def test_many_candidates_do_not_fill_the_cache_of_frames(long_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = score_video(Mean(), FileVideo(long_file), QUERY, np.arange(30.0))
    assert vzgym.video.stats().frames >= 30
    vzgym.video.clear()
    monkeypatch.setattr("vzgym.scorers.video._READ_BYTES", 20 * 32 * 48 * 3)
    many = score_video(Mean(), video := FileVideo(long_file), QUERY, np.arange(30.0))
    assert vzgym.video.stats().frames == 0
    np.testing.assert_array_equal(many.scores, few.scores)
    # Frames before a batch are carried over, not decoded again.
    difference = make_scorer("frame-difference")
    monkeypatch.setattr(type(difference), "batch_size", 5, raising=False)
    found = score_video(difference, video, QUERY, np.arange(30.0))
    assert found.costs["candidates_decoded"] == many.costs["candidates_decoded"]
    np.testing.assert_allclose(found.scores, difference.score(QUERY, video.read(np.arange(30.0))), rtol=1e-12)
