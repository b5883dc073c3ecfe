"""Scoring of the candidate frames of a video: decoded once, in batches, in bounded memory, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, ScorerError
from vzgym.scorers.base import Query, Scorer, can_embed, check_embeddings, check_scores, embeds
from vzgym.scorers.cache import Block, CacheSpec, entry_key, entry_name, make_cache
from vzgym.tasks.task import VideoTask
from vzgym.video.base import Frames, Video
from vzgym.video.file import ClipRequest, FileVideo

__all__ = [
    "BLOCK",
    "Progress",
    "VideoEmbeddings",
    "VideoScores",
    "candidate_times",
    "compute_block",
    "embed_video",
    "keep_block",
    "missing_blocks",
    "missing_candidates",
    "score_video",
]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of candidates done and their total."""

BLOCK: Final = 128
"""Candidates that are stored together. A stopped run loses at most so many."""

_BATCH: Final = 64
_READ_BYTES: Final = 64 << 20
"""Bytes of frames that are read at once, at most (one frame may be larger)."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoScores:
    """Scores of candidate frames.

    Attributes:
        times: float64, shape `(n,)`: the frames' own times in seconds.
        scores: float64, shape `(n,)`, finite.
        costs: What the scoring costs, by the names of the cost ledger (`vzgym.episode.costs.SCORER_COSTS`), and costs
            of the scorer's own ("requests"). Frames and passes count as without a cache on disk, except for
            `cached_passes`, the passes that it saved.
    """

    times: NDArray[np.float64]
    scores: NDArray[np.float64]
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class VideoEmbeddings:
    """Embeddings of candidate frames.

    Attributes:
        times: float64, shape `(n,)`: the frames' own times in seconds.
        embeddings: float32, shape `(n, d)`, finite.
        costs: As those of `VideoScores`, without passes of the text.
    """

    times: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    costs: Mapping[str, float] = field(default_factory=dict)


def candidate_times(duration: float, fps: float = 1.0, most: int | None = None) -> NDArray[np.float64]:
    """Times of candidate frames: `i / fps` seconds for all i with a time below the video's end.

    Args:
        duration: Length of the video in seconds, > 0.
        fps: Candidates per second, > 0.
        most: Largest number of candidates. If there are more, those with the index `int(linspace(0, n - 1, most))`.

    Raises:
        InvalidSetting: If a number is out of range.
    """
    for name, value in (("duration", duration), ("fps", fps)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidSetting(f"{name} of candidates must be finite and > 0, got {value!r}")
    if most is not None and most < 1:
        raise InvalidSetting(f"most must be >= 1, got {most!r}")
    count = max(1, math.ceil(duration * fps - 1e-6))
    index = np.arange(count)
    if most is not None and count > most:
        index = np.linspace(0, count - 1, most).astype(np.int64)
    times: NDArray[np.float64] = index / fps
    return times


def score_video(
    scorer: Scorer,
    video: Video,
    query: Query | VideoTask | str,
    times: NDArray[np.float64] | None = None,
    *,
    max_pixels: int | None = None,
    cache: CacheSpec = None,
    progress: Progress | None = None,
) -> VideoScores:
    """Score candidate frames of a video for a query.

    Frames are decoded once, in the order of `times`, at most 64 MB at a time. If all candidates take more, they are not
    kept in the cache of frames in memory either.

    Args:
        scorer: The scorer (`make_scorer`).
        video: The video.
        query: A query, a task, or a text.
        times: Candidates in seconds, ascending; one per second if not given (`candidate_times`).
        max_pixels: Largest number of pixels of a candidate; larger frames are downscaled, keeping their aspect ratio.
            Default: native size.
        cache: Where scores and embeddings of video files are kept (`ScoreCache`); True for the default folder. Values
            in it are not computed again, also after an interruption. None keeps none.
        progress: Called after each batch.

    Returns:
        The scores, in the order of `times`.

    Raises:
        VideoError: If a candidate cannot be decoded. It has no score then; in particular not 0.
        ScorerError: If the scorer returns anything but one finite number per frame.
        InvalidSetting: If a time lies outside the video, or there are none.
    """
    query = _as_query(query)
    candidates = _Candidates(scorer, video, times, max_pixels)
    if embeds(scorer):
        embedded = embed_video(scorer, video, candidates.times, max_pixels=max_pixels, cache=cache, progress=progress)
        subject: Any = scorer
        scores = check_scores(scorer, subject.score_embeddings(query, embedded.embeddings), embedded.times)
        text = {"text_passes": 1} if _uses_model(scorer) else {}
        return VideoScores(embedded.times, scores, {**embedded.costs, **text, **_own_costs(scorer)})
    done = candidates.compute(candidates.values(query), query, cache, progress)
    return VideoScores(done.times, done.values, done.costs)


def embed_video(
    scorer: Scorer,
    video: Video,
    times: NDArray[np.float64] | None = None,
    *,
    max_pixels: int | None = None,
    cache: CacheSpec = None,
    progress: Progress | None = None,
) -> VideoEmbeddings:
    """Embed candidate frames of a video. Arguments and errors as in `score_video`.

    Raises:
        ScorerError: Also if the scorer has no embeddings.
    """
    if not can_embed(scorer):
        raise ScorerError(
            f"scorer {scorer.name!r} has no embeddings (embed_frames, embed_text), which are needed here: use one that "
            "has, such as clip, siglip or histogram"
        )
    subject: Any = scorer
    candidates = _Candidates(scorer, video, times, max_pixels)
    done = candidates.compute(
        lambda frames: check_embeddings(scorer, subject.embed_frames(frames), frames.times), None, cache, progress
    )
    return VideoEmbeddings(done.times, done.values, done.costs)


def missing_candidates(
    scorer: Scorer,
    video: Video,
    query: Query | VideoTask | str,
    times: NDArray[np.float64] | None = None,
    *,
    max_pixels: int | None = None,
    cache: CacheSpec = None,
) -> tuple[str, int] | None:
    """How many candidates a cache lacks. Arguments as in `score_video`; no frame is decoded or scored.

    Returns:
        The name of the cache's entry, and the number of candidates that `score_video` would decode and score. None if
        their values cannot be kept: the scorer has no identity, or the video is not a file.

    Raises:
        VideoError: If the video cannot be opened.
    """
    candidates = _Candidates(scorer, video, times, max_pixels)
    query = _as_query(query)
    key = entry_key(scorer, video, None if embeds(scorer) else query, candidates.times, candidates.size)
    if key is None:
        return None
    store = make_cache(cache)
    stored = 0 if store is None else store.count(key)
    return entry_name(key), max(0, len(candidates.times) - stored * BLOCK)


def missing_blocks(
    scorer: Scorer,
    video: Video,
    query: Query | VideoTask | str,
    times: NDArray[np.float64],
    *,
    max_pixels: int | None = None,
    cache: CacheSpec = None,
) -> list[int]:
    """The first candidates of the blocks that a cache lacks. Arguments as in `missing_candidates`."""
    candidates = _Candidates(scorer, video, times, max_pixels)
    firsts = range(0, len(candidates.times), BLOCK)
    store = make_cache(cache)
    key = candidates.key(_as_query(query))
    if store is None or key is None:
        return list(firsts)
    with store.open(key) as entry:
        return [first for first in firsts if entry.get(first, candidates.count(first)) is None]


def compute_block(
    scorer: Scorer,
    video: Video,
    query: Query | VideoTask | str,
    times: NDArray[np.float64],
    first: int,
    *,
    max_pixels: int | None = None,
) -> tuple[Block, dict[str, float]]:
    """Score or embed the candidates of one block, in any process; `keep_block` stores them.

    Args:
        scorer: See `score_video`, as for all others.
        video: The video.
        query: What the frames are scored for.
        times: All candidates.
        first: Index of the block's first candidate: a multiple of `BLOCK`.
        max_pixels: Largest number of pixels of a candidate.

    Returns:
        The block, and the costs of its own that the scorer counts.

    Raises:
        VideoError: If a candidate cannot be decoded.
        ScorerError: If the scorer returns no valid values.
    """
    candidates = _Candidates(scorer, video, times, max_pixels)
    own: dict[str, float] | None = None if embeds(scorer) else {}
    block = candidates.block(first, candidates.values(_as_query(query)), own, None)
    return block, own or {}


def keep_block(
    block: Block,
    scorer: Scorer,
    video: Video,
    query: Query | VideoTask | str,
    times: NDArray[np.float64],
    first: int,
    *,
    max_pixels: int | None = None,
    cache: CacheSpec = None,
) -> None:
    """Store a block that `compute_block` gave for the same arguments."""
    candidates = _Candidates(scorer, video, times, max_pixels)
    store, key = make_cache(cache), candidates.key(_as_query(query))
    if store is not None and key is not None:
        with store.open(key) as entry:
            entry.put(first, block, len(candidates.times))


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    """Values of all candidates."""

    times: NDArray[np.float64]
    values: NDArray[Any]
    costs: Mapping[str, float]


class _Candidates:
    """Candidate frames of a video, read in batches for a scorer."""

    def __init__(self, scorer: Scorer, video: Video, times: NDArray[np.float64] | None, max_pixels: int | None) -> None:
        self.scorer, self.video = scorer, video
        asked = candidate_times(video.duration) if times is None else np.asarray(times, dtype=np.float64).reshape(-1)
        if not len(asked):
            raise InvalidSetting(f"no candidate frames of {video.uri!r} to score: give at least one time")
        self.times = asked
        self.lookback = int(getattr(scorer, "lookback", 0))
        self.reads = bool(getattr(scorer, "needs_pixels", True))
        height, width = video.height, video.width
        self.size: tuple[int, int] | None = None
        if max_pixels is not None and height * width > max_pixels:
            self.size = height, width = Budget(max_pixels=max_pixels, min_pixels=1).fit(height, width)
        batch = int(getattr(scorer, "batch_size", _BATCH))
        self.batch = max(1, min(batch, _READ_BYTES // (height * width * 3)))
        self.keep = len(asked) * height * width * 3 <= _READ_BYTES

    def key(self, query: Query) -> dict[str, Any] | None:
        """The key of their values in a cache; None if they are not kept."""
        return entry_key(self.scorer, self.video, None if embeds(self.scorer) else query, self.times, self.size)

    def count(self, first: int) -> int:
        """Number of candidates of the block that begins at `first`."""
        return min(BLOCK, len(self.times) - first)

    def values(self, query: Query) -> Callable[[Frames], NDArray[Any]]:
        """The function that gives the values of a batch of frames: embeddings if the scorer embeds, else scores."""
        scorer: Any = self.scorer
        if embeds(self.scorer):
            return lambda frames: check_embeddings(scorer, scorer.embed_frames(frames), frames.times)
        return lambda frames: check_scores(scorer, scorer.score(query, frames), frames.times)

    def compute(
        self,
        values: Callable[[Frames], NDArray[Any]],
        query: Query | None,
        cache: CacheSpec,
        progress: Progress | None,
    ) -> _Done:
        """Compute the values of all candidates, or take them from the cache.

        Args:
            values: The values of a batch.
            query: What the values depend on, beside the frames, if anything.
            cache: The cache.
            progress: Called after each batch.
        """
        store = make_cache(cache)
        key = None if store is None else entry_key(self.scorer, self.video, query, self.times, self.size)
        blocks: list[Block] = []
        cached = 0
        own: dict[str, float] | None = None if query is None else {}  # embedding has no costs of its own
        total = len(self.times)
        with nullcontext() if store is None or key is None else store.open(key) as entry:
            for first in range(0, total, BLOCK):
                count = self.count(first)
                block = entry.get(first, count) if entry is not None else None
                if block is None:
                    block = self.block(first, values, own, progress)
                    if entry is not None:
                        entry.put(first, block, total)
                else:
                    cached += count
                    if progress is not None:
                        progress(first + count, total)
                blocks.append(block)
        costs: dict[str, float] = {"candidates_decoded": sum(block.decoded for block in blocks), "frames_scored": total}
        if _uses_model(self.scorer):
            costs |= {"scorer_passes": total, **({"cached_passes": cached} if cached else {})}
        times = np.concatenate([block.times for block in blocks])
        return _Done(times, np.concatenate([block.values for block in blocks]), {**costs, **(own or {})})

    def block(
        self,
        first: int,
        values: Callable[[Frames], NDArray[Any]],
        own: dict[str, float] | None,
        progress: Progress | None,
    ) -> Block:
        """Compute the values of a block."""
        times, results = [], []
        decoded = done = 0
        for frames, skip in self._read(first, first + self.count(first)):
            results.append(values(frames)[skip:])
            times.append(frames.times[skip:])
            decoded += frames.decoded
            done += len(frames) - skip
            if own is not None:
                for name, value in _own_costs(self.scorer).items():
                    own[name] = own.get(name, 0) + value
            if progress is not None:
                progress(first + done, len(self.times))
        return Block(np.concatenate(times), np.concatenate(results), decoded)

    def _read(self, first: int, last: int) -> Iterator[tuple[Frames, int]]:
        """Read candidates in batches, each with the number of frames before it that are there for the lookback only."""
        tail: Frames | None = None
        for start in range(first, last, self.batch):
            end = min(last, start + self.batch)
            before = max(0, start - self.lookback)
            if tail is None or len(tail) != start - before:
                batch = self._decode(self.times[before:end])
            else:
                # Decoding is forward only: to read these frames again would mean to seek.
                new = self._decode(self.times[start:end])
                pixels = np.concatenate([tail.pixels, new.pixels])
                batch = Frames(pixels, np.concatenate([tail.times, new.times]), new.decoded)
            yield batch, start - before
            kept = max(0, len(batch) - self.lookback)
            tail = Frames(batch.pixels[kept:].copy(), batch.times[kept:]) if self.lookback else None

    def _decode(self, times: NDArray[np.float64]) -> Frames:
        if not self.reads:
            return Frames(np.empty((len(times), 0, 0, 3), dtype=np.uint8), times.copy(), len(times))
        if isinstance(self.video, FileVideo):
            return self.video.read_many([ClipRequest(times, self.size, keep=self.keep)])[0]
        return self.video.read(times, size=self.size)


def _as_query(query: Query | VideoTask | str) -> Query:
    if isinstance(query, VideoTask):
        return Query.of(query)
    return Query(query) if isinstance(query, str) else query


def _uses_model(scorer: Scorer) -> bool:
    return bool(getattr(scorer, "uses_model", True))


def _own_costs(scorer: Scorer) -> Mapping[str, float]:
    """Further costs of the latest call."""
    found: Any = getattr(scorer, "costs", {})
    if not isinstance(found, Mapping) or not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in found.values()
    ):
        raise ScorerError(f"costs of scorer {scorer.name!r} must be numbers by name, got {found!r:.200}")
    return found
