"""The observation modules, value by value."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.envs import CompactObservation, DefaultObservation, UnicodeText, VideoZoomEnv
from vzgym.envs.observations import dialogue_text
from vzgym.episode.dialogue import Message
from vzgym.tasks import VideoTask

MARK = "[... dialogue cut here ...]"


def test_the_default_space(small: Budget) -> None:
    space = DefaultObservation(frame_size=(16, 32)).space(small)
    assert isinstance(space, Dict)
    assert space["frames"] == Box(0, 255, (18, 16, 32, 3), np.uint8)
    assert space["frame_times"] == Box(-1.0, 1e6, (18,), np.float64)
    assert space["num_frames"] == Discrete(19)
    assert space["budget_left"] == Box(0, np.array([3, 12, 4], np.int32), (3,), np.int32)
    assert space["dialogue"] == UnicodeText(8192)


def test_default_holds_every_frame_in_order_of_arrival(env: VideoZoomEnv) -> None:
    observation, _ = env.reset()
    assert observation["num_frames"] == 6
    assert observation["frame_times"][:6].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    observation, *_ = env.step(Zoom(1.0, 1.5, 4.0))
    observation, *_ = env.step(Zoom(9.0, 10.0, 4.0))
    assert observation["num_frames"] == 12
    assert observation["frame_times"][6:12].tolist() == [1.0, 1.25, 9.0, 9.25, 9.5, 9.75]
    assert observation["frame_times"][12:].tolist() == [-1.0] * 6
    # 12 x 20 letterboxed to 64 x 64: 38 rows in the middle. The middle of frame i has the color (i, 255 - i, 7).
    middle = observation["frames"][:12, 32, 32].astype(int)
    index = [0, 8, 16, 24, 32, 40, 4, 5, 36, 37, 38, 39]
    np.testing.assert_array_equal(middle, [[i, 255 - i, 7] for i in index])
    assert not observation["frames"][12:].any()
    assert not observation["frames"][:, :13].any()
    assert not observation["frames"][:, -13:].any()
    assert observation["frames"][:12, 13:51].all(axis=(1, 2))[:, 2].all()


def test_compact_holds_the_latest_clip(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, observation="compact", budget=small)
    first, _ = env.reset()
    assert first["frames"].shape == (6, 64, 64, 3)
    assert first["num_frames"] == 6
    zoomed, *_ = env.step(Zoom(1.0, 2.0, 4.0))
    assert zoomed["num_frames"] == 4
    assert zoomed["frame_times"].tolist() == [1.0, 1.25, 1.5, 1.75, -1.0, -1.0]
    assert not zoomed["frames"][4:].any()
    refused, *_ = env.step(Zoom(2.0, 1.0, 4.0))
    np.testing.assert_array_equal(refused["frames"], zoomed["frames"])


def test_compact_has_room_for_the_larger_kind_of_clip(small: Budget) -> None:
    module = CompactObservation()
    assert module.capacity(small) == 6
    assert module.capacity(Budget(overview_frames=2, clip_frames=9)) == 9


def test_the_dialogue_module_has_no_frames(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, observation="dialogue", budget=small)
    observation, _ = env.reset()
    assert set(observation) == {"budget_left", "dialogue"}
    assert observation["budget_left"].tolist() == [3, 12, 4]
    assert observation["budget_left"].dtype == np.int32


def test_no_overview_leaves_the_frames_empty(task: VideoTask, small: Budget) -> None:
    for name in ("default", "compact"):
        env = VideoZoomEnv(task, observation=name, budget={**small.to_dict(), "overview_frames": 0, "max_zooms": 0})
        observation, _ = env.reset()
        assert env.observation_space.contains(observation)
        assert observation["num_frames"] == 0
        assert not observation["frames"].any()


def test_the_dialogue_grows_with_each_turn(env: VideoZoomEnv) -> None:
    actions = (Zoom(1.0, 2.0, 4.0), Zoom(3.0, 2.0, 4.0), Answer("à droite"))
    seen = [env.reset()[0]["dialogue"], *(env.step(action)[0]["dialogue"] for action in actions)]
    assert "Où est l'été? 日本" in seen[0]
    assert "B. à droite" in seen[0]
    assert all(later.startswith(earlier) and later != earlier for earlier, later in itertools.pairwise(seen))
    assert seen[-1].endswith("assistant: à droite")


def test_an_over_long_dialogue_loses_its_middle(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, observation={"name": "dialogue", "max_dialogue": 120}, budget=small)
    whole = VideoZoomEnv(task, observation="dialogue", budget=small)
    for action in (None, Zoom(1.0, 2.0, 4.0)):
        cut = (env.reset() if action is None else env.step(action))[0]["dialogue"]
        full = (whole.reset() if action is None else whole.step(action))[0]["dialogue"]
        assert len(cut) == 120
        head, tail = cut.split(f"\n{MARK}\n")
        assert full.startswith(head)
        assert full.endswith(tail)
        assert abs(len(head) - len(tail)) <= 1
        assert env.observation_space.contains({"budget_left": np.zeros(3, np.int32), "dialogue": cut})


@given(st.lists(st.text(max_size=60), max_size=4), st.integers(1, 150))
def test_dialogues_keep_both_ends_at_any_length(texts: list[str], length: int) -> None:
    messages = [Message.from_text("user", text) for text in texts]
    full = dialogue_text(messages, 10_000)
    cut = dialogue_text(messages, length)
    assert full == "\n".join(f"user: {text}" for text in texts)
    assert len(cut) <= length
    if len(full) <= length:
        assert cut == full
    elif length > len(MARK) + 4:
        assert MARK in cut
        assert cut[0] == full[0]
        assert cut[-1] == full[-1]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (10, 90), (90, 10)])
def test_frames_fit_whatever_the_videos_shape(
    small: Budget, make_task: Callable[..., VideoTask], height: int, width: int
) -> None:
    observation = {"name": "default", "frame_size": (24, 40)}
    env = VideoZoomEnv(make_task(height=height, width=width), observation=observation, budget=small)
    seen, _ = env.reset()
    assert env.observation_space.contains(seen)
    lit = seen["frames"][:6].any(axis=(0, 3))
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    # One side fills its length, the other keeps the aspect; both are centered.
    scale = min(24 / height, 40 / width)
    assert len(rows) == max(1, round(height * scale))
    assert len(columns) == max(1, round(width * scale))
    assert abs(rows[0] - (23 - rows[-1])) <= 1
    assert abs(columns[0] - (39 - columns[-1])) <= 1
