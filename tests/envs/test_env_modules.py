"""Observation, action and reward modules of one's own, in all the ways in which they can be given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env

from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, PluginError
from vzgym.envs import ACTIONS, OBSERVATIONS, DecodedAction, VideoZoomEnv
from vzgym.envs.wrappers import FixedFps
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.wording import PlainWording, Wording
from vzgym.rewards import REWARDS
from vzgym.rewards.base import Need, RewardContext
from vzgym.tasks import VideoTask


class MeanColor:
    """The mean color of the newest frame."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def space(self, budget: Budget) -> Space[Any]:
        return Box(0.0, 255.0 * self.scale, (3,), np.float64)

    def observe(self, episode: Episode) -> Any:
        newest = episode.record.clips[-1]
        assert newest.pixels is not None
        return self.scale * newest.pixels[-1].mean(axis=(0, 1))


class Halves:
    """0 and 1 zoom into a half of the video, 2 and 3 answer A and B."""

    wording: Wording = PlainWording()

    def space(self, budget: Budget) -> Space[Any]:
        return Discrete(4)

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        half = episode.record.task.duration / 2
        if value < 2:
            return DecodedAction(Zoom(value * half, (value + 1) * half, episode.budget.clip_frames / half))
        return DecodedAction(Answer("AB"[int(value) - 2]), text=f"option {value - 2}", well_formed=False)


class EarlyBird:
    """One over the round in which the answer came."""

    name: ClassVar[str] = "early_bird"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        return 1.0 / len(record.turns) if record.end else 0.0


def play(env: VideoZoomEnv) -> list[Any]:
    """Zooms into the second half, then answers B."""
    seen = [env.reset(seed=0)[0], *env.step(1)[:2]]
    seen += env.step(3)[:2]
    return seen


def expect(seen: list[Any]) -> None:
    first, zoomed, reward, _, last = seen
    assert first.tolist() == [40.0, 215.0, 7.0]
    assert zoomed.tolist() == [42.0, 213.0, 7.0]
    assert (reward, last) == (0.0, 0.5)


def test_modules_as_objects(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, observation=MeanColor(), action=Halves(), reward=EarlyBird(), budget=small)
    expect(play(env))
    assert env.record.turns[1].text == "option 1"
    assert not env.record.turns[1].well_formed


def test_modules_by_name(task: VideoTask, small: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (OBSERVATIONS, ACTIONS, REWARDS):
        registry.names()  # the built-in modules are registered on first use
        monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    OBSERVATIONS.register("test_mean_color", MeanColor)
    ACTIONS.register("test_halves", Halves)
    REWARDS.register("test_early_bird", EarlyBird)
    env = VideoZoomEnv(
        task, observation="test_mean_color", action="test_halves", reward="test_early_bird", budget=small
    )
    expect(play(env))
    env = VideoZoomEnv(
        task,
        observation={"name": "test_mean_color", "scale": 2.0},
        action={"name": "test_halves"},
        reward={"test_early_bird": 3.0, "frame_cost": 0.25},
        budget=small,
    )
    first, _zoomed, reward, _, last = play(env)
    assert first.tolist() == [80.0, 430.0, 14.0]
    assert (reward, last) == (-1.0, 1.5)


def test_modules_by_module_and_class(
    task: VideoTask, small: Budget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    (tmp_path / "my_video_modules.py").write_text(source.partition("def play")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    env = VideoZoomEnv(
        task,
        observation="my_video_modules:MeanColor",
        action={"name": "my_video_modules:Halves"},
        reward="my_video_modules:EarlyBird",
        budget=small,
    )
    expect(play(env))
    assert type(env.observation).__module__ == "my_video_modules"
    with pytest.raises(PluginError, match="MeanColour"):
        VideoZoomEnv(task, observation="my_video_modules:MeanColour", budget=small)
    monkeypatch.delitem(sys.modules, "my_video_modules")


def test_modules_through_gym_make(task: VideoTask) -> None:
    env = gymnasium.make("VideoZoomTiny-v0", observation=MeanColor(), action=Halves(), reward=[(EarlyBird(), 2.0)])
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    *_, info = env.step(2)
    assert info["reward_terms"] == {"early_bird": {"value": 1.0, "weight": 2.0, "status": "scored"}}


def test_a_module_with_masks_gives_the_environment_masks(task: VideoTask, small: Budget) -> None:
    class Masked(Halves):
        def mask(self, episode: Episode) -> np.ndarray:
            return np.array([episode.zooms_left > 0] * 2 + [True] * 2)

    env = VideoZoomEnv(task, action=Masked(), budget={**small.to_dict(), "max_zooms": 1})
    env.reset()
    assert env.action_masks().tolist() == [True, True, True, True]
    env.step(0)
    assert env.action_masks().tolist() == [False, False, True, True]


def test_half_a_module_is_refused(task: VideoTask) -> None:
    class Blind:
        def space(self, budget: Budget) -> Space[Any]:
            return Discrete(1)

    with pytest.raises(InvalidSetting, match="an object with observe, space"):
        VideoZoomEnv(task, observation=Blind())  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="an object with decode, space, wording"):
        VideoZoomEnv(task, action=Blind())  # type: ignore[arg-type]


class Returns(Halves):
    """Decodes every value to the same."""

    def __init__(self, decoded: Any) -> None:
        self.decoded = decoded

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        return self.decoded  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("decoded", "fault"),
    [
        (None, r"must return a DecodedAction\(action\), got None"),
        (Answer("A"), r"must return a DecodedAction\(action\), got Answer"),
        ((Answer("A"), None, True), r"must return a DecodedAction\(action\), got \("),
        (DecodedAction(Answer("A"), text=3), "must return a text or None as the text, got 3"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_action_module_that_decodes_to_something_else_is_named(decoded: Any, fault: str, wrapped: bool) -> None:
    module = Returns(decoded)
    env = VideoZoomEnv("needle-tiny/test", action=FixedFps(2.0, module) if wrapped else module)
    env.reset(seed=0)
    with pytest.raises(InvalidSetting, match=rf"^decode\(\) of action module Returns {fault}"):
        env.step(0)
    assert not env.record.turns
