"""Statistics of a reward's terms."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vzgym.rewards.statistics import (
    TermOutcome,
    TermStatistics,
    episode_terms,
    log_entries,
    logged_statistics,
    silent_terms,
    term_statistics,
)


def entry(total: float | None = 0.0, **terms: dict[str, Any]) -> dict[str, Any]:
    return {"total": total, "terms": terms}


def term(value: float | None, weight: float = 1.0, status: str = "scored", **more: Any) -> dict[str, Any]:
    return {"value": value, "weight": weight, "status": "unscored" if value is None else status, **more}


def test_an_episode_s_outcomes_are_sums_over_its_turns() -> None:
    ledger = [
        entry(a=term(1.0, 0.5), gated=term(0.0), unknown=term(None), cut=term(5.0, 2.0, counted=1.0)),
        entry(a=term(-1.0, 0.5), gated=term(3.0, status="gated"), unknown=term(None), cut=term(0.0, 2.0)),
    ]
    assert episode_terms(ledger) == {
        "a": TermOutcome(0.0, True),
        "gated": TermOutcome(0.0, False),
        "unknown": None,
        "cut": TermOutcome(2.0, True),
    }


@pytest.mark.parametrize("ledger", [None, [], [entry(None, a=term(1.0))]])
def test_an_unscored_episode_has_no_outcomes(ledger: Any) -> None:
    assert episode_terms(ledger) is None


def outcomes(**terms: float | None) -> dict[str, TermOutcome | None]:
    return {name: None if value is None else TermOutcome(value, value != 0) for name, value in terms.items()}


def test_shares_of_the_variance_sum_to_one_and_are_within_groups() -> None:
    # Between the groups `a` differs by 10, which moves no advantage.
    groups = [
        [outcomes(a=0.0, b=1.0, c=0.1), outcomes(a=1.0, b=1.0, c=0.1)],
        [outcomes(a=10.0, b=0.0, c=0.1), outcomes(a=10.0, b=3.0, c=0.1)],
    ]
    found = term_statistics(groups)
    assert found["a"].variance_share == pytest.approx(0.1)
    assert found["b"].variance_share == pytest.approx(0.9)
    assert found["c"].variance_share == pytest.approx(0.0)
    assert [found[name].groups_moved for name in "abc"] == [0.5, 0.5, 0.0]
    assert [found[name].firing_rate for name in "abc"] == [0.75, 0.75, 1.0]
    assert found["b"].mean == 1.25


def test_what_is_unknown_is_nan_and_survives_a_log() -> None:
    found = term_statistics([[outcomes(a=1.0, b=None)]])
    assert math.isnan(found["a"].variance_share)
    assert math.isnan(found["a"].groups_moved)
    assert math.isnan(found["b"].firing_rate)
    assert log_entries(found) == {"terms/a/firing_rate": 1.0, "terms/a/mean": 1.0}
    again = logged_statistics([{"loss": 1.0}, {**log_entries(found), "loss": 0.5}])
    assert again["a"].mean == 1.0
    assert math.isnan(again["a"].groups_moved)
    assert str(TermStatistics.from_json(found["b"].to_json())) == str(found["b"])


def test_terms_that_change_no_advantage_are_named_with_the_reason() -> None:
    group = [
        outcomes(right=0.0, form=0.1, dead=0.0, unscored=None) | {"measured": TermOutcome(0.0, True)},
        outcomes(right=1.0, form=0.1, dead=0.0, unscored=None) | {"measured": TermOutcome(0.0, False)},
    ]
    notes = silent_terms(term_statistics([group]))
    assert len(notes) == 3
    assert "'form'" in notes[0]
    assert "adds the same" in notes[0]
    assert "'dead'" in notes[1]
    assert "never fired" in notes[1]
    assert "'unscored'" in notes[2]
    assert "never scored" in notes[2]
    # A single episode has nothing to be compared with.
    assert silent_terms(term_statistics([group[:1]])) == []
