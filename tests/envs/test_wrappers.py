"""Wrappers and modules that people expect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from vzgym.core.actions import Answer, Zoom
from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.envs import ContinuousAction, FlatObservation, VideoZoomEnv
from vzgym.envs.flat import word_ids
from vzgym.envs.wrappers import DropDialogue, FixedFps, RecordEpisodes, RelativeTime, fewer_frames
from vzgym.episode import Episode
from vzgym.episode.runs import read_records
from vzgym.tasks import load_tasks
from vzgym.testing import check_action


def tiny(**settings) -> VideoZoomEnv:
    return VideoZoomEnv("needle-tiny/test", **settings)


def test_fixed_fps_changes_the_rate_and_nothing_else() -> None:
    env = tiny(action=FixedFps(3.0))
    env.reset(seed=0)
    env.step((0, np.array([4.0, 6.0, 1.0])))
    assert env.record.turns[0].action == Zoom(4.0, 6.0, 3.0)
    env.step((1, "B"))
    assert env.record.turns[1].action == Answer("B")
    assert check_action(lambda: FixedFps(3.0)).ok
    with pytest.raises(InvalidSetting, match="FixedFps: fps must be a finite number > 0, got 0"):
        FixedFps(0.0)
    with pytest.raises(InvalidSetting, match="FixedFps: fps must be a finite number > 0, got '3'"):
        FixedFps("3")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="FixedFps: no zoom at fps 11 is possible under a budget with max_fps=10"):
        tiny(action=FixedFps(11.0))


def test_fewer_frames_makes_a_smaller_budget() -> None:
    env = tiny()
    small = fewer_frames(env, overview=4, clip=3)
    seen, _ = small.reset(seed=0)
    assert seen["num_frames"] == 4
    assert small.budget.clip_frames == 3
    assert env.budget.overview_frames == 16
    with pytest.raises(InvalidSetting, match="clip_frames 99"):
        fewer_frames(env, clip=99)


def test_relative_time_is_a_share_of_the_video() -> None:
    plain, wrapped = tiny(), RelativeTime(tiny())
    first, _ = plain.reset(seed=0)
    second, _ = wrapped.reset(seed=0)
    assert np.allclose(second["frame_times"][:16], first["frame_times"][:16] / 64.0)
    assert (second["frame_times"][16:] == -1).all()
    assert wrapped.observation_space.contains(second)
    with pytest.raises(InvalidSetting, match="frame_times"):
        RelativeTime(tiny(observation="dialogue"))


def test_drop_dialogue_leaves_arrays() -> None:
    env = DropDialogue(tiny(observation="compact"))
    seen, _ = env.reset(seed=0)
    assert "dialogue" not in seen
    assert env.observation_space.contains(seen)
    with pytest.raises(InvalidSetting, match="dialogue"):
        DropDialogue(tiny(observation="flat"))


def test_records_can_be_read_again(tmp_path: Path) -> None:
    env = RecordEpisodes(DropDialogue(tiny()), tmp_path / "runs" / "records.jsonl", every=2)
    for seed in range(3):
        env.reset(seed=seed)
        env.step(Zoom(1.0, 2.0, 2.0))
        env.step(Answer("A"))
    records = list(read_records(tmp_path / "runs" / "records.jsonl"))
    assert len(records) == 2
    assert [len(record.turns) for record in records] == [2, 2]
    assert all(record.rewards for record in records)
    with pytest.raises(InvalidSetting, match="every"):
        RecordEpisodes(tiny(), tmp_path / "x.jsonl", every=0)


def test_a_wrapper_needs_our_environment(tmp_path: Path) -> None:
    other = RecordEpisodes(gymnasium.make("CartPole-v1"), tmp_path / "x.jsonl")
    other.reset(seed=0)
    with pytest.raises(InvalidSetting, match="VideoZoomEnv"):  # noqa: PT012 - which step is the last is CartPole's
        while not other.step(0)[2]:
            pass


# The flat observation and the continuous action ----------------------------------------------------------------------


def test_words_are_numbers_that_do_not_depend_on_the_process() -> None:
    assert word_ids("Red, red!", 4, 4096).tolist() == [*[word_ids("red", 1, 4096)[0]] * 2, 0, 0]
    assert word_ids("red", 1, 4096).tolist() == [1696]
    assert len(set(word_ids("red green blue yellow pink white", 6, 4096).tolist())) == 6
    assert word_ids("", 3, 10).tolist() == [0, 0, 0]


def test_the_flat_observation_holds_every_frame_and_its_share_of_the_video() -> None:
    env = tiny(observation={"name": "flat", "max_options": 5})
    seen, _ = env.reset(seed=0)
    assert seen["frames"].shape == (40, 16, 16, 3)
    assert np.allclose(seen["frame_times"][:16], np.arange(16) / 16)
    env.step(Zoom(5.0, 4.0, 2.0))
    seen = env.step(Zoom(4.0, 6.0, 2.0))[0]
    assert np.allclose(seen["frame_times"][16:20], (4 + np.arange(4) / 2) / 64)
    assert seen["frame_rounds"][14:22].tolist() == [0, 0, 1, 1, 1, 1, -1, -1]
    assert np.allclose(seen["left"], [1 / 3, 1 / 3, 1 / 2])
    assert (seen["options"][:4, 0] > 0).all()
    assert (seen["options"][4] == 0).all()
    assert seen["duration"] == [64.0]
    with pytest.raises(InvalidSetting, match="at most 3 options"):
        tiny(observation=FlatObservation(max_options=3)).reset(seed=0)


def test_every_continuous_value_is_a_zoom_that_is_carried_out() -> None:
    for suite in ("needle-tiny/test", "needle/test", "needle-micro/test"):
        tasks = load_tasks(suite)
        module, rng = ContinuousAction(max_options=8), np.random.default_rng(0)
        for corner in [*rng.uniform(-1, 1, (40, 3)), *np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)]:
            episode = Episode(tasks[0], tasks.budget, module.wording)
            move = module.decode(np.concatenate([[-1.0], corner, np.zeros(8)]), episode)
            assert episode.step(move.action).outcome == "executed", move
            assert 1 <= len(episode.record.clips[-1]) <= tasks.budget.clip_frames


def test_the_highest_score_among_the_options_is_answered() -> None:
    env = tiny(action="continuous")
    env.reset(seed=0)
    scores = np.array([0.1, 0.3, 0.9, 0.2, 1.0, 1.0, 1.0, 1.0])  # the question has four options
    env.step(np.concatenate([[0.0, 0, 0, 0], scores]))
    assert env.record.answer == "C"
    env.reset(seed=0)
    with pytest.raises(ActionTypeError, match="array of 12 finite numbers"):
        env.step(np.full(12, np.nan))


@pytest.mark.parametrize("id", ["VideoZoomTiny-v0", "VideoZoomTinyArrays-v0"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: gymnasium.wrappers.FrameStackObservation(env, 3),
        lambda env: gymnasium.wrappers.FrameStackObservation(env, 3, padding_type="zero"),
        lambda env: gymnasium.wrappers.DelayObservation(env, 2),
        gymnasium.wrappers.FlattenObservation,
        lambda env: gymnasium.wrappers.FilterObservation(env, ["frames", "frame_times"]),
        lambda env: gymnasium.wrappers.TimeAwareObservation(gymnasium.wrappers.TimeLimit(env, 4)),
        lambda env: gymnasium.wrappers.StickyAction(env, 0.5),
        gymnasium.wrappers.Autoreset,
        gymnasium.wrappers.NormalizeReward,
        gymnasium.wrappers.RecordEpisodeStatistics,
    ],
)
def test_gymnasiums_wrappers_work(id: str, wrap: Callable[[gymnasium.Env], gymnasium.Env]) -> None:
    env = wrap(gymnasium.make(id))
    env.action_space.seed(0)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    for _ in range(4):
        observation, _, terminated, _, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        if terminated and not isinstance(env, gymnasium.wrappers.Autoreset):
            env.reset()
