"""Broken selectors, and what the contract says about them."""

from __future__ import annotations

import numpy as np
import pytest

from vzgym.testing import check_selector


class Good:
    """The first candidates."""

    name = "first"
    needs: frozenset[str] = frozenset()

    def select(self, candidates, k, seed=0):
        return np.arange(min(k, len(candidates)))


class TooMany(Good):
    def select(self, candidates, k, seed=0):
        return np.arange(k)


class Repeats(Good):
    def select(self, candidates, k, seed=0):
        return np.zeros(min(k, len(candidates)), dtype=int)


class Unsorted(Good):
    def select(self, candidates, k, seed=0):
        return np.arange(min(k, len(candidates)))[::-1]


class Fractions(Good):
    def select(self, candidates, k, seed=0):
        return super().select(candidates, k) / 1.0


class Unseeded(Good):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def select(self, candidates, k, seed=0):
        return np.sort(self.rng.choice(len(candidates), min(k, len(candidates)), replace=False))


class Careless(Good):
    def select(self, candidates, k, seed=0):
        candidates.times[:] += 1
        return super().select(candidates, k)


class Liar(Good):
    needs = frozenset({"scores"})


class Unknown(Good):
    needs = frozenset({"pixels"})


class Nameless:
    def select(self, candidates, k, seed=0):
        return np.arange(min(k, len(candidates)))


def test_a_good_one_is_kept():
    report = check_selector(Good)
    assert report.require().ok
    assert {result.status for result in report.results} == {"kept"}


@pytest.mark.parametrize(
    ("broken", "rule", "words"),
    [
        (TooMany, "selects exactly", "1 candidates with random scores, k=2, must return 1 distinct"),
        (Repeats, "selects exactly", "distinct indices"),
        (Unsorted, "selects exactly", "must return sorted indices"),
        (Fractions, "selects exactly", "must return whole numbers"),
        (Unseeded, "the same seed", "keep no state"),
        (Careless, "leaves the candidates", "copy their arrays first"),
        (Liar, "names what is missing", "selects without them"),
        (Unknown, "has the parts", "must be a frozenset of embeddings, scores, text"),
        (Nameless, "has the parts", "needs name"),
    ],
)
def test_a_broken_one_is_told_what_to_change(broken, rule, words):
    (result,) = [item for item in check_selector(broken).results if item.status == "broken" and rule in item.rule]
    assert words in result.detail
