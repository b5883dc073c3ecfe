"""The contract of scorers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import ScorerError
from vzgym.core.files import json_fault
from vzgym.scorers.base import Query, Scorer, can_embed, check_embeddings, check_scores, embeds
from vzgym.scorers.video import candidate_times, score_video
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, NotApplicable, Rule, apply_rules, name_of, need
from vzgym.video import Frames

__all__ = ["SCORER_RULES", "check_scorer"]

_CLOSE = 1e-3
"""Differences from rounding, relative to the range of the scores: models in half precision, batches of other sizes."""


def _frames(count: int = 12) -> Frames:
    video = scenes.tasks()[0].video
    return video.read(candidate_times(video.duration)[:count], size=(48, 64))


def _queries() -> list[Query]:
    """The questions of the tasks, one of them open and without known evidence, in other words and scripts."""
    queries = [Query.of(task) for task in scenes.tasks()]
    evidence = queries[0].evidence
    return [
        *queries,
        Query("?", (), "open", evidence),
        Query("Wo ist der rote Ball? 赤いボール 🔴", (), "open", evidence),
    ]


def _same(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    reach = float(np.ptp(first)) or max(1e-9, float(np.abs(first).max()))
    return bool(np.allclose(first, second, rtol=0.0, atol=_CLOSE * reach))


def _score(scorer: Scorer, query: Query, frames: Frames) -> NDArray[np.float64]:
    try:
        return check_scores(scorer, scorer.score(query, frames), frames.times)
    except ScorerError as error:
        raise ContractViolation(str(error)) from error


def _shape(scorer: Scorer) -> None:
    need(not isinstance(scorer, type), f"it is the class {scorer!r}: pass an instance")
    need(isinstance(scorer, Scorer), "it needs a name and score(query, frames)")
    need(isinstance(scorer.name, str) and scorer.name, f"its name must be a text, got {scorer.name!r}")
    for trait, kinds in (("lookback", int), ("batch_size", int), ("uses_model", bool), ("privileged", bool)):
        value = getattr(scorer, trait, None)
        need(value is None or isinstance(value, kinds), f"{trait} must be {kinds.__name__}, got {value!r}")


def _finite(scorer: Scorer) -> None:
    for query in _queries():
        for count in (12, 1):
            _score(scorer, query, _frames(count))
    # Equal frames, as of a video that shows one picture.
    dark = Frames(np.zeros((3, 48, 64, 3), np.uint8), np.arange(3.0))
    _score(scorer, _queries()[0], dark)


def _deterministic(scorer: Scorer) -> None:
    query, other = _queries()[:2]
    first = _score(scorer, query, _frames())
    _score(scorer, other, _frames(3))
    again = _score(scorer, query, _frames())
    need(
        np.array_equal(first, again),
        "the same frames and query get different scores when scored again: use no random numbers and keep no state "
        "between calls; seed noise by the query and the frame",
    )


def _batches(scorer: Scorer) -> None:
    query, frames = _queries()[0], _frames()
    whole = _score(scorer, query, frames)
    back = int(getattr(scorer, "lookback", 0))
    alone = []
    for place in range(len(frames)):
        start = max(0, place - back)
        part = Frames(frames.pixels[start : place + 1], frames.times[start : place + 1])
        alone.append(_score(scorer, query, part)[-1])
    need(
        _same(whole, np.array(alone)),
        "a frame's score depends on the other frames of its batch, but candidates are scored in batches: score each "
        "frame on its own; if it needs the n frames before it, set lookback = n",
    )


def _harmless(scorer: Scorer) -> None:
    frames = _frames()
    pixels, times = frames.pixels.copy(), frames.times.copy()
    for array in (frames.pixels, frames.times):
        array.flags.writeable = False
    try:
        _score(scorer, _queries()[0], frames)
    except ValueError as error:
        raise ContractViolation(f"score() writes to the frames ({error}): copy them first") from error
    need(np.array_equal(frames.pixels, pixels) and np.array_equal(frames.times, times), "score() changes the frames")


def _embeddings(scorer: Any) -> None:
    if not (can_embed(scorer) or embeds(scorer)):
        raise NotApplicable("it has no embeddings")
    frames, query = _frames(), _queries()[0]
    try:
        embeddings = check_embeddings(scorer, scorer.embed_frames(frames), frames.times)
    except ScorerError as error:
        raise ContractViolation(str(error)) from error
    if can_embed(scorer):
        text = np.asarray(scorer.embed_text(query.text))
        need(
            text.shape == embeddings.shape[1:],
            f"embed_text() returns shape {text.shape}, embed_frames() {embeddings.shape}: both need the same d",
        )
        need(np.isfinite(text).all(), "embed_text() returns values that are not finite")
    if embeds(scorer):
        found = check_scores(scorer, scorer.score_embeddings(query, embeddings), frames.times)
        need(
            _same(_score(scorer, query, frames), found),
            "score(query, frames) differs from score_embeddings(query, embed_frames(frames)), which replaces it for "
            "videos",
        )


def _identity(scorer: Scorer) -> None:
    identity = getattr(scorer, "identity", None)
    if identity is None:
        raise NotApplicable("it has no identity, so that its scores are not kept on disk")
    fault = json_fault(identity)
    need(fault is None, f"identity must be JSON values, but holds {fault}")
    need(identity == getattr(scorer, "identity", None), "identity differs when it is read again")
    need(
        not getattr(scorer, "privileged", False),
        "it uses the evidence, but scores are kept by the query's text: set identity = None",
    )


def _video(scorer: Scorer) -> None:
    task = scenes.tasks()[0]
    try:
        score_video(scorer, task.video, task, candidate_times(task.video.duration)[:10], max_pixels=48 * 64)
    except ScorerError as error:
        raise ContractViolation(str(error)) from error


SCORER_RULES: tuple[Rule[Scorer], ...] = (
    Rule("has the parts of a scorer", _shape),
    Rule("scores are one finite number per frame", _finite),
    Rule("the same frames and query get the same scores", _deterministic),
    Rule("a frame's score does not depend on its batch", _batches),
    Rule("leaves frames unchanged", _harmless),
    Rule("scores from embeddings equal scores from frames", _embeddings),
    Rule("identity is JSON values", _identity),
    Rule("scores a video", _video),
)


def check_scorer(make: Callable[[], Scorer], subject: str = "") -> ConformanceReport:
    """Check a scorer. See `check_observation` for the arguments."""
    return apply_rules("scorer", subject or name_of(make), SCORER_RULES, make)
