"""The frame cache: what is found, what makes room, and the limit in bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vzgym.video.cache import FrameCache
from vzgym.video.decoder import DecodedFrame, Rendered

KB = 1024


def picture(start, end, kilobytes=1):
    return DecodedFrame(start, end, Rendered(np.zeros(kilobytes * KB, dtype=np.uint8)))


def test_a_picture_is_found_while_it_is_shown():
    cache = FrameCache(10 * KB)
    cache.put("video", "spec", picture(1.0, 1.5))
    cache.put("video", "spec", picture(3.0, math.inf))
    found = [cache.get("video", "spec", time) for time in (0.9, 1.0, 1.49, 1.5, 2.9, 3.0, 99.0)]
    assert [None if p is None else p.start for p in found] == [None, 1.0, 1.0, None, None, 3.0, 3.0]
    assert cache.get("video", "other spec", 1.0) is None
    assert cache.get("other video", "spec", 1.0) is None
    assert (cache.stats.hits, cache.stats.misses) == (4, 5)


def test_what_was_used_longest_ago_makes_room():
    cache = FrameCache(3 * KB)
    for start in range(3):
        cache.put("video", "spec", picture(start, start + 1))
    assert cache.get("video", "spec", 0.5) is not None  # used again: now the newest
    cache.put("video", "spec", picture(3, 4))
    held = [start for start in range(4) if cache.get("video", "spec", start) is not None]
    assert held == [0, 2, 3]
    assert cache.stats.nbytes == 3 * KB


def test_the_limit_holds_whatever_comes():
    cache = FrameCache(20 * KB)
    rng = np.random.default_rng(0)
    for _ in range(500):
        start = float(rng.integers(40))
        video, spec = f"video {rng.integers(3)}", f"spec {rng.integers(2)}"
        cache.put(video, spec, picture(start, start + 1, int(rng.integers(1, 6))))
        assert cache.stats.nbytes <= 20 * KB
    held = sum(
        cache.get(f"video {v}", f"spec {w}", float(start)) is not None
        for v in range(3)
        for w in range(2)
        for start in range(40)
    )
    assert held == cache.stats.frames


def test_one_larger_than_the_limit_is_not_held_and_evicts_nothing():
    cache = FrameCache(4 * KB)
    cache.put("video", "spec", picture(0, 1))
    cache.put("video", "spec", picture(1, 2, 5))
    assert cache.get("video", "spec", 0.0) is not None
    assert cache.get("video", "spec", 1.0) is None


def test_a_picture_put_twice_counts_once():
    cache = FrameCache(10 * KB)
    cache.put("video", "spec", picture(0, 1, 2))
    cache.put("video", "spec", picture(0, 1, 3))
    assert (cache.stats.nbytes, cache.stats.frames) == (3 * KB, 1)


def test_forgetting_frees_one_video_and_clearing_frees_all():
    cache = FrameCache(10 * KB)
    for video in ("a", "b"):
        cache.put(video, "spec", picture(0, 1))
    cache.forget("a")
    assert cache.get("a", "spec", 0.0) is None
    assert cache.get("b", "spec", 0.0) is not None
    cache.clear()
    assert (cache.stats.nbytes, cache.stats.frames) == (0, 0)


@pytest.mark.parametrize("limit", [0, 2 * KB])
def test_a_lower_limit_takes_effect_at_once(limit):
    cache = FrameCache(10 * KB)
    for start in range(8):
        cache.put("video", "spec", picture(start, start + 1))
    cache.set_limit(limit)
    assert cache.stats.nbytes == limit
