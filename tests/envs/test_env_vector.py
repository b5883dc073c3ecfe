"""Plain `gymnasium.make_vec`: sync and async, shared memory, autoreset, text that changes.

Workers start slowly, so there are few of them, each asked several things.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv

from vzgym.core.actions import Answer, Zoom
from vzgym.core.errors import UnknownName, VideoError
from vzgym.envs import ResetNeeded
from vzgym.tasks import VideoTask
from vzgym.testing.contracts.backends import write_numbered
from vzgym.video.barcode import read_barcode

NEXT, SAME, OFF = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED

# Two environments, six steps: a zoom, a refused one, an answer, and what comes after each end.
SCRIPT: list[tuple[Any, Any]] = [
    ((0, [4.0, 5.0, 4.0]), (0, [1.0, 1.5, 4.0])),
    ((0, [5.0, 4.0, 4.0]), (1, "à droite, 日本 🎬")),
    ((0, [7.0, 8.0, 4.0]), (0, [2.0, 2.5, 2.0])),
    ((1, "B"), (0, [3.0, 3.5, 2.0])),
    ((0, [9.0, 10.0, 1.0]), (0, [4.0, 4.5, 2.0])),
    ((0, [9.0, 10.0, 2.0]), (1, "é")),
]


@pytest.fixture
def tasks(make_task: Callable[..., VideoTask]) -> list[VideoTask]:
    return [make_task("un", question="Où est l'été ?"), make_task("deux", question="日本はどこですか?")]


@contextmanager
def vector(tasks: list[VideoTask], small: Any, mode: str, envs: int = 2, **vector_kwargs: Any) -> Iterator[VectorEnv]:
    made = gymnasium.make_vec(
        "VideoZoomTiny-v0",
        num_envs=envs,
        vectorization_mode=mode,
        vector_kwargs=vector_kwargs,
        tasks=tasks,
        budget=small,
        observation={"name": "default", "frame_size": (16, 16)},
    )
    try:
        yield made
    finally:
        made.close()


def play(env: VectorEnv) -> list[Any]:
    return [copy.deepcopy(env.reset(seed=11)), *(copy.deepcopy(env.step(actions)) for actions in SCRIPT)]


def same(one: Any, two: Any) -> bool:
    """Equal in value; infos hold object arrays of texts and tuples."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, np.ndarray) and one.dtype == object:
        return all(same(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return data_equivalence(one, two, exact=True)


@pytest.mark.parametrize(
    ("autoreset", "settings"),
    [(NEXT, {}), (SAME, {}), (NEXT, {"copy": False}), (SAME, {"shared_memory": False})],
    ids=["next-step", "same-step", "no-copy", "no-shared-memory"],
)
def test_async_gives_what_sync_gives(
    tasks: list[VideoTask], small: Any, autoreset: AutoresetMode, settings: dict[str, Any]
) -> None:
    with vector(tasks, small, "sync", autoreset_mode=autoreset) as env:
        expected = play(env)
    with vector(tasks, small, "async", autoreset_mode=autoreset, **settings) as env:
        assert env.metadata["autoreset_mode"] is autoreset
        found = play(env)
        if settings.get("copy", True):
            assert all(outcome[0] in env.observation_space for outcome in found)
    assert all(same(one, two) for one, two in zip(expected, found, strict=True))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_text_changes_from_step_to_step(tasks: list[VideoTask], small: Any, mode: str) -> None:
    with vector(tasks, small, mode) as env:
        dialogues = [outcome[0]["dialogue"] for outcome in play(env)]
    # Every new dialogue is another one, with its accents, and the first to end starts anew.
    for index in range(2):
        mine = [dialogue[index] for dialogue in dialogues]
        assert all(earlier != later for earlier, later in itertools.pairwise(mine))
        assert all("été" in text or "日本はどこ" in text for text in mine)
        assert all("B. à droite" in text for text in mine)
    assert "à droite, 日本 🎬" in dialogues[2][1]
    assert "日本 🎬" not in dialogues[3][1]
    assert "Not shown (reversed)" in dialogues[2][0]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_same_step_autoreset_keeps_the_last_observation(tasks: list[VideoTask], small: Any, mode: str) -> None:
    with vector(tasks, small, mode, autoreset_mode=SAME) as env:
        env.reset(seed=11)
        env.step(SCRIPT[0])
        observation, reward, terminated, _, info = env.step(SCRIPT[1])
        assert terminated.tolist() == [False, True]
        assert reward.tolist() == [0.0, 0.1]  # an answer in good form, but no option
        assert observation["dialogue"][1].endswith("Rounds left: 4.")
        assert info["final_obs"][1]["dialogue"].endswith("assistant: à droite, 日本 🎬")
        assert info["final_obs"][0] is None
        assert info["final_info"]["grade"][1] == "unreadable"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_next_step_autoreset_takes_a_step_of_its_own_which_ignores_its_action(
    tasks: list[VideoTask], small: Any, mode: str
) -> None:
    with vector(tasks, small, mode) as env:
        assert env.metadata["autoreset_mode"] is NEXT  # gymnasium's default, stated by the vector environment
        env.reset(seed=11)
        env.step(SCRIPT[0])
        observation, _, terminated, _, info = env.step(SCRIPT[1])
        assert terminated.tolist() == [False, True]
        assert observation["dialogue"][1].endswith("assistant: à droite, 日本 🎬")
        assert "final_obs" not in info
        observation, reward, terminated, truncated, info = env.step(SCRIPT[2])
        assert (reward[1], terminated[1], truncated[1]) == (0.0, False, False)
        assert observation["dialogue"][1].endswith("Rounds left: 4.")
        assert observation["num_frames"][1] == 6  # the overview alone: the zoom of this step was not carried out
        assert info["_outcome"].tolist() == [True, False]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_without_autoreset_the_ended_ones_are_reset_by_a_mask(tasks: list[VideoTask], small: Any, mode: str) -> None:
    with vector(tasks, small, mode, autoreset_mode=OFF) as env:
        assert env.metadata["autoreset_mode"] is OFF
        env.reset(seed=11)
        env.step(SCRIPT[0])
        before, _, terminated, truncated, _ = copy.deepcopy(env.step(SCRIPT[1]))
        assert terminated.tolist() == [False, True]
        after, info = env.reset(options={"reset_mask": terminated | truncated})
        assert after["dialogue"][0] == before["dialogue"][0]
        assert np.array_equal(after["frames"][0], before["frames"][0])
        assert after["dialogue"][1].endswith("Rounds left: 4.")
        assert info["_question"].tolist() == [False, True]
        observation, _, terminated, _, info = env.step(SCRIPT[2])
        assert not terminated.any()
        assert info["outcome"].tolist() == ["executed", "executed"]
        assert observation["budget_left"][:, 2].tolist() == [1, 3]


@pytest.mark.filterwarnings("ignore:.*ERROR")  # gymnasium also prints the worker's trace, as a warning
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_without_autoreset_a_step_after_the_end_is_an_error(tasks: list[VideoTask], small: Any, mode: str) -> None:
    with vector(tasks, small, mode, envs=1, autoreset_mode=OFF) as env:
        env.reset(seed=11)
        env.step(((1, "A"),))
        # In one process gymnasium itself objects, before the environment can.
        with pytest.raises(AssertionError if mode == "sync" else ResetNeeded):
            env.step(((1, "A"),))


def test_every_kind_of_action_goes_through_workers(tasks: list[VideoTask], small: Any) -> None:
    with vector(tasks, small, "async", envs=3) as env:
        env.reset(seed=0)
        actions: Any = (Zoom(4.0, 5.0, 4.0), (np.int64(0), np.array([1.0, 2.0, 2.0])), Answer("B"))
        observation, reward, terminated, _, info = env.step(actions)
        assert info["outcome"].tolist() == ["executed", "executed", "answered"]
        assert observation["num_frames"].tolist() == [10, 8, 6]
        assert (reward.tolist(), terminated.tolist()) == ([0.0, 0.0, 1.0], [False, False, True])
        env.action_space.seed(1)
        for _ in range(4):
            env.step(env.action_space.sample())


def test_workers_share_no_decoder(tmp_path: Path) -> None:
    # The parent has the file open before the workers fork: a shared position in it would mix up their frames.
    path = write_numbered(tmp_path / "numbered.mp4")
    task = VideoTask.from_file(str(path), "Which numbers?", ["1", "2"], "1")
    task.video.read(np.array([0.0, 4.9]))
    env = gymnasium.make_vec(
        "VideoZoom-v0",
        num_envs=3,
        vectorization_mode="async",
        tasks=task,
        observation={"name": "compact", "frame_size": (64, 96)},
    )
    env.reset(seed=0)
    starts = np.array([[0.5, 3.0, 1.0], [2.0, 1.5, 4.0], [4.0, 0.0, 2.0]])
    for row in starts:
        seen, *_, info = env.step(tuple(Zoom(start, start + 1.0, 12.0) for start in row))
        task.video.read(np.array([4.9, 0.0]))
        assert info["outcome"].tolist() == ["executed"] * 3
        for frames, start in zip(seen["frames"], row, strict=True):
            first = round(start * 12)
            assert [read_barcode(frame) for frame in frames[:12]] == list(range(first, first + 12))
    env.close()


def test_text_actions_and_masks_go_through_workers() -> None:
    for action, value in (("text", "<think>é</think><answer>A</answer>"), ("discrete", 128)):
        env = gymnasium.make_vec(
            "VideoZoomTiny-v0", num_envs=2, vectorization_mode="async", action=action, observation="dialogue"
        )
        env.reset(seed=0)
        if action == "discrete":
            workers: Any = env
            masks = workers.call("action_masks")
            assert [mask.tolist() for mask in masks] == [[True] * 132 + [False] * 4] * 2
        observation, _, terminated, _, info = env.step(
            np.array([value, value]) if action == "discrete" else (value,) * 2
        )
        assert terminated.all()
        assert info["end"].tolist() == ["answered"] * 2
        if action == "text":
            assert all(text.endswith(value) for text in observation["dialogue"])
        env.close()


@pytest.mark.filterwarnings("ignore:.*ERROR")  # gymnasium also prints the worker's trace, as a warning
def test_named_errors_come_out_of_workers(
    make_task: Callable[..., VideoTask], tasks: list[VideoTask], small: Any
) -> None:
    broken = [make_task("broken", breaks_at=0)]
    with vector(broken, small, "async", envs=1) as env, pytest.raises(VideoError, match="array:broken"):
        env.reset(seed=0)
    with vector(tasks, small, "async", envs=1) as env, pytest.raises(UnknownName, match="deux, un"):
        env.reset(options={"task": "trois"})


def test_an_unscored_step_does_not_spoil_its_neighbours(
    make_task: Callable[..., VideoTask], tasks: list[VideoTask], small: Any
) -> None:
    unknown = make_task("unknown", options=(), answer="")
    with vector([*tasks, unknown], small, "sync") as env:
        for seed in range(20):
            _, info = env.reset(seed=seed)
            if sorted(info["task_id"] == "unknown") == [False, True]:
                break
        open_one = int(np.flatnonzero(info["task_id"] == "unknown")[0])
        _, reward, *_, info = env.step(((1, "B"), (1, "B")))
        assert reward[open_one] == 0.0
        assert reward[1 - open_one] == 1.0
        assert info["reward_status"][open_one] == "unscored"
        assert info["reward_terms"]["accuracy"]["value"][1 - open_one] == 1.0


def test_masks_of_a_vector_are_in_info_and_by_call() -> None:
    envs: Any = gymnasium.make_vec("VideoZoomTinyArrays-v0", num_envs=3)
    _, infos = envs.reset(seed=0)
    masks = infos["action_mask"]
    assert masks.shape == (3, envs.single_action_space.n)
    assert masks.dtype == np.bool_
    assert np.array_equal(masks, np.stack(envs.unwrapped.call("action_masks")))
    for _ in range(4):
        *_, infos = envs.step(np.array([int(np.flatnonzero(mask)[0]) for mask in infos["action_mask"]]))
        assert np.array_equal(infos["action_mask"], np.stack(envs.unwrapped.call("action_masks")))
    envs.close()
