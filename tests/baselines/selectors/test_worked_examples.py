"""Worked examples of every selector, as in its source (`exact`) and repaired."""

from __future__ import annotations

import numpy as np
import pytest

from vzgym.baselines.selectors import Candidates, make_selector
from vzgym.baselines.selectors.aks import AKS
from vzgym.baselines.selectors.base import min_max
from vzgym.baselines.selectors.bolt import BOLT
from vzgym.baselines.selectors.dig import refine, survivors, within
from vzgym.baselines.selectors.focus import FOCUS, upper_bound
from vzgym.baselines.selectors.gift import gift, novelty
from vzgym.baselines.selectors.mdp3 import MDP3, kernel, mdp3
from vzgym.baselines.selectors.pixels import dpselect, motion_indices, shots
from vzgym.baselines.selectors.qframe import QFrame, gumbel_order, resolutions
from vzgym.baselines.selectors.scored import BinarySearch, TopK, Tree
from vzgym.baselines.selectors.tstar import spread
from vzgym.baselines.selectors.uniform import Uniform
from vzgym.baselines.selectors.wfs_sb import WFSSB, SegmentWeights


def exact(spec, candidates, k):
    return make_selector({**spec, "exact": True}).select(candidates, k).tolist()


def repaired(spec, candidates, k):
    return make_selector(spec).select(candidates, k).tolist()


def vectors(*degrees):
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize(
    ("convention", "expected"), [("linspace", [0, 3, 6, 9]), ("centre", [1, 3, 6, 8]), ("arange", [0, 2, 5, 7])]
)
def test_uniform(candidates, convention, expected):
    assert Uniform(convention, exact=True).select(candidates, 4).tolist() == expected
    assert Uniform(convention).select(candidates, 4).tolist() == expected
    assert repaired({"name": f"uniform-{convention}"}, candidates, 4) == expected


def test_top_k(candidates):
    assert TopK(exact=True).select(candidates, 4).tolist() == [2, 3, 6, 7]
    assert TopK().select(candidates, 4).tolist() == [2, 3, 6, 7]


def test_binary_search_by_the_maximum_of_all(candidates):
    search = BinarySearch(probes=0, stop=2, exact=True)
    assert search.search(candidates, 2) == [(0, 10), (0, 5), (2, 5), (2, 3)]
    assert search.select(candidates, 4).tolist() == [2]
    assert BinarySearch(probes=0, stop=2).select(candidates, 4).tolist() == [2, 3, 6, 7]


@pytest.mark.parametrize(
    ("probes", "probed", "chosen"),
    [(4, [2, 7, 1, 3], [1, 2, 3, 7]), (6, [2, 7, 1, 3, 4, 6, 8], [2, 3, 6, 7])],
)
def test_tree(scores, probes, probed, chosen):
    candidates = Candidates(np.arange(10.0), scorer=lambda indices: scores[indices])
    assert Tree(probes=probes).probe(candidates, probes) == probed
    assert candidates.scored == len(probed)
    assert exact({"name": "tree", "probes": probes}, candidates, 4) == chosen
    assert repaired({"name": "tree", "probes": probes}, candidates, 4) == chosen


def test_min_max(scores):
    expected = [0.0588, 0.1765, 1, 0.8824, 0.1176, 0, 0.6471, 0.5882, 0.0824, 0.0353]
    scaled = min_max(scores)
    assert scaled == pytest.approx(expected, abs=5e-5)
    assert scaled.mean() == pytest.approx(0.3588, abs=5e-5)
    assert np.sort(scaled)[-4:].mean() - scaled.mean() == pytest.approx(0.4206, abs=5e-5)


@pytest.mark.parametrize(
    ("k", "threshold", "depth", "expected", "mended"),
    [
        (4, 0.8, 0, [2, 3, 6, 7], [2, 3, 6, 7]),
        (4, 0.8, 1, [2, 3, 6, 7], [2, 3, 6, 7]),
        (4, 0.8, 2, [1, 2, 6, 7], [1, 2, 6, 7]),
        (4, 0.8, 3, [], [1, 2, 6, 7]),
        (4, 0.8, 5, [], [1, 2, 6, 7]),
        (4, 0.4, 2, [2, 3, 6, 7], [2, 3, 6, 7]),
        (4, 0.5, 2, [1, 2, 6, 7], [1, 2, 6, 7]),
        (2, 0.8, 1, [2, 6], [2, 6]),
        (8, 0.8, 5, [], [0, 1, 2, 3, 5, 6, 7, 8]),
    ],
)
def test_aks(candidates, k, threshold, depth, expected, mended):
    spec = {"name": "aks", "threshold": threshold, "depth": depth}
    assert exact(spec, candidates, k) == expected
    assert repaired(spec, candidates, k) == mended


def test_aks_splits_at_half_the_length(scores):
    leaves = [(first, last) for first, last, _ in AKS().leaves(min_max(scores), 4, 2)]
    assert leaves == [(0, 2), (2, 5), (5, 7), (7, 10)]
    assert [leaf[:2] for leaf in AKS().leaves(min_max(scores), 4, 1)] == [(0, 5), (5, 10)]


def test_aks_stops_at_the_root():
    scores = np.zeros(40)
    scores[11:15] = 1
    candidates = Candidates(np.arange(40.0), scores)
    for spec in ({"name": "aks"}, {"name": "aks-videomme"}):
        assert exact(spec, candidates, 4) == [11, 12, 13, 14]
        assert repaired(spec, candidates, 4) == [11, 12, 13, 14]


def test_aks_presets():
    for name, threshold, depth in (("aks-videomme", 0.8, 5), ("aks-longvideobench", 0.2, 3)):
        selector = make_selector(name)
        assert isinstance(selector, AKS)
        assert (selector.threshold, selector.depth) == (threshold, depth)


@pytest.mark.parametrize(
    ("k", "power", "expected", "mended"),
    [
        (4, 1.0, [2, 3, 3, 6], [2, 3, 6, 7]),
        (4, 2.5, [2, 2, 3, 6], [2, 3, 6, 7]),
        (4, 3.0, [2, 2, 3, 3], [2, 3, 6, 7]),
        (8, 3.0, [2, 2, 2, 2, 3, 3, 3, 6], [0, 1, 2, 3, 4, 6, 7, 8]),
        (2, 3.0, [3, 3], [2, 3]),
    ],
)
def test_bolt(candidates, k, power, expected, mended):
    assert exact({"name": "bolt", "power": power}, candidates, k) == expected
    assert repaired({"name": "bolt", "power": power}, candidates, k) == mended


def test_bolt_cumulates(scores):
    x = min_max(scores)
    expected = [0.0164, 0.0656, 0.3443, 0.5902, 0.623, 0.623, 0.8033, 0.9672, 0.9902, 1]
    assert np.cumsum(x / x.sum()) == pytest.approx(expected, abs=5e-5)


def test_bolt_with_one_frame_never_leaves_the_video():
    for seed in range(50):
        scores = np.random.default_rng(seed).random(20)
        candidates = Candidates(np.arange(20.0), scores)
        assert BOLT(exact=True).select(candidates, 1)[0] <= 19
        assert len(BOLT().select(candidates, 1)) == 1


def test_q_frame(candidates, scores):
    assert np.sort(gumbel_order(scores, np.full(10, 0.5))[:4]).tolist() == [2, 3, 6, 7]
    noise = [0.9, 0.1, 0.3, 0.2, 0.95, 0.5, 0.4, 0.6, 0.7, 0.8]
    assert gumbel_order(scores, noise).tolist() == [4, 0, 9, 7, 8, 2, 6, 3, 5, 1]
    assert gumbel_order(30 * scores, noise).tolist() == [2, 3, 6, 7, 4, 1, 0, 8, 9, 5]
    # Samples in proportion to the softmax: the order of sampling without replacement.
    drawn = [QFrame(temperature=1.0, scale=1.0).select(candidates, 1, seed=seed)[0] for seed in range(3000)]
    share = np.exp(scores) / np.exp(scores).sum()
    assert np.bincount(drawn, minlength=10) / 3000 == pytest.approx(share, abs=0.03)


def test_q_frame_scales_cosines():
    cosines = 100 * np.array([0.18, 0.19, 0.31, 0.30, 0.2])
    p = np.exp(cosines / 0.8 - (cosines / 0.8).max())
    assert p / p.sum() == pytest.approx([0, 0, 0.777, 0.223, 0], abs=5e-4)


def test_q_frame_resolutions():
    order = np.arange(50)[::-1]
    chosen, scales = resolutions(order)
    assert chosen.tolist() == list(range(6, 50))
    assert scales.tolist() == [1 / 8] * 32 + [1 / 4] * 8 + [1 / 2] * 4
    # As many visual tokens as 8 frames at half size.
    assert (scales**2).sum() == 8 * (1 / 2) ** 2
    few, scales = resolutions(np.array([2, 0, 1]))
    assert (few.tolist(), scales.tolist()) == ([0, 1, 2], [1 / 2] * 3)


@pytest.fixture
def plane():
    return vectors(0, 5, 60, 65, 90, 20), vectors(50)[0]


def test_mdp3_kernel(plane):
    frames, text = plane
    relevance = kernel(frames, text[None, :])[:, 0]
    assert relevance == pytest.approx([2.3225, 2.5724, 4.774, 4.5177, 2.8534, 3.5023], abs=5e-5)
    assert kernel(frames, frames)[0, 1] == pytest.approx(4.9416, abs=5e-5)
    assert np.diag(kernel(frames, frames)) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("segment", "k", "expected", "value"),
    [
        (6, 2, [2, 5], 30.991),
        (6, 3, [2, 3, 5], 43.747),
        (3, 2, [2, 5], 48.232),
        (3, 3, [2, 3, 5], 60.988),
        (3, 4, [1, 2, 3, 5], 71.852),
        (2, 3, [1, 2, 5], 70.154),
    ],
)
def test_mdp3(plane, segment, k, expected, value):
    frames, text = plane
    candidates = Candidates(np.arange(6.0), embeddings=frames * 3.0, text=text * 2.0)
    for keep in (True, False):
        chosen, found = mdp3(frames, text, k, segment=segment, exact=keep)
        assert chosen == expected
        assert found == pytest.approx(value, abs=5e-4)
        assert MDP3(segment=segment, exact=keep).select(candidates, k).tolist() == expected


def test_focus_upper_bound():
    assert upper_bound([0.1, 0.2, 0.15], 6) == pytest.approx(1.9864, abs=5e-5)
    assert upper_bound([0.9, 0.8, 0.6], 6) == pytest.approx(2.6947, abs=5e-5)


@pytest.fixture
def eighty():
    scores = np.full(80, 0.1)
    scores[[5, 14, 34, 36]] = 0.2, 0.3, 0.9, 0.95
    scores[62:66] = 0.6
    return Candidates(np.arange(80.0), scorer=lambda indices: scores[indices])


def test_focus(eighty):
    focus = FOCUS(random_probes=0, even=1.0, exact=True)
    arms, _ = focus.arms(eighty)
    assert [arm.centre for arm in arms] == list(range(4, 80, 10))
    ranked, scored = focus.explore(eighty, np.random.default_rng(0))
    assert [arm.first // 10 for arm in ranked[:4]] == [3, 6, 1, 0]
    assert len(scored) == len(set(scored)) == eighty.scored == 46
    # Equal scores: in the order of scoring as in the source, to the earlier frame when repaired.
    top = sorted(scored, key=lambda index: -eighty.score_at([index])[0])[:5]
    assert top == [36, 34, 64, 62, 63]
    exactly = focus.select(eighty, 25, seed=1)
    assert set(top) <= set(exactly.tolist())
    mended = FOCUS(random_probes=0, even=1.0).select(eighty, 25, seed=1)
    assert {36, 34, 62, 63, 64} <= set(mended.tolist())
    assert len(mended) == 25


def test_t_star_spreads():
    scores = np.full(20, 1e-6)
    visited = {0: 0.1, 4: 0.2, 8: 0.9, 12: 0.3, 16: 0.05}
    for frame, score in visited.items():
        scores[frame] = score
    assert np.percentile(list(visited.values()), 75) == 0.3
    found = spread(scores, list(visited))
    expected = [0.15, 0.2, 0.225, 0.3, 0.45, 0.9, 0.45, 0.3, 0.225, 0.3, 0.15, 0.1, 0.075, 0.06, 0.05]
    assert found[3:18] == pytest.approx(expected)
    assert found[:3].tolist() == [0.1, 1e-6, 1e-6]


def test_dpselect(scores):
    changes = np.concatenate([[1.0], scores[1:]])
    assert dpselect(changes, 4).tolist() == [0, 2, 3, 6]
    assert dpselect(changes, 3).tolist() == [0, 2, 6]


def test_dpselect_of_embeddings(scores):
    # Turns by angles whose cosine distances are the changes of the example.
    angles = np.cumsum(np.concatenate([[0.0], np.arccos(1.0 - scores[1:])]))
    candidates = Candidates(np.arange(10.0), embeddings=np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert exact({"name": "dpselect"}, candidates, 4) == [0, 2, 3, 6]
    assert repaired({"name": "dpselect"}, candidates, 4) == [0, 2, 3, 6]


MOTION = np.array([0, 0.1, 0.2, 0.9, 0.8, 0.05, 0.05, 0.05, 0.6, 0.25])


@pytest.mark.parametrize(("power", "expected"), [(1.0, [2, 3, 4, 8]), (0.5, [2, 3, 5, 8])])
def test_motion(power, expected):
    candidates = Candidates(np.arange(10.0), MOTION)
    assert motion_indices(MOTION, 4, power).tolist() == expected
    assert exact({"name": "motion", "power": power}, candidates, 4) == expected
    assert repaired({"name": "motion", "power": power}, candidates, 4) == expected


def test_top_motion():
    assert repaired({"name": "top-motion"}, Candidates(np.arange(10.0), MOTION), 4) == [3, 4, 8, 9]


def test_shots():
    values = np.array([0, 3, 4, 45, 2, 3, 60, 5, 2, 1.0])
    assert shots(values, 27.0, 1) == [(0, 3), (3, 6), (6, 10)]
    candidates = Candidates(np.arange(10.0), values)
    spec = {"name": "shots", "frames": 1}
    assert exact(spec, candidates, 3) == repaired(spec, candidates, 3) == [1, 4, 8]
    # Fewer frames than shots: the longest; more: by length. Exact gives one frame per shot.
    assert exact(spec, candidates, 2) == repaired(spec, candidates, 2) == [1, 8]
    assert exact(spec, candidates, 5) == [1, 4, 8]
    assert repaired(spec, candidates, 5) == [0, 2, 4, 7, 9]


def test_wfs_sb(candidates, scores):
    segments = [(0, 2), (2, 5), (5, 6), (6, 10)]
    weights = SegmentWeights().of(scores, segments)
    assert weights == pytest.approx([0.1726, 0.6299, 0.065, 0.4675], abs=5e-5)
    assert weights.mean() - 1.2 * weights.std() == pytest.approx(0.0629, abs=5e-5)
    kept, _ = WFSSB().kept(scores, segments)
    assert kept == segments
    raw = np.exp(weights) / np.exp(weights).sum() * 4
    assert raw == pytest.approx([0.83, 1.311, 0.745, 1.114], abs=5e-4)
    for keep in (True, False):
        assert WFSSB(exact=keep).from_segments(candidates, segments, 4).tolist() == [1, 2, 5, 6]


BOUNDARIES = [0, 10, 25, 40, 60, 70, 90, 120, 140, 160, 200]
RATINGS = [0, 20, 90, 80, 10, 0, 60, 55, 5, 0]


@pytest.mark.parametrize("keep", [True, False])
def test_dig(keep):
    assert survivors(RATINGS).tolist() == [2, 3]
    assert within(refine(RATINGS, BOUNDARIES, 2, exact=keep), 4).tolist() == [0, 23, 46, 70]
    assert within(refine(RATINGS, BOUNDARIES, 1, exact=keep), 4).tolist() == [10, 26, 43, 60]


def test_dig_s_last_piece_is_whole_only_when_repaired():
    ratings = [0] * 9 + [90]
    assert refine(ratings, BOUNDARIES, exact=True) == [(120, 160)]
    assert refine(ratings, BOUNDARIES) == [(120, 200)]
    assert refine([5, 5, 5], [0, 3, 6, 9]) == [(0, 9)]


@pytest.mark.parametrize(("batch", "expected"), [(9, [0, 1, 4]), (1, [1, 2, 4])])
def test_gift(batch, expected):
    frames, relevance = vectors(0, 40, 42, 80, 90), np.array([0.2, 0.9, 0.85, 0.3, 0.6])
    assert relevance * novelty(relevance, frames) == pytest.approx([0.0936, 1.8, 0.001, 0.0091, 0.397], abs=5e-4)
    assert gift(relevance, frames, 3, batch) == expected
