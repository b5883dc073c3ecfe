"""What every selector keeps: exactly min(n, k) distinct, sorted indices, the same for the same seed."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vzgym.baselines.selectors import SELECTORS, Candidates, make_selector
from vzgym.baselines.selectors.base import centred
from vzgym.core.errors import InvalidSetting, SelectionError, UnknownName

NAMES = sorted(SELECTORS.names())
# Scores that repeat, tower above the others, or are all equal.
SHAPES = ("random", "equal", "peak", "steps", "negative")


def make(n, shape, seed, *, on_demand=False, step=1.0):
    rng = np.random.default_rng(seed)
    scores = {
        "random": rng.random(n),
        "equal": np.full(n, 0.3),
        "peak": np.eye(1, n, int(rng.integers(n)))[0],
        "steps": rng.integers(0, 3, n).astype(float),
        "negative": -50.0 * rng.random(n),
    }[shape]
    # A few identical frames, as videos have.
    embeddings = rng.normal(size=(max(1, n // 2), 5))[rng.integers(0, max(1, n // 2), n)]
    known = {"scorer": lambda indices: scores[indices]} if on_demand else {"scores": scores}
    return Candidates(np.arange(n) * step, embeddings=embeddings, text=rng.normal(size=5), **known)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 150),
    k=st.integers(1, 40),
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 2**16),
    on_demand=st.booleans(),
)
def test_exactly_k_distinct_sorted_indices(name, n, k, shape, seed, on_demand):
    chosen = make_selector(name).select(make(n, shape, seed, on_demand=on_demand), k, seed=seed)
    assert chosen.dtype == np.int64
    assert len(chosen) == min(n, k)
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < n
    again = make_selector(name).select(make(n, shape, seed, on_demand=on_demand), k, seed=seed)
    assert chosen.tolist() == again.tolist()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(n=st.integers(2, 90), k=st.integers(1, 20), shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**16))
def test_exact_never_leaves_the_video(name, n, k, shape, seed):
    chosen = make_selector({"name": name, "exact": True}).select(make(n, shape, seed), k, seed=seed)
    assert (np.diff(chosen) >= 0).all()
    assert all(0 <= index < n for index in chosen)


@pytest.mark.parametrize("name", ["aks", "bolt", "q-frame", "top-k", "wfs-sb", "motion"])
@pytest.mark.parametrize("value", [0.0, 0.7, -3.0])
def test_equal_scores_select_uniformly(name, value):
    candidates = Candidates(np.arange(50.0), np.full(50, value))
    assert make_selector(name).select(candidates, 8).tolist() == centred(50, 8).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_no_more_candidates_than_frames_are_all_taken(name):
    for k in (5, 6, 64):
        assert make_selector(name).select(make(5, "random", 0), k).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "name", ["aks", "bolt", "top-k", "wfs-sb", "binary", "tree", "windows", "focus", "t-star", "dig"]
)
def test_a_better_frame_elsewhere_is_taken(name):
    """A selector follows its scores: the frames around a clear peak are taken, wherever it is."""
    for peak in (20, 70, 100):
        # A wide peak, so that those that score only a few frames can find it.
        scores = np.exp(-0.5 * ((np.arange(128) - peak) / 8.0) ** 2)
        scores[peak] += 0.1
        rng = np.random.default_rng(peak)
        embeddings = np.repeat(rng.normal(size=(16, 6)), 8, axis=0) + 0.01 * rng.normal(size=(128, 6))
        scorer = partial(np.take, scores)
        candidates = Candidates(np.arange(128.0), embeddings=embeddings, text=embeddings[peak], scorer=scorer)
        chosen = make_selector(name).select(candidates, 8, seed=1)
        assert np.abs(chosen - peak).min() <= 5
        assert scores[chosen].mean() > 1.5 * scores.mean()


@pytest.mark.parametrize(("name", "most"), [("binary", 14), ("tree", 17), ("focus", 80), ("t-star", 64)])
def test_adaptive_selectors_score_few_frames(name, most):
    candidates = make(128, "random", 3, on_demand=True)
    make_selector(name).select(candidates, 8)
    assert 0 < candidates.scored <= most


@pytest.mark.parametrize("name", ["q-frame", "focus", "t-star", "videotree"])
def test_seeds_differ(name):
    chosen = {tuple(make_selector(name).select(make(120, "random", 3), 8, seed=seed)) for seed in range(8)}
    assert len(chosen) > 1


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "4"])
def test_k_must_be_a_positive_integer(candidates, k):
    with pytest.raises(InvalidSetting, match="k must be an integer >= 1"):
        make_selector("top-k").select(candidates, k)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_named(name):
    selector = make_selector(name)
    bare = Candidates(np.arange(30.0))
    if not selector.needs:
        assert len(selector.select(bare, 4)) == 4
        return
    with pytest.raises(SelectionError, match=rf"{selector.name}: the candidates have no (scores|embeddings)"):
        selector.select(bare, 4)
    if "text" in selector.needs:
        with pytest.raises(SelectionError, match=r"no embedding of the text.*embed_text"):
            selector.select(Candidates(np.arange(30.0), embeddings=np.ones((30, 2))), 4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"times": [[0.0]]}, "times must have 1 dimension, got 2"),
        ({"times": [0.0, 0.0]}, "must increase"),
        ({"times": [0.0, 1.0], "scores": [1.0]}, "2 candidates, but 1 scores"),
        ({"times": [0.0, 1.0], "scores": [1.0, np.nan]}, "scores must be finite, got 1"),
        ({"times": [0.0, 1.0], "embeddings": [[1.0]]}, "2 candidates, but 1 embeddings"),
        ({"times": [0.0], "embeddings": [[1.0, 2.0]], "text": [1.0]}, "embeddings of frames have 2 entries"),
    ],
)
def test_candidates_that_contradict_each_other(given, words):
    with pytest.raises(SelectionError, match=words):
        Candidates(**given)


def test_scorers_are_checked():
    short = Candidates(np.arange(9.0), scorer=lambda indices: np.zeros(1))
    with pytest.raises(SelectionError, match="returned 1 scores for 9 candidates"):
        make_selector("top-k").select(short, 2)
    wild = Candidates(np.arange(9.0), scorer=lambda indices: np.full(len(indices), np.inf))
    with pytest.raises(SelectionError, match="the scorer's scores must be finite"):
        make_selector("top-k").select(wild, 2)


def test_each_candidate_is_scored_once():
    asked: list[int] = []

    def scorer(indices):
        asked.extend(indices.tolist())
        return np.zeros(len(indices))

    candidates = Candidates(np.arange(9.0), scorer=scorer)
    candidates.score_at([3, 3, 1])
    candidates.score_at([1, 2])
    assert asked == [3, 1, 2]
    assert candidates.scored == 3


def test_no_candidates():
    with pytest.raises(SelectionError, match="top-k has no candidates"):
        make_selector("top-k").select(Candidates([], []), 3)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"name": "aks", "depth": -1}, "depth must be an integer >= 0"),
        ({"name": "bolt", "power": 0}, "power must be a number"),
        ({"name": "uniform", "convention": "mine"}, "convention must be one of linspace, centre, arange"),
        ({"name": "binary", "rule": "median"}, "rule must be"),
        ({"name": "binary", "stop": 1}, "stop must be"),
        ({"name": "focus", "even": 2}, "even must be a number from 0 to 1"),
        ({"name": "t-star", "final": "all"}, "final must be"),
        ({"name": "dig", "question": "odd"}, "question must be"),
        ({"name": "windows", "stride": float("nan")}, "stride must be"),
        ({"name": "top-k", "depth": 1}, "no option 'depth'"),
    ],
)
def test_wrong_options_are_named(spec, words):
    with pytest.raises(InvalidSetting, match=words):
        make_selector(spec)


def test_names_and_objects():
    with pytest.raises(UnknownName, match=r"unknown selector 'ask'; did you mean 'aks'. Valid: .*aks"):
        make_selector("ask")
    with pytest.raises(InvalidSetting, match=r"got the class"):
        make_selector(type(make_selector("aks")))
    with pytest.raises(InvalidSetting, match=r"a selector is a name"):
        make_selector(object())
