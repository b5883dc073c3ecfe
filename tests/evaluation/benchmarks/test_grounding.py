"""Spans are read in every form that benchmarks' replies have; metrics agree with hand-worked values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.benchmarks.grounding import (
    Grounding,
    Span,
    acc_at_iou,
    clue_recovery_rate,
    ground,
    iop,
    iou,
    read_spans,
    summarise_grounding,
)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("[12.0, 15.5]", [(12, 15.5)]),
        ("[[1, 2], [3.5, 4]]", [(1, 2), (3.5, 4)]),
        ("10.0s to 12.5s", [(10, 12.5)]),
        ("00:10 to 00:20", [(10, 20)]),
        ("1:02:03 - 1:02:10.5", [(3723, 3730.5)]),
        ("75:10-75:12", [(4510, 4512)]),
        ("10-20", [(10, 20)]),
        ("between 3 and 7 seconds", [(3, 7)]),
        ("It starts at 3 s and ends at 7.5 s.", [(3, 7.5)]),
        ("start time: 00:03, end time: 00:09", [(3, 9)]),
        ("24.3 \u2013 30.4 seconds.", [(24.3, 30.4)]),
        ("from 9 to 4", [(4, 9)]),
        ("5 to 5", [(5, 5)]),
        ("<think>1 to 2</think> 3 to 4", [(3, 4)]),
        ("the event happens at 12", []),
        ("3 and 7", []),
        ("v1.2-3.4.5", []),
        ("", []),
        ("1 to 2" + " " * (1 << 16), []),
    ],
)
def test_read_spans(reply: str, expected: list[tuple[float, float]]) -> None:
    assert [tuple(span) for span in read_spans(reply)] == expected


def test_fractions_scale_by_the_duration_only_if_all_are() -> None:
    assert read_spans("[0.1, 0.5]", duration=200) == (Span(20, 100),)
    assert read_spans("[0.1, 0.5], [3, 4]", duration=200) == (Span(0.1, 0.5), Span(3, 4))


@given(st.text(alphabet="0123456789:.,-[]() abdenstw\n", max_size=300))
def test_spans_are_ordered_and_finite(reply: str) -> None:
    for span in read_spans(reply):
        assert math.isfinite(span.start)
        assert 0 <= span.start <= span.end


def test_iou_is_over_unions() -> None:
    # Predicted [0, 4) and [2, 6), joined [0, 6); gold [3, 9): intersection 3, union 9.
    assert iou([Span(0, 4), Span(2, 6)], [Span(3, 9)]) == pytest.approx(1 / 3)
    assert iou([Span(1, 1)], [Span(1, 1)]) == 0


def test_iop_of_a_moment() -> None:
    assert iop([Span(4, 4)], [Span(3, 5)]) == 1
    assert iop([Span(2, 2)], [Span(3, 5)]) == 0
    assert iop([Span(2, 6)], [Span(3, 5)]) == pytest.approx(0.5)
    assert iop([], [Span(3, 5)]) == 0


def test_rules_differ_where_several_spans_are_predicted() -> None:
    predicted, gold = [Span(0, 2), Span(10, 12)], [Span(10, 14), Span(0, 1)]
    union = ground(predicted, gold)
    assert union.iou == pytest.approx(3 / 6)
    assert union.iop == pytest.approx(3 / 4)
    assert ground(predicted, gold, rule="best").iou == pytest.approx(1 / 2)
    assert ground(predicted, gold, rule="last").iop == 1
    assert ground([], gold) == Grounding(0, 0, parsed=False)


def test_bad_input_is_named() -> None:
    with pytest.raises(InvalidSetting, match="gold span"):
        ground([Span(0, 1)], [])
    with pytest.raises(InvalidSetting, match="'nearest'"):
        ground([Span(0, 1)], [Span(0, 1)], rule="nearest")
    with pytest.raises(InvalidSetting, match="no replies"):
        summarise_grounding([])


def test_summary_counts_unparsed_replies() -> None:
    items = [
        Grounding(0.6, 1.0, True),
        Grounding(0.3, 0.4, True),
        Grounding(0.0, 0.0, False),
        Grounding(0.7, 0.7, True),
    ]
    summary = summarise_grounding(items)
    assert summary.unparsed == 0.25
    assert summary.miou == pytest.approx(0.4)
    assert summary.miop == pytest.approx(0.525)
    assert summary.recall == {0.3: 0.75, 0.5: 0.5, 0.7: 0.25}
    assert summary.iop_recall[0.5] == 0.5


def test_acc_at_iou_needs_both() -> None:
    items = [Grounding(0.35, 0, True), Grounding(0.9, 0, True), Grounding(0.2, 0, True), Grounding(0, 0, False)]
    # Right and IoU >= t for t = 0.1 to 0.5: 2, 2, 1, 0, 0 of 4.
    assert acc_at_iou([True, False, True, True], items) == pytest.approx((2 + 2 + 1) / 20)


def test_clue_recovery_rate() -> None:
    assert clue_recovery_rate(0.3, 0.4) == pytest.approx(0.75)
    assert clue_recovery_rate(0.5, 0.4) == 1
    assert clue_recovery_rate(0.5, 0.0) is None
