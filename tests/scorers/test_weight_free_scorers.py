from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vzgym.core.errors import InvalidSetting, ScorerError, TaskError, UnknownName
from vzgym.core.interval import Interval
from vzgym.scorers import SCORERS, Frames, Query, Scorer, make_scorer
from vzgym.scorers.evidence import EvidenceScorer
from vzgym.scorers.pixels import COLORS, ColorHistogram
from vzgym.tasks import load_tasks

RED, GREY = (255, 44, 40), (112, 114, 118)


def plain(*colors: tuple[int, int, int], size: tuple[int, int] = (8, 12)) -> Frames:
    pixels = np.stack([np.full((*size, 3), color, np.uint8) for color in colors])
    return Frames(pixels, np.arange(len(colors), dtype=np.float64))


def moving(count: int = 40) -> Frames:
    return Frames(np.random.default_rng(0).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8), np.arange(float(count)))


WEIGHT_FREE = ["frame-difference", "histogram", "evidence", "evidence:noise=0.4", "hash"]


def test_the_options_of_a_query_are_a_list() -> None:
    with pytest.raises(InvalidSetting, match=r"options are a list of texts, such as .*, got 'red,green'"):
        Query("Which color?", "red,green")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WEIGHT_FREE)
def test_scores_are_one_finite_number_per_frame(name: str) -> None:
    query = Query("the red one", ("red", "blue"), "t", (Interval(3, 5),))
    scorer = make_scorer(name)
    assert isinstance(scorer, Scorer)
    scores = scorer.score(query, moving())
    assert scores.dtype == np.float64
    assert scores.shape == (40,)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, make_scorer(name).score(query, moving()))


@pytest.mark.parametrize("name", ["histogram", "evidence:noise=0.4", "hash"])
def test_a_frame_has_the_same_score_in_any_batch(name: str) -> None:
    frames, query, scorer = moving(), Query("a red and a blue shape", (), "t", (Interval(3, 5),)), make_scorer(name)
    alone = [scorer.score(query, Frames(frames.pixels[i : i + 1], frames.times[i : i + 1]))[0] for i in range(40)]
    np.testing.assert_array_equal(scorer.score(query, frames), alone)


def test_frame_difference_is_the_mean_change() -> None:
    frames = plain((10, 20, 30), (10, 20, 30), (200, 20, 30), (0, 20, 30))
    np.testing.assert_allclose(
        make_scorer("frame-difference").score(Query("any"), frames), [0, 0, 190 / 3 / 255, 200 / 3 / 255]
    )


@pytest.mark.parametrize(
    ("color", "name"),
    [
        (RED, "red"), ((255, 138, 28), "orange"), ((110, 70, 30), "brown"), ((255, 226, 36), "yellow"),
        ((48, 232, 76), "green"), ((40, 236, 240), "cyan"), ((52, 120, 255), "blue"), ((98, 40, 146), "purple"),
        ((255, 84, 214), "pink"), ((12, 10, 14), "black"), (GREY, "grey"), ((250, 250, 252), "white"),
        ((0, 0, 0), "black"), ((255, 0, 0), "red"), ((255, 0, 1), "red"),
    ],
)  # fmt: skip
def test_histogram_names_colors(color: tuple[int, int, int], name: str) -> None:
    embedding = ColorHistogram().embed_frames(plain(color))[0]
    assert COLORS[int(embedding.argmax())] == name
    assert embedding.max() == 1.0


def test_histogram_scores_the_share_of_the_named_colors() -> None:
    half = plain(RED, GREY)
    half.pixels[0, :4] = GREY
    scorer = make_scorer("histogram")
    np.testing.assert_allclose(scorer.score(Query("What is RED here?"), half), [np.sqrt(0.5), 0], atol=1e-7)
    np.testing.assert_allclose(scorer.score(Query("the gray shape"), half), [np.sqrt(0.5), 1], atol=1e-7)
    # "colored" and "redo" name no color.
    np.testing.assert_array_equal(scorer.score(Query("redo the colored one"), half), [0, 0])
    with_options = make_scorer("histogram:with_options=true")
    assert with_options.score(Query("Which?", ("red", "blue")), half)[0] > 0
    assert scorer.score(Query("Which?", ("red", "blue")), half)[0] == 0


def test_hash_depends_on_frame_query_and_seed_only() -> None:
    frames = plain(RED, GREY, RED)
    scores = make_scorer("hash").score(Query("a"), frames)
    assert scores[0] == scores[2] != scores[1]
    assert (make_scorer("hash").score(Query("b"), frames) != scores).all()
    assert (make_scorer("hash:seed=1").score(Query("a"), frames) != scores).all()
    many = make_scorer("hash").score(Query("a"), moving(2000))
    assert abs(many.mean() - 0.5) < 0.03
    assert ((many >= 0) & (many < 1)).all()


def test_evidence_without_noise_is_the_oracle() -> None:
    frames = Frames(np.empty((5, 0, 0, 3), np.uint8), np.array([0.0, 2.9999999, 3.0, 4.9, 5.0]))
    query = Query("", (), "t", (Interval(3, 5), Interval(0, 1)))
    np.testing.assert_array_equal(make_scorer("evidence").score(query, frames), [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(make_scorer("evidence").score(Query("", evidence=()), frames), np.zeros(5))


@pytest.mark.parametrize("noise", [0.25, 0.5, 0.75, 1.0])
def test_noise_lowers_the_chance_that_evidence_scores_higher(noise: float) -> None:
    times = np.arange(4000.0)
    frames = Frames(np.empty((4000, 0, 0, 3), np.uint8), times)
    scorer = EvidenceScorer(noise=noise)
    scores = scorer.score(Query("q", (), "t", (Interval(0, 2000),)), frames)
    measured = float((scores[:2000, None] > scores[None, 2000:]).mean())
    assert measured == pytest.approx(scorer.auc, abs=0.03)
    other = EvidenceScorer(noise=noise, seed=1).score(Query("q", (), "t", (Interval(0, 2000),)), frames)
    assert abs(np.corrcoef(scores[2000:], other[2000:])[0, 1]) < 0.1


def test_evidence_needs_evidence() -> None:
    with pytest.raises(TaskError, match=r"'t'.*evidence"):
        make_scorer("evidence").score(Query("q", (), "t"), moving())


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("evidence:noise=1.5", InvalidSetting, r"noise.*\[0, 1\]"),
        ({"name": "evidence", "noise": True}, InvalidSetting, "noise"),
        ({"name": "evidence", "seed": 1.5}, InvalidSetting, "seed"),
        ("hash:seed=x", InvalidSetting, "seed"),
        ("hash:1", InvalidSetting, "option=value"),
        ("hash:size=1", InvalidSetting, "no option 'size'"),
        ("histograms", UnknownName, "unknown scorer.*histogram"),
        (EvidenceScorer, InvalidSetting, "the class EvidenceScorer"),
        (3, InvalidSetting, "a scorer is an object"),
    ],
)
def test_wrong_specifications_are_named(spec: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_scorer(spec)


def test_a_query_is_made_of_a_task() -> None:
    task = load_tasks("tiny/test")[0]
    query = Query.of(task)
    assert (query.text, query.options, query.task_id, query.evidence) == (
        task.question, task.options, task.id, task.evidence,
    )  # fmt: skip
    assert query.to_text() == task.question
    assert query.to_text(with_options=True).splitlines()[1] == f"A. {task.options[0]}"


def test_every_registered_scorer_can_be_imported() -> None:
    assert set(WEIGHT_FREE) - {"evidence:noise=0.4"} <= set(SCORERS.get_all())
    assert issubclass(ScorerError, ValueError)
