"""How a record came about: typed, without loss in JSON, and unknown keys refused."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.errors import RecordError
from vzgym.episode import RunInfo

NUMBERS = st.none() | st.floats(0, 1e6)
COUNTS = st.none() | st.integers(0, 1 << 60)
SPECS = st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.booleans()))
INFOS = st.builds(
    RunInfo,
    **{name: st.text() for name in ("interface", "policy", "kind", "rejected", "vzgym")},
    **dict.fromkeys(("seed", "index", "sample", "step", "rollout"), COUNTS),
    **dict.fromkeys(("progress", "wall_seconds", "tool_seconds", "model_seconds"), NUMBERS),
    wording=SPECS,
    costs=st.dictionaries(st.text(), st.integers() | st.floats(0, 1e6)),
    reward=st.none() | st.text() | SPECS,
    counterfactual=st.none() | SPECS,
    first_answer=st.none() | st.text(),
    sees_frames=st.booleans(),
    discarded=st.booleans(),
    proof_weakened_by=st.lists(st.text()).map(tuple),
)


@given(INFOS)
def test_nothing_is_lost_in_json(info: RunInfo) -> None:
    assert RunInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_what_is_not_known_is_left_out() -> None:
    assert RunInfo().to_json() == {}
    assert RunInfo(index=0, sees_frames=False).to_json() == {"index": 0, "sees_frames": False}


def test_an_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(RecordError, match="unknown run information 'door', 'sighted'; valid: interface, wording,"):
        RunInfo.from_json({"door": "gymnasium", "sighted": False, "seed": 1})
    with pytest.raises(RecordError, match="must be an object, got"):
        RunInfo.from_json([])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [part.name for part in fields(RunInfo)])
def test_every_field_has_a_type(name: str) -> None:
    with pytest.raises(RecordError, match=f"run information {name!r} must be "):
        RunInfo(**{name: object()})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("index", True, "must be a whole number or None, got True"),
        ("index", 1.0, "must be a whole number or None"),
        ("progress", math.nan, "holds nan"),
        ("wall_seconds", math.inf, "holds inf"),
        ("reward", {"frame_cost": {"weight": math.nan}}, "holds nan at frame_cost.weight"),
        ("costs", {"price": math.inf}, "holds inf at price"),
        ("wording", {"name": object}, "holds a type at name"),
        ("sees_frames", 1, "must be True or False"),
    ],
)
def test_wrong_values_are_named(name: str, value: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        RunInfo(**{name: value})


def test_numbers_of_numpy_are_taken() -> None:
    info = RunInfo(index=np.int64(3), progress=np.float32(0.5))  # type: ignore[arg-type]
    assert json.dumps(info.to_json()) == '{"index": 3, "progress": 0.5}'
