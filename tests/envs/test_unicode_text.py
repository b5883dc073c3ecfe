"""The text space, alone and inside others."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, OneOf, Text, Tuple
from gymnasium.spaces.utils import flatdim, flatten, flatten_space, is_space_dtype_shape_equiv, unflatten
from gymnasium.vector.utils import (
    batch_differing_spaces,
    batch_space,
    concatenate,
    create_empty_array,
    create_shared_memory,
    iterate,
    read_from_shared_memory,
    write_to_shared_memory,
)
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.errors import InvalidSetting
from vzgym.envs import UnicodeText

# Any string that Python can hold, lone surrogates and NUL included.
ANY_TEXT = st.text(st.characters(codec=None), max_size=12)
AWKWARD = [
    "",
    " ",
    "é",
    "日本",
    "\x00",
    "a\x00",
    "\ud800",
    "\udfff\ud800",
    "\U0010ffff",
    "🎬🎬",
    "\r\n\u2028",
    "x" * 12,
]


@pytest.mark.parametrize("text", AWKWARD)
def test_every_short_string_is_contained(text: str) -> None:
    assert text in UnicodeText(12)


@pytest.mark.parametrize("value", ["x" * 13, b"bytes", 3, None, ["a"], np.array("a")])
def test_what_is_too_long_or_no_string_is_not(value: Any) -> None:
    assert value not in UnicodeText(12)


@pytest.mark.parametrize("length", [0, -1, 2.0, "3", None, True])
def test_a_length_must_be_a_positive_integer(length: Any) -> None:
    with pytest.raises(InvalidSetting, match="max_length"):
        UnicodeText(length)


def test_samples_are_contained_seeded_and_of_several_scripts() -> None:
    space = UnicodeText(40, seed=3)
    first = [space.sample() for _ in range(200)]
    assert all(text in space for text in first)
    assert space.seed(3) == 3
    assert [space.sample() for _ in range(200)] == first
    assert {len(text) for text in first} == set(range(33))
    assert any(" " in text for text in first)
    assert any(not text.isascii() for text in first)
    assert all(len(UnicodeText(1, seed=seed).sample()) <= 1 for seed in range(20))


def test_there_is_nothing_to_mask() -> None:
    for given_settings in ({"mask": 1}, {"probability": 1}):
        with pytest.raises(InvalidSetting, match="neither"):
            UnicodeText(3).sample(**given_settings)


def test_equality_is_by_length() -> None:
    assert UnicodeText(5) == UnicodeText(5, seed=1)
    assert hash(UnicodeText(5)) == hash(UnicodeText(5))
    assert UnicodeText(5) != UnicodeText(6)
    assert UnicodeText(5) != Text(5)
    assert repr(UnicodeText(5)) == "UnicodeText(5)"
    assert is_space_dtype_shape_equiv(UnicodeText(5), UnicodeText(5))
    assert not is_space_dtype_shape_equiv(UnicodeText(5), UnicodeText(6))


def test_copies_go_on_with_the_same_samples() -> None:
    space = UnicodeText(30, seed=1)
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert twin == space
        assert twin.sample() == copy.deepcopy(space).sample()


def test_json_form_is_the_strings() -> None:
    space = UnicodeText(12)
    assert space.to_jsonable(iter(AWKWARD)) == AWKWARD
    assert space.from_jsonable(list(AWKWARD)) == AWKWARD


# Flattening --------------------------------------------------------------------------------------------------------


@given(ANY_TEXT)
def test_flattening_is_undone(text: str) -> None:
    space = UnicodeText(12)
    flat: Any = flatten(space, text)
    assert flat.shape == (flatdim(space),) == (12,)
    assert flat in flatten_space(space)
    assert unflatten(space, flat) == text


@given(ANY_TEXT, ANY_TEXT)
def test_flattening_within_other_spaces_is_undone(one: str, two: str) -> None:
    inner = Tuple((UnicodeText(12), Box(-1.0, 1.0, (2,), np.float64)))
    space = Dict(said=UnicodeText(12), pair=inner)
    value = {"pair": (two, np.array([0.25, -0.5])), "said": one}
    flat: Any = flatten(space, value)
    assert flat.shape == (26,)
    assert flat in flatten_space(space)
    back: Any = unflatten(space, flat)
    assert back["said"] == one
    assert back["pair"][0] == two
    assert back["pair"][1].tolist() == [0.25, -0.5]


@given(ANY_TEXT)
def test_flattening_within_a_choice_is_undone(text: str) -> None:
    space = OneOf((Box(0.0, 9.0, (3,), np.float64), UnicodeText(12)))
    kind, back = unflatten(space, flatten(space, (np.int64(1), text)))
    assert (int(kind), back) == (1, text)


# Batching ----------------------------------------------------------------------------------------------------------


def test_batches_are_tuples() -> None:
    space = UnicodeText(12, seed=0)
    batched = batch_space(space, 3)
    assert isinstance(batched, Tuple)
    assert len(batched.spaces) == 3
    sample = batched.sample()
    assert list(iterate(batched, sample)) == list(sample)
    empty = create_empty_array(space, 3)
    assert empty == ("", "", "")
    assert empty in batched
    assert concatenate(space, ("a", "é", ""), empty) == ("a", "é", "")
    differing = batch_differing_spaces([UnicodeText(2), UnicodeText(4)])
    assert ("ab", "abcd") in differing
    assert ("abc", "abcd") not in differing


@given(st.lists(ANY_TEXT, min_size=3, max_size=3))
def test_shared_memory_shows_what_was_written_last(texts: list[str]) -> None:
    space = Dict(a=UnicodeText(12), b=UnicodeText(12))
    context: Any = multiprocessing.get_context()
    memory = create_shared_memory(space, n=3, ctx=context)
    seen: Any = read_from_shared_memory(space, memory, n=3)
    assert seen["a"] == ("", "", "")
    for index, text in enumerate(texts):
        value: Any = {"a": text, "b": "x" * 12}
        write_to_shared_memory(space, index, value, memory)
    kept = copy.deepcopy(seen)
    assert kept == {"a": tuple(texts), "b": ("x" * 12,) * 3}
    value = {"a": "ü", "b": ""}
    write_to_shared_memory(space, 1, value, memory)
    assert seen["a"] == (texts[0], "ü", texts[2])
    assert (seen["a"][1], seen["a"][:2], len(seen["a"])) == ("ü", (texts[0], "ü"), 3)
    assert kept["a"] == tuple(texts)
    with pytest.raises(TypeError):
        hash(seen["a"])
