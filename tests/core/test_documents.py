"""YAML documents: merged mappings. Other properties are tested with experiment files."""

from __future__ import annotations

import pytest

from vzgym.core.documents import read_text
from vzgym.core.errors import InvalidSetting

TEXT = """
base: &base
  steps: 10
  inner: {a: 1}
other: &other {steps: 20, extra: true}
one:
  <<: *base
  inner: {b: 2}
two: {<<: [*base, *other], own: 3}
"""


def test_a_mapping_takes_the_keys_that_it_lacks_from_those_it_merges() -> None:
    document = read_text(TEXT, "file.yaml")
    assert document.data["one"] == {"steps": 10, "inner": {"b": 2}}
    assert document.data["two"] == {"steps": 10, "inner": {"a": 1}, "extra": True, "own": 3}
    assert document.where("one", "steps") == "file.yaml:3"
    assert document.where("one", "inner", "b") == "file.yaml:8"
    assert document.where("two", "extra") == "file.yaml:5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {<<: 3}", ":1: << must be followed by a mapping"),
        ("a: {<<: [{b: 1}, 2]}", ":1: << must be followed by a mapping"),
        ("a: &a\n  <<: *a\n", ":1: more than 50 mappings merged"),
        ("a: {<<: {b: 1, b: 2}}", "'b' is given twice"),
    ],
)
def test_wrong_merges_are_named(text: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        read_text(text, "file.yaml")
