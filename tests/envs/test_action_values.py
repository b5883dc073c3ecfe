"""Every registered action module takes what its space contains, and refuses anything else by `ActionTypeError`."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vzgym.core.actions import Answer, Region, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import ActionTypeError
from vzgym.envs import ACTIONS, VideoZoomEnv
from vzgym.tasks import VideoTask

numbers = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.just(10**400), st.just(-(10**400)), st.complex_numbers()
)
scalars = st.one_of(numbers, st.none(), st.text(max_size=5), st.binary(max_size=5), st.just("0.5"), st.just(object()))
array_values = arrays.arrays(
    dtype=st.sampled_from(["bool", "int8", "int64", "uint64", "float16", "float64", "complex64", "U3", "S2", "object"]),
    shape=st.sampled_from([(), (0,), (1,), (3,), (4,), (12,), (3, 1), (2, 6)]),
)
lists = st.recursive(
    scalars | array_values,
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=8,
)
rows = st.lists(scalars, min_size=12, max_size=12) | st.lists(scalars, min_size=3, max_size=3)
zooms = st.builds(
    Zoom, scalars, scalars, scalars, st.none() | scalars | st.builds(Region, scalars, scalars, scalars, scalars)
)
pairs = st.tuples(
    st.sampled_from([0, 1, -1, 2, True, 0.0, np.int8(0), np.array(0), np.array([0])]), rows | array_values | lists
)
junk = lists | rows | array_values | pairs | zooms | st.builds(Answer, scalars)


@pytest.mark.parametrize("module", ACTIONS.names())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=junk)
def test_a_value_is_played_or_refused_by_name(module: str, value: Any, task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, action=module, observation="dialogue", budget=small)
    env.reset()
    try:
        inside = env.action_space.contains(value)
    except (ValueError, TypeError):  # of gymnasium, for what is no action at all
        inside = False
    with nullcontext() if inside else suppress(ActionTypeError):
        env.step(value)
    assert len(env.record.turns) <= 1


@pytest.mark.parametrize("module", ["default", "text", "discrete", "continuous"])
@pytest.mark.parametrize(
    "value", [[0, [0]] * 2, -(10**5000), ["x" * 10**6], "recursive"], ids=["nested", "huge", "long", "recursive"]
)
def test_an_error_quotes_a_value_in_few_words(module: str, value: Any, task: VideoTask, small: Budget) -> None:
    if value == "recursive":
        value = []
        value.append(value)
    env = VideoZoomEnv(task, action=module, observation="dialogue", budget=small)
    env.reset()
    with pytest.raises(ActionTypeError) as raised:
        env.step(value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("module", ["default", "text", "discrete", "continuous"])
def test_samples_are_played(module: str, task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, action=module, observation="dialogue", budget=small)
    env.action_space.seed(0)
    for _ in range(30):
        env.reset()
        env.step(env.action_space.sample())
