from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting, ScorerError
from vzgym.core.interval import Interval
from vzgym.scorers import Frames, Query, ScoreCache, candidate_times, embed_video, make_scorer, score_video
from vzgym.scorers.video import BLOCK
from vzgym.video import ArrayVideo, FileVideo


class Counting:
    """The mean brightness, with a count of the frames seen. Fails at a given frame, if one is given."""

    name = "counting"
    batch_size = 50

    def __init__(self, *, stop_at: int | None = None, version: int = 1) -> None:
        self.identity: Any = {"version": version}
        self.stop_at, self.seen = stop_at, 0

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        self.seen += len(frames)
        if self.stop_at is not None and self.seen > self.stop_at:
            raise KeyboardInterrupt
        return frames.pixels.mean(axis=(1, 2, 3)) + len(query.text)


class Embedding(Counting):
    """The mean color as an embedding."""

    name = "embedding"

    def embed_frames(self, frames: Frames) -> NDArray[np.float32]:
        self.seen += len(frames)
        return frames.pixels.mean(axis=(1, 2), dtype=np.float32)

    def embed_text(self, text: str) -> NDArray[np.float32]:
        return np.full(3, len(text), np.float32)

    def score_embeddings(self, query: Query, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        return (embeddings @ self.embed_text(query.text)).astype(np.float64)


@pytest.fixture
def cache(tmp_path: Path) -> ScoreCache:
    return ScoreCache(tmp_path / "scores")


def test_a_frame_is_scored_once(cache: ScoreCache, long_file: Path, tmp_path: Path) -> None:
    first, scorer = score_video(Counting(), FileVideo(long_file), "a", cache=cache), Counting()
    assert first.costs == {"candidates_decoded": 600, "frames_scored": 600, "scorer_passes": 600}
    # The file is known by its content.
    moved = Path(shutil.copy(long_file, tmp_path / "moved.mp4"))
    again = score_video(scorer, FileVideo(moved), "a", cache=cache)
    assert scorer.seen == 0
    np.testing.assert_array_equal(again.scores, first.scores)
    np.testing.assert_array_equal(again.times, first.times)
    # What the scoring costs does not depend on the cache; what it saved is a field of its own.
    assert again.costs == {**first.costs, "cached_passes": 600}


@pytest.mark.parametrize("change", ["query", "options", "times", "size", "scorer", "backend", "content"])
def test_another_question_video_scorer_or_grid_is_another_entry(
    change: str, cache: ScoreCache, long_file: Path, tmp_path: Path
) -> None:
    times = candidate_times(600.0, 0.1)
    score_video(Counting(), FileVideo(long_file), Query("a"), times, cache=cache)
    video, query, scorer, most = FileVideo(long_file), Query("a"), Counting(), None
    match change:
        case "query":
            query = Query("ab")
        case "options":
            query = Query("a", ("x", "y"))
        case "times":
            times = times + 0.5
        case "size":
            most = 100
        case "scorer":
            scorer = Counting(version=2)
        case "backend":
            video = FileVideo(long_file, sparse_reads="key_frames")
        case "content":
            changed = tmp_path / "changed.mp4"
            changed.write_bytes(long_file.read_bytes() + b"\0" * 8)
            video = FileVideo(changed)
    score_video(scorer, video, query, times, max_pixels=most, cache=cache)
    assert scorer.seen == 60


def test_a_stopped_run_continues(cache: ScoreCache, long_file: Path) -> None:
    video = FileVideo(long_file)
    with pytest.raises(KeyboardInterrupt):
        score_video(Counting(stop_at=300), video, "a", cache=cache)
    scorer, seen = Counting(), []
    result = score_video(scorer, video, "a", cache=cache, progress=lambda done, total: seen.append((done, total)))
    assert scorer.seen == 600 - 2 * BLOCK
    assert result.costs["cached_passes"] == 2 * BLOCK
    assert seen[0] == (BLOCK, 600)
    assert seen[-1] == (600, 600)
    np.testing.assert_array_equal(result.scores, score_video(Counting(), video, "a").scores)


def test_a_killed_process_leaves_what_it_scored(cache: ScoreCache, long_file: Path) -> None:
    program = f"""
import os
from vzgym.scorers import score_video, make_scorer
from vzgym.video import FileVideo
def stop(done, total):
    if done > 300:
        os.kill(os.getpid(), 9)
score_video(make_scorer("histogram"), FileVideo({str(long_file)!r}), "red", cache={str(cache.folder)!r}, progress=stop)
"""
    died = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False)
    assert died.returncode == -9, died.stderr
    scorer = make_scorer("histogram")
    seen: list[int] = []
    result = score_video(
        scorer, FileVideo(long_file), "red", cache=cache, progress=lambda done, total: seen.append(done)
    )
    assert seen[0] == BLOCK
    assert cache.nbytes > 0
    np.testing.assert_array_equal(result.scores, score_video(scorer, FileVideo(long_file), "red").scores)


def test_a_second_question_costs_no_vision_pass(cache: ScoreCache, long_file: Path) -> None:
    video = FileVideo(long_file)
    score_video(Embedding(), video, "a", cache=cache)
    scorer = Embedding()
    result = score_video(scorer, video, "another question", cache=cache)
    assert scorer.seen == 0
    assert result.costs == {
        "candidates_decoded": 600, "frames_scored": 600, "scorer_passes": 600, "cached_passes": 600, "text_passes": 1,
    }  # fmt: skip
    np.testing.assert_array_equal(result.scores, score_video(Embedding(), video, "another question").scores)
    assert embed_video(scorer, video, cache=cache).embeddings.dtype == np.float32
    assert scorer.seen == 0


def test_a_damaged_block_is_computed_again(
    cache: ScoreCache, long_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = score_video(Counting(), FileVideo(long_file), "a", cache=cache)
    blocks = sorted(cache.folder.glob("*/*.npz"), key=lambda path: int(path.stem))
    blocks[0].write_bytes(blocks[0].read_bytes()[:100])
    data = bytearray(blocks[1].read_bytes())
    data[len(data) // 2] ^= 0xFF
    blocks[1].write_bytes(bytes(data))
    blocks[2].write_bytes(b"")
    scorer = Counting()
    with caplog.at_level(logging.WARNING, "vzgym.scorers"):
        again = score_video(scorer, FileVideo(long_file), "a", cache=cache)
    assert scorer.seen == 3 * BLOCK
    assert len([r for r in caplog.records if "is damaged" in r.message]) == 3
    np.testing.assert_array_equal(again.scores, whole.scores)
    assert Counting().seen == 0


def test_the_least_recently_used_entry_is_deleted(tmp_path: Path, long_file: Path) -> None:
    times = candidate_times(600.0, 0.2)
    folder = tmp_path / "scores"
    sizes = []
    for number, text in enumerate("abc"):
        score_video(Counting(), FileVideo(long_file), text, times, cache=folder)
        sizes.append(ScoreCache(folder).nbytes)
        for entry in folder.glob("*/entry.json"):
            if entry.stat().st_mtime > 1000:
                os.utime(entry, (100 + number, 100 + number))
    score_video(Counting(), FileVideo(long_file), "a", times, cache=folder)  # "b" is now the oldest
    limit = sizes[2] + 100  # three entries
    score_video(Counting(), FileVideo(long_file), "d", times, cache=ScoreCache(folder, limit=limit))
    assert ScoreCache(folder).nbytes <= limit
    seen = {}
    for text in "acdb":
        scorer = Counting()
        score_video(scorer, FileVideo(long_file), text, times, cache=folder)
        seen[text] = scorer.seen
    assert seen == {"a": 0, "c": 0, "d": 0, "b": 120}


def test_an_entry_above_the_limit_is_not_kept(
    tmp_path: Path, long_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = ScoreCache(tmp_path, limit=1000)
    with caplog.at_level(logging.WARNING, "vzgym.scorers"):
        score_video(Counting(), FileVideo(long_file), "a", cache=small)
    assert small.nbytes == 0
    assert len([r for r in caplog.records if "more than the limit" in r.message]) == 1


def test_a_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, long_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vzgym.scorers.cache.write_bytes", full)
    with caplog.at_level(logging.WARNING, "vzgym.scorers"):
        result = score_video(Counting(), FileVideo(long_file), "a", cache=tmp_path)
    assert len(result.scores) == 600
    assert len([r for r in caplog.records if "No space left" in r.message]) == 1


def test_two_users_of_an_entry_share_the_work(cache: ScoreCache, long_file: Path) -> None:
    scorers = [Counting(), Counting()]
    results: list[Any] = [None, None]

    def work(place: int) -> None:
        results[place] = score_video(scorers[place], FileVideo(long_file), "a", cache=cache)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(scorer.seen for scorer in scorers) == [0, 600]
    np.testing.assert_array_equal(results[0].scores, results[1].scores)


def test_what_has_no_identity_is_not_kept(cache: ScoreCache, long_file: Path) -> None:
    scorer = Counting()
    scorer.identity = None
    score_video(scorer, FileVideo(long_file), "a", cache=cache)
    score_video(Counting(), ArrayVideo(np.zeros((3, 4, 4, 3), np.uint8), 1.0), "a", cache=cache)
    score_video(make_scorer("evidence"), FileVideo(long_file), Query("a", evidence=(Interval(0, 5),)), cache=cache)
    assert cache.nbytes == 0
    scorer.identity = {"weights": np.zeros(3)}
    with pytest.raises(ScorerError, match=r"identity of scorer 'counting'.*ndarray at weights"):
        score_video(scorer, FileVideo(long_file), "a", cache=cache)


def test_a_cache_is_cleared(cache: ScoreCache, long_file: Path) -> None:
    score_video(Counting(), FileVideo(long_file), "a", cache=cache)
    assert cache.nbytes > 600 * 8
    other = cache.folder / "mine"
    other.mkdir()
    (other / "entry.json").write_text("{}")
    cache.clear()
    assert cache.nbytes == 0
    assert (other / "entry.json").exists()


def test_the_default_folder_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("VZGYM_CACHE", raising=False)
    assert ScoreCache().folder == tmp_path / "vzgym" / "scores"
    monkeypatch.setenv("VZGYM_CACHE", str(tmp_path / "mine"))
    assert ScoreCache().folder == tmp_path / "mine" / "scores"
    with pytest.raises(InvalidSetting, match="limit of a cache"):
        ScoreCache(limit=-1)
