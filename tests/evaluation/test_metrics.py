"""What is measured of an episode, on records made by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from vzgym.core.actions import Answer, Malformed, Zoom
from vzgym.core.budget import Budget
from vzgym.core.interval import Interval
from vzgym.episode.answers import Grade, GradeStatus
from vzgym.episode.clip import Clip
from vzgym.episode.record import End, EpisodeRecord, TaskFacts
from vzgym.episode.run_info import RunInfo
from vzgym.episode.turn import Outcome, Refusal, Turn
from vzgym.evaluation.metrics import METRICS, EpisodeMetrics, summarise

EVIDENCE = (Interval(10.0, 14.0), Interval(30.0, 34.0))


def clip(times: list[float], window: Interval | None = None, decoded: int = 0, seconds: float = 0.0) -> Clip:
    at = np.array(times)
    return Clip(at, at, (24, 32), window, None if window is None else 1.0, None, None, decoded, seconds)


def zoom(start: float, end: float, times: list[float], **facts: Any) -> Turn:
    asked, window = Zoom(start, end, 1.0), Interval(start, end)
    return Turn(asked, "", True, Outcome.EXECUTED, clips=(clip(times, window, **facts),))


REFUSED = Turn(Zoom(9.0, 3.0, 1.0), "", True, Outcome.REFUSED, Refusal.REVERSED, "no")
UNREADABLE = Turn(Malformed("no tag"), "hm", False, Outcome.REFUSED, Refusal.MALFORMED, "no tag")
ANSWERED = Turn(Answer("A"), "A", True, Outcome.ANSWERED)


def record(
    *turns: Turn,
    overview: tuple[float, ...] = (0.0, 20.0, 40.0),
    evidence: tuple[Interval, ...] | None = EVIDENCE,
    grade: GradeStatus = GradeStatus.CORRECT,
    rewards: list[float | None] | None = None,
    **info: Any,
) -> EpisodeRecord:
    return EpisodeRecord(
        task=TaskFacts("t/1", "Which?", ("a", "b"), "a", evidence, "kind", "", {}, "array:x", 40.0, 24, 32),
        budget=Budget(max_zooms=4),
        overview=clip(list(overview), decoded=3, seconds=0.5),
        turns=list(turns),
        end=End.ANSWERED,
        grade=Grade(grade),
        rewards=None if rewards is None else [{"total": total, "terms": {}} for total in rewards],
        info=RunInfo(**info),
    )


def test_what_is_counted() -> None:
    found = EpisodeMetrics.of(
        record(
            zoom(9.0, 12.0, [9.0, 10.0, 11.0], decoded=5, seconds=0.25),
            REFUSED,
            UNREADABLE,
            zoom(35.0, 37.0, [35.0, 36.0], decoded=2, seconds=0.25),
            ANSWERED,
            rewards=[0.0, -0.1, -0.1, 0.0, 1.0],
            wall_seconds=2.0,
        )
    )
    assert (found.task_id, found.category, found.correct) == ("t/1", "kind", True)
    assert (found.frames, found.zooms, found.refused) == (8, 2, 2)
    assert (found.decoded, found.decode_seconds, found.wall_seconds) == (10, 1.0, 2.0)
    assert found.reward == pytest.approx(0.8)


def test_where_it_was_looked() -> None:
    found = EpisodeMetrics.of(record(zoom(9.0, 12.0, [9.0, 10.0, 11.0]), zoom(35.0, 37.0, [35.0]), ANSWERED))
    assert found.evidence_seen == 0.5  # the first of two
    assert found.evidence_coverage == 2 / 8  # [10, 12) of eight seconds
    assert found.evidence_iou == pytest.approx(2 / (8 + 5 - 2))


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ((zoom(9.0, 12.0, [9.0]), zoom(35.0, 37.0, [35.0]), ANSWERED), 2.5),
        ((zoom(9.0, 12.0, [9.0]), REFUSED, ANSWERED), 3.0),
        ((ANSWERED,), None),
    ],
)
def test_the_length_of_zooms_is_a_mean_over_executed_zooms(turns: tuple[Turn, ...], wanted: float | None) -> None:
    assert EpisodeMetrics.of(record(*turns)).zoom_seconds == wanted


def test_the_overview_sees_too_but_covers_nothing() -> None:
    found = EpisodeMetrics.of(record(ANSWERED, overview=(0.0, 12.0, 31.0)))
    assert (found.evidence_seen, found.evidence_coverage, found.evidence_iou) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("time", "seen"),
    [(10.0, 0.5), (10.0 - 1e-9, 0.5), (9.9, 0.0), (13.9, 0.5), (14.0, 0.0), (14.0 - 1e-9, 0.0)],
)
def test_evidence_is_half_open_and_forgives_a_rounding(time: float, seen: float) -> None:
    assert EpisodeMetrics.of(record(ANSWERED, overview=(time,))).evidence_seen == seen


def test_a_policy_that_is_shown_no_frames_has_seen_no_evidence() -> None:
    turns = (zoom(9.0, 12.0, [9.0, 10.0, 11.0]), ANSWERED)
    assert EpisodeMetrics.of(record(*turns, overview=(12.0, 31.0))).evidence_seen == 1.0
    blind = EpisodeMetrics.of(record(*turns, overview=(12.0, 31.0), sees_frames=False))
    assert (blind.evidence_seen, blind.evidence_coverage) == (0.0, 2 / 8)


@pytest.mark.parametrize("evidence", [None, ()])
def test_without_evidence_nothing_is_said_of_it(evidence: tuple[Interval, ...] | None) -> None:
    found = EpisodeMetrics.of(record(zoom(1.0, 2.0, [1.0]), ANSWERED, evidence=evidence))
    assert (found.evidence_seen, found.evidence_coverage, found.evidence_iou) == (None, None, None)
    assert found.zooms == 1


@pytest.mark.parametrize(
    ("grade", "correct"),
    [
        (GradeStatus.CORRECT, True),
        (GradeStatus.WRONG, False),
        (GradeStatus.UNREADABLE, False),
        (GradeStatus.MISSING, False),
        (GradeStatus.UNSCORED, None),
    ],
)
def test_unscored_is_neither_right_nor_wrong(grade: GradeStatus, correct: bool | None) -> None:
    assert EpisodeMetrics.of(record(ANSWERED, grade=grade)).correct is correct


@pytest.mark.parametrize(
    ("rewards", "total"), [(None, None), ([], None), ([0.25, 0.5], 0.75), ([0.25, None], None), ([0.0], 0.0)]
)
def test_reward(rewards: list[float | None] | None, total: float | None) -> None:
    assert EpisodeMetrics.of(record(ANSWERED, rewards=rewards)).reward == total


def test_time_is_unknown_where_nobody_took_it() -> None:
    assert EpisodeMetrics.of(record(ANSWERED)).wall_seconds is None


def test_summary_leaves_out_what_cannot_be_said() -> None:
    right = EpisodeMetrics.of(record(ANSWERED))
    wrong = dataclasses.replace(right, correct=False, evidence_seen=None)
    unscored = dataclasses.replace(right, correct=None)
    found = summarise([right, right, right, wrong, unscored])
    assert (found["correct"].value, found["correct"].n) == (0.75, 4)
    assert found["evidence_seen"].n == 4
    assert found["frames"].n == 5
    assert found["wall_seconds"].n == 0
    assert math.isnan(found["wall_seconds"].value)
    assert list(found) == [metric.name for metric in METRICS]


def test_every_metric_is_a_measure_of_an_episode() -> None:
    assert {metric.name for metric in METRICS} <= {field.name for field in dataclasses.fields(EpisodeMetrics)}


def test_shares_have_intervals_within_0_and_1() -> None:
    one = EpisodeMetrics.of(record(ANSWERED))
    values = [0.9, 1.0, 1.0, 1.0, 0.4]
    found = summarise([dataclasses.replace(one, evidence_coverage=value) for value in values])["evidence_coverage"]
    assert found.value == pytest.approx(0.86)
    assert 0.0 < found.low < 0.86
    assert found.high == 1.0
    # Seen or not seen is a share like right or wrong: never certain.
    found = summarise([dataclasses.replace(one, evidence_seen=1.0)] * 10)["evidence_seen"]
    assert found.low == pytest.approx(0.722467, abs=2e-6)
    assert found.high == 1.0


def test_summary_of_nothing() -> None:
    assert all(estimate.n == 0 for estimate in summarise([]).values())
