"""Texts that differ in typography alone, and code points that are no characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.text import (
    close_name,
    comparable,
    duration_text,
    find_surrogate,
    known_names,
    normalize,
    replace_surrogates,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("\uff08\uff22\uff09\uff0e", "(B)."),
        ("don\u2019t", "don't"),
        ("\u00abB\u00bb \u300cB\u300d \u201eB\u201c", '"B" "B" "B"'),
        ("\u3010B\u3011", "(B)"),
        ("\ufeffB\u200b\u2060", "B"),
        ("a\u2014b \u22125", "a-b -5"),
        ("B\u3002 B\u060c B\u061f", "B. B, B?"),
        ("\u0663\u066b\u0665", "3.5"),
        ("10\u00b3 10\u207b\u00b2\u00b3", "10^3 10^-23"),
        ("3\u00bd", "3 1/2"),
        ("e\u0301", "\u00e9"),
        ("\u24b7", " B "),
    ],
)
def test_one_spelling(text: str, normal: str) -> None:
    assert normalize(text) == normal


@given(st.text(max_size=40))
def test_normal_texts_stay(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once


@pytest.mark.parametrize(
    ("text", "form"), [("  The  Dog. ", "dog"), ("?", "?"), ("A man", "man"), ("\u201cCAF\u00c9\u201d", "caf\u00e9")]
)
def test_the_form_for_comparison(text: str, form: str) -> None:
    assert comparable(text) == form


def test_lone_surrogates() -> None:
    assert find_surrogate("ab\ud800") == 2
    assert find_surrogate("ab\U0001f600") is None
    assert replace_surrogates("a\ud800b \ud83d\ude00") == "a\ufffdb \U0001f600"


def test_durations() -> None:
    given = (40, 59.6, 95, 3570, 3599, 9000)
    assert list(map(duration_text, given)) == ["40 s", "60 s", "2 min", "1 h 0 min", "1 h 0 min", "2 h 30 min"]


@pytest.mark.parametrize(
    ("name", "close"), [("needel", "needle"), ("NEEDLE", "needle"), ("videom", "videomme"), ("x", ""), (7, "")]
)
def test_the_name_that_is_meant(name: object, close: str) -> None:
    assert close_name(name, ["needle", "order", "videomme"]) == close


def test_of_equally_close_names_the_first_is_meant() -> None:
    assert close_name("zooms", ["max_zooms", "min_zooms"]) == "max_zooms"
    assert close_name("zooms", ["min_zooms", "max_zooms"]) == "min_zooms"


def test_unknown_names_are_listed_with_what_may_be_meant() -> None:
    assert known_names(["ordr", "needel", "x"], ["order", "needle"]) == (
        "did you mean 'order' or 'needle'? Valid: order, needle"
    )
    assert known_names(["x"], ["order"]) == "valid: order"
    assert known_names(["x"], []) == "valid: none"
