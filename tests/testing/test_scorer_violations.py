"""One deliberately broken scorer for each way to break the contract; the message says how to fix it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from vzgym.scorers.pixels import ColorHistogram, FrameDifference
from vzgym.testing import ScorerContract, check, check_scorer, kind_of


class Bright:
    """A scorer that keeps the contract."""

    name: ClassVar[Any] = "bright"
    identity: ClassVar[Any] = {"version": 1}

    def score(self, query: Any, frames: Any) -> Any:
        return frames.pixels.mean(axis=(1, 2, 3))


class Nameless(Bright):
    name = 3


class Ranks(Bright):
    def score(self, query: Any, frames: Any) -> Any:
        return super().score(query, frames).argsort().argsort()


class Cosine(Bright):
    """Divides by a length that may be 0."""

    def score(self, query: Any, frames: Any) -> Any:
        with np.errstate(invalid="ignore"):
            values = super().score(query, frames)
            return values / np.where(values > 0, values, np.nan)


class Column(Bright):
    def score(self, query: Any, frames: Any) -> Any:
        return super().score(query, frames)[:, None]


class Drifts(Bright):
    calls = 0

    def score(self, query: Any, frames: Any) -> Any:
        self.calls += 1
        return super().score(query, frames) + self.calls


class NoLookback(FrameDifference):
    lookback = 0


class Paints(Bright):
    def score(self, query: Any, frames: Any) -> Any:
        frames.pixels[:] = 0
        return super().score(query, frames)


class Halved(ColorHistogram):
    def score(self, query: Any, frames: Any) -> Any:
        return super().score(query, frames) * 0.5 + frames.pixels.mean(axis=(1, 2, 3))


class OtherSize(ColorHistogram):
    def embed_text(self, text: str) -> Any:
        return super().embed_text(text)[:3]


class Weights(Bright):
    identity: ClassVar[Any] = {"weights": Path("model.bin")}


class Privileged(Bright):
    privileged = True


class Costly(Bright):
    costs: ClassVar[Any] = {"requests": "many"}


@pytest.mark.parametrize(
    ("scorer", "rule", "fix"),
    [
        (Nameless, "has the parts of a scorer", "name must be a text"),
        (lambda: Bright, "has the parts of a scorer", "pass an instance"),
        (object, "has the parts of a scorer", r"score\(query, frames\)"),
        (Cosine, "scores are one finite number per frame", r"nan for the frame at 0\.000 s \(3 of 3"),
        (Column, "scores are one finite number per frame", r"shape \(12,\), got \(12, 1\)"),
        (Drifts, "the same frames and query get the same scores", "keep no state"),
        (Ranks, "a frame's score does not depend on its batch", "set lookback"),
        (NoLookback, "a frame's score does not depend on its batch", "set lookback"),
        (Paints, "leaves frames unchanged", "copy them first"),
        (Halved, "scores from embeddings equal scores from frames", "differs from score_embeddings"),
        (OtherSize, "scores from embeddings equal scores from frames", "both need the same d"),
        (Weights, "identity is JSON values", "Path at weights"),
        (Privileged, "identity is JSON values", "identity = None"),
        (Costly, "scores a video", "must be numbers by name"),
    ],
)
def test_broken_scorers(scorer: Any, rule: str, fix: str) -> None:
    report = check_scorer(scorer)
    details = {result.rule: result.detail for result in report.broken}
    assert rule in details, details
    assert re.search(fix, details[rule]), details[rule]


def test_a_whole_one_keeps_the_contract() -> None:
    report = check_scorer(Bright)
    assert report.require().ok
    assert [item.rule for item in report.results if item.status == "left out"] == [
        "scores from embeddings equal scores from frames"
    ]


def test_a_scorer_is_no_reward() -> None:
    assert kind_of(Bright) == kind_of(Bright()) == "scorer"
    assert check("histogram").ok


class TestBright(ScorerContract):
    def make(self) -> Bright:
        return Bright()
