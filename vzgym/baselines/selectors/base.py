"""Candidate frames, the `Selector` protocol, its registry, and the base class of the built-in selectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vzgym.core.errors import InvalidSetting, SelectionError
from vzgym.core.registry import Registry

__all__ = [
    "SELECTORS",
    "Candidates",
    "Floats",
    "Indices",
    "Selector",
    "SelectorBase",
    "SelectorSpec",
    "best",
    "centred",
    "check_number",
    "make_selector",
    "min_max",
]

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

ScoreCallback: TypeAlias = Callable[[Indices], ArrayLike]
"""Scores candidates on demand: indices, shape `(m,)`, in; finite scores, shape `(m,)`, out."""


class Candidates:
    """The candidate frames of one video, and what is known about them.

    Args:
        times: Times in seconds, shape `(n,)`, increasing.
        scores: Relevance of each candidate to the question, shape `(n,)`, finite, higher is better, on any scale.
        embeddings: Embedding of each candidate, shape `(n, d)`.
        text: Embedding of the question, shape `(d,)`.
        duration: Length of the video in seconds; the last time plus one step if not given.
        scorer: Scores candidates on demand, in place of `scores`. Each candidate is scored at most once.

    Raises:
        SelectionError: If shapes do not match, a value is not finite, or the times do not increase.
    """

    def __init__(
        self,
        times: ArrayLike,
        scores: ArrayLike | None = None,
        embeddings: ArrayLike | None = None,
        text: ArrayLike | None = None,
        duration: float | None = None,
        scorer: ScoreCallback | None = None,
    ) -> None:
        self.times: Floats = _array(times, "times", 1)
        if (np.diff(self.times) <= 0).any():
            raise SelectionError("the times of candidates must increase")
        self.embeddings: Floats | None = None if embeddings is None else _array(embeddings, "embeddings", 2)
        self.text: Floats | None = None if text is None else _array(text, "the text's embedding", 1)
        self.duration = float(self.times[-1] + self.step) if duration is None and len(self) else float(duration or 0.0)
        self._scorer = scorer
        self._scores: Floats = np.full(len(self), np.nan)
        if scores is not None:
            self._scores = _array(scores, "scores", 1).copy()
        for name, found in (("scores", self._scores), ("embeddings", self.embeddings)):
            if found is not None and len(found) != len(self):
                raise SelectionError(f"{len(self)} candidates, but {len(found)} {name}: one for each candidate")
        if self.embeddings is not None and self.text is not None and self.embeddings.shape[1] != len(self.text):
            raise SelectionError(
                f"embeddings of frames have {self.embeddings.shape[1]} entries, that of the text {len(self.text)}"
            )

    def __len__(self) -> int:
        return len(self.times)

    @property
    def step(self) -> float:
        """The median distance of two candidates in seconds; 1 with fewer than two."""
        return float(np.median(np.diff(self.times))) if len(self) > 1 else 1.0

    @property
    def scored(self) -> int:
        """The number of candidates whose score is known: the scorer's cost."""
        return int(np.isfinite(self._scores).sum())

    @property
    def known_scores(self) -> Floats:
        """A copy of the scores, shape `(n,)`; nan where none is known."""
        return self._scores.copy()

    def score_at(self, indices: ArrayLike) -> Floats:
        """The scores of some candidates; those not known yet are asked from the scorer, in one call.

        Raises:
            SelectionError: If neither scores nor a scorer were given, or the scorer returns other shapes or values.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        missing = np.array(list(dict.fromkeys(wanted[np.isnan(self._scores[wanted])].tolist())), dtype=np.int64)
        if len(missing):
            if self._scorer is None:
                raise SelectionError("the candidates have no scores: give `scores` or a `scorer`")
            fresh = _array(self._scorer(missing), "the scorer's scores", 1)
            if len(fresh) != len(missing):
                raise SelectionError(f"the scorer returned {len(fresh)} scores for {len(missing)} candidates")
            self._scores[missing] = fresh
        return self._scores[wanted]

    def all_scores(self) -> Floats:
        """The scores of all candidates, shape `(n,)`; see `score_at`."""
        return self.score_at(np.arange(len(self)))

    def unit_embeddings(self) -> Floats:
        """The embeddings of the frames, divided by their lengths, shape `(n, d)`.

        Raises:
            SelectionError: If there are none.
        """
        if self.embeddings is None:
            raise SelectionError("the candidates have no embeddings: use a scorer with `embed_frames`")
        unit: Floats = self.embeddings / np.maximum(np.linalg.norm(self.embeddings, axis=1, keepdims=True), 1e-12)
        return unit

    def unit_text(self) -> Floats:
        """The embedding of the question, divided by its length, shape `(d,)`.

        Raises:
            SelectionError: If there is none.
        """
        if self.text is None:
            raise SelectionError("the candidates have no embedding of the text: use a scorer with `embed_text`")
        unit: Floats = self.text / max(float(np.linalg.norm(self.text)), 1e-12)
        return unit


@runtime_checkable
class Selector(Protocol):
    """Selects frames among candidates, without looking at the video.

    Attributes:
        name: For tables.
        needs: What it reads of the candidates: any of "scores", "embeddings", "text".

    Optional, read by `VideoSelector`:

    - `fps`: candidates per second of video; 1 by default, None for all frames of the video.
    - `most`: maximum number of candidates, then spread evenly over the video; None by default: no limit.
    - `scorer`: name of the scorer to use if none is given; "evidence" by default.
    - `adaptive`: whether it scores candidates on demand (`Candidates.score_at`); False by default.
    - `with_options`: whether the embedded text includes the question's options; False by default.
    - `select_sizes(candidates, k, seed)`, `most_sizes(k)`: frames with sizes of their own; see `QFrame`.
    """

    name: str
    needs: frozenset[str]

    def select(self, candidates: Candidates, k: int, seed: int = 0) -> Indices:
        """Select frames.

        Args:
            candidates: The candidates.
            k: The number of frames wanted, >= 1.
            seed: Seeds all randomness.

        Returns:
            Indices of candidates: exactly `min(n, k)`, distinct and sorted.
        """
        ...


SelectorSpec: TypeAlias = Selector | str | Mapping[str, Any]
"""A selector: an object, a registered name, `"module:Class"`, or a mapping `{"name": ..., **options}`."""

SELECTORS: Registry[Selector] = Registry("selector", "vzgym.selectors", "vzgym.baselines.selectors.registration")
"""Selectors by name."""


def make_selector(spec: SelectorSpec) -> Selector:
    """The selector for a spec.

    Raises:
        UnknownName: If no such name is registered.
        PluginError: If it cannot be imported.
        InvalidSetting: If it is not a selector, or has no such option.
    """
    selector = SELECTORS.make(spec)
    if isinstance(selector, type) or not isinstance(selector, Selector):
        given = f"the class {selector.__name__}" if isinstance(selector, type) else repr(selector)
        raise InvalidSetting(
            "a selector is a name, 'module:Class', a mapping with 'name', or an object with name, needs and "
            f"select(candidates, k, seed); got {given}"
        )
    return selector


class SelectorBase(ABC):
    """Base class of the built-in selectors: `choose` is the rule, `select` repairs its edge cases.

    By default the result is never empty and has exactly `min(n, k)` distinct, sorted indices. Candidates no more than
    `k` are all taken, equal scores select uniformly (`centred`), repeated or missing frames are replaced by the best
    unused ones, and ties go to the earlier frame. With `exact` the source's behavior is kept: repeats, too few frames,
    no frame at all. Only what would end the source's program by an error is avoided.

    Args:
        exact: Keep the source's behavior in edge cases.
    """

    name: str = ""
    needs: frozenset[str] = frozenset({"scores"})
    fps: float | None = 1.0
    most: int | None = None
    scorer: ClassVar[str] = "evidence"
    with_options: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False
    """Whether it scores candidates on demand, so that equal scores are not known beforehand."""

    def __init__(self, *, exact: bool = False) -> None:
        self.exact = exact

    @abstractmethod
    def choose(self, candidates: Candidates, k: int, rng: np.random.Generator) -> Sequence[int] | Indices:
        """The rule as in its source; may return repeats, or fewer than `k` indices."""

    def select(self, candidates: Candidates, k: int, seed: int = 0) -> Indices:
        """See `Selector.select`.

        Raises:
            InvalidSetting: If `k` is not an integer >= 1.
            SelectionError: If the candidates lack what the selector needs, or there are none.
        """
        check_number("k", k, 1, whole=True)
        if not len(candidates):
            raise SelectionError(f"{self.name} has no candidates to select from")
        self._check_needs(candidates)
        rng = np.random.default_rng(seed)
        if self.exact:
            return np.sort(np.asarray(self.choose(candidates, int(k), rng), dtype=np.int64))
        n = len(candidates)
        if n <= k:
            return np.arange(n)
        if "scores" in self.needs and not self.adaptive:
            scores = candidates.all_scores()
            if scores.max() == scores.min():
                return centred(n, int(k))
        return complete(self.choose(candidates, int(k), rng), candidates, int(k))

    def _check_needs(self, candidates: Candidates) -> None:
        try:
            if "embeddings" in self.needs:
                candidates.unit_embeddings()
            if "text" in self.needs:
                candidates.unit_text()
            if "scores" in self.needs and (not self.adaptive or candidates._scorer is None):
                candidates.all_scores()
        except SelectionError as error:
            raise SelectionError(f"{self.name}: {error}") from error


def complete(chosen: Sequence[int] | Indices, candidates: Candidates, k: int) -> Indices:
    """Exactly `min(n, k)` distinct, sorted indices.

    Of too many, the best scored ones are kept (evenly spaced ones without scores). Too few are completed by the best
    unused candidates whose score is known, then by evenly spaced ones.

    Args:
        chosen: Indices, possibly repeated.
        candidates: The candidates.
        k: The number of frames wanted.
    """
    k = min(k, len(candidates))
    kept: Indices = np.unique(np.asarray(chosen, dtype=np.int64))
    scores = candidates.known_scores
    if len(kept) > k:
        known = scores[kept]
        return np.sort(kept[centred(len(kept), k)] if np.isnan(known).any() else kept[best(known, k)])
    if len(kept) < k:
        unused = np.setdiff1d(np.arange(len(candidates)), kept)
        rated = unused[np.isfinite(scores[unused])]
        kept = np.union1d(kept, rated[best(scores[rated], k - len(kept))])
    if len(kept) < k:
        unused = np.setdiff1d(np.arange(len(candidates)), kept)
        kept = np.union1d(kept, unused[centred(len(unused), k - len(kept))])
    return kept.astype(np.int64)


def best(scores: Floats, k: int) -> Indices:
    """Indices of the `k` greatest scores, greatest first; ties to the lower index; nan last."""
    order: Indices = np.argsort(-scores, kind="stable")[:k]
    return order


def centred(n: int, k: int) -> Indices:
    """Uniform selection: the centers of `k` equal parts of `n` candidates, `int((i + 0.5) * n / k)`."""
    return ((np.arange(k) + 0.5) * n / k).astype(np.int64)


def min_max(values: Floats) -> Floats:
    """Values scaled to 0 to 1; nan if all are equal."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled: Floats = (values - values.min()) / (values.max() - values.min())
    return scaled


def check_number(name: str, value: object, least: float, *, whole: bool = False, most: float = np.inf) -> None:
    """Check an option.

    Raises:
        InvalidSetting: If it is no number, not whole where it must be, or out of range.
    """
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= float(value) <= most:
        limit = f">= {least:g}" if most == np.inf else f"from {least:g} to {most:g}"
        raise InvalidSetting(f"{name} must be {'an integer' if whole else 'a number'} {limit}, got {value!r}")


def _array(values: ArrayLike, name: str, dimensions: int) -> Floats:
    array: Floats = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise SelectionError(f"{name} must have {dimensions} dimension{'s' * (dimensions > 1)}, got {array.ndim}")
    if not np.isfinite(array).all():
        raise SelectionError(f"{name} must be finite, got {int((~np.isfinite(array)).sum())} values that are not")
    return array
