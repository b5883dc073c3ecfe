"""Contract of frame selectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.selectors.base import Candidates, Indices, Selector
from vzgym.core.errors import SelectionError
from vzgym.testing.report import ConformanceReport, Rule, apply_rules, name_of, need

__all__ = ["SELECTOR_RULES", "check_selector"]

_NEEDS = frozenset({"scores", "embeddings", "text"})
_WANTED = (1, 2, 3, 8, 16)


class _Scores:
    """Scores of candidates on demand."""

    def __init__(self, scores: NDArray[np.float64]) -> None:
        self.scores = scores

    def __call__(self, indices: Indices) -> NDArray[np.float64]:
        return self.scores[indices]


def _candidates(count: int, shape: str, *, on_demand: bool = False) -> Candidates:
    """Candidates at two a second, some of which look alike, with a question of which none is the exact match."""
    rng = np.random.default_rng([count, len(shape)])
    scores = {
        "random": rng.random(count),
        "equal": np.full(count, 0.5),
        "one peak": np.eye(1, count, count // 3)[0],
        "negative": -40.0 * rng.random(count),
    }[shape]
    embeddings = rng.normal(size=(count, 6))
    embeddings[1::4] = embeddings[::4][: len(embeddings[1::4])]
    times, text = np.arange(count) / 2.0, rng.normal(size=6)
    if on_demand:
        return Candidates(times, embeddings=embeddings, text=text, scorer=_Scores(scores))
    return Candidates(times, scores, embeddings, text)


def _all() -> Iterator[tuple[str, Candidates]]:
    for count in (1, 2, 5, 40, 130):
        for shape in ("random", "equal", "one peak", "negative"):
            for on_demand in (False, True):
                yield f"{count} candidates with {shape} scores", _candidates(count, shape, on_demand=on_demand)


def _shape(selector: Selector) -> None:
    need(not isinstance(selector, type), f"it is the class {selector!r}: pass an instance")
    need(
        isinstance(selector, Selector) and isinstance(selector.name, str) and bool(selector.name),
        "it needs name (text), needs (frozenset) and select(candidates, k, seed)",
    )
    need(
        isinstance(selector.needs, frozenset) and selector.needs <= _NEEDS,
        f"needs must be a frozenset of {', '.join(sorted(_NEEDS))}, got {selector.needs!r}",
    )


def _indices(selector: Selector) -> None:
    for words, candidates in _all():
        for k in _WANTED:
            chosen = np.asarray(selector.select(candidates, k, 0))
            wanted = min(len(candidates), k)
            need(
                chosen.ndim == 1 and chosen.dtype.kind in "iu",
                f"select() of {words}, k={k}, must return whole numbers, shape (m,); got {chosen!r:.100}",
            )
            need(
                len(chosen) == wanted and len(np.unique(chosen)) == wanted,
                f"select() of {words}, k={k}, must return {wanted} distinct indices, got {chosen.tolist()!r:.100}",
            )
            need(
                bool((np.diff(chosen) > 0).all()) and chosen[0] >= 0 and chosen[-1] < len(candidates),
                f"select() of {words}, k={k}, must return sorted indices of candidates, got {chosen.tolist()!r:.100}",
            )


def _seeded(selector: Selector) -> None:
    first = [selector.select(candidates, 8, 3).tolist() for _, candidates in _all()]
    again = [selector.select(candidates, 8, 3).tolist() for _, candidates in reversed(list(_all()))][::-1]
    need(
        first == again,
        "the same candidates and seed give other frames the second time: keep no state, and draw from a generator made "
        "of the seed",
    )


def _harmless(selector: Selector) -> None:
    for words, candidates in _all():
        before = [candidates.times.copy(), candidates.embeddings.copy()]  # type: ignore[union-attr]
        known = candidates.known_scores
        selector.select(candidates, 4, 0)
        after = candidates.known_scores
        same = np.isnan(known) | (known == after)
        need(
            bool(same.all())
            and np.array_equal(before[0], candidates.times)
            and np.array_equal(before[1], candidates.embeddings),  # type: ignore[arg-type]
            f"select() of {words} changes the candidates: copy their arrays first",
        )


def _named(selector: Selector) -> None:
    bare = Candidates(np.arange(20.0))
    if not selector.needs:
        selector.select(bare, 4, 0)
        return
    try:
        selector.select(bare, 4, 0)
    except SelectionError:
        return
    need(
        False,
        f"it declares needs={sorted(selector.needs)}, but selects without them: read candidates.all_scores(), "
        "score_at(), unit_embeddings() or unit_text(), which raise a named error, or do not declare them",
    )


SELECTOR_RULES: tuple[Rule[Selector], ...] = (
    Rule("has the parts of a selector", _shape),
    Rule("selects exactly min(n, k) distinct, sorted candidates", _indices),
    Rule("the same seed gives the same frames, without state", _seeded),
    Rule("leaves the candidates unchanged", _harmless),
    Rule("names what is missing", _named),
)


def check_selector(make: Callable[[], Selector], subject: str = "") -> ConformanceReport:
    """Check a frame selector on candidates without a video.

    Args:
        make: Factory of the selector, or its class.
        subject: For the report; the factory's name if not given.
    """
    return apply_rules("selector", subject or name_of(make), SELECTOR_RULES, make)
