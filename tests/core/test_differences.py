from __future__ import annotations

import pytest

from vzgym.core.differences import first_difference


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        ({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [1]}}, None),
        ({"a": 1}, {"a": 1, "b": 2}, ("b", None, 2)),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 1, "d": 3}}}, ("a.b.d", 2, 3)),
        ({"a": {"b": 1}}, {"a": 4}, ("a", {"b": 1}, 4)),
        ({"a": {}}, {"a": {"b": None}}, ("a", {}, {"b": None})),
        ({"free": 1, "a": {"free": 1}}, {"free": 2, "a": {"free": 2}}, ("a.free", 1, 2)),
    ],
)
def test_the_innermost_difference_is_named(there, wanted, found):
    assert first_difference(there, wanted, free=("free",)) == found
