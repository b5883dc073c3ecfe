"""Common wrappers and modules: fixed frame rate, fewer frames, relative time, recording, no dialogue."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from vzgym.core.actions import Zoom, Zooms
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import append_json_line
from vzgym.envs.actions import ACTIONS, ActionModule, DecodedAction, decode
from vzgym.envs.options import need_budget_rates, need_count, need_rate
from vzgym.envs.video_zoom import ModuleSpec, VideoZoomEnv
from vzgym.episode.episode import Episode
from vzgym.episode.wording import Wording

__all__ = ["DropDialogue", "FixedFps", "RecordEpisodes", "RelativeTime", "fewer_frames"]


class FixedFps:
    """Action module that sets the frame rate of every zoom of the wrapped module.

    Args:
        fps: Frames a second, finite and > 0.
        action: The wrapped module: name, mapping or object.

    Raises:
        InvalidSetting: If `fps` is not such a number; from `space`, if the budget allows no zoom at that rate.
    """

    def __init__(self, fps: float, action: ModuleSpec | ActionModule = "default") -> None:
        need_rate("FixedFps", "fps", fps)
        self.fps = float(fps)
        self.inner: ActionModule = ACTIONS.make(action)

    @property
    def wording(self) -> Wording:
        """The wrapped module's wording."""
        return self.inner.wording

    def space(self, budget: Any) -> gymnasium.Space[Any]:
        """The wrapped module's space."""
        need_budget_rates("FixedFps", "fps", [self.fps], budget)
        return self.inner.space(budget)

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        """Decode with the wrapped module, then set the frame rate."""
        move = decode(self.inner, value, episode)
        match move.action:
            case Zoom() as zoom:
                return move._replace(action=replace(zoom, fps=self.fps))
            case Zooms(zooms):
                return move._replace(action=Zooms(tuple(replace(zoom, fps=self.fps) for zoom in zooms)))
        return move


def fewer_frames(env: VideoZoomEnv, overview: int | None = None, clip: int | None = None) -> VideoZoomEnv:
    """Make the same environment with a smaller frame budget.

    Args:
        env: The environment; it is not changed.
        overview: Most frames of the overview; unchanged if None.
        clip: Most frames of a zoom; unchanged if None.

    Raises:
        InvalidSetting: If a number is larger than before: the tasks' guarantees might no longer hold.
    """
    before = env.budget
    wanted = {
        "overview_frames": before.overview_frames if overview is None else overview,
        "clip_frames": before.clip_frames if clip is None else clip,
    }
    for name, count in wanted.items():
        if count > getattr(before, name):
            raise InvalidSetting(f"fewer_frames: {name} {count} is more than before ({getattr(before, name)})")
    return VideoZoomEnv(
        env.tasks,
        observation=env.observation,
        action=env.action,
        reward=env.reward,
        budget=replace(before, **wanted),  # type: ignore[arg-type]  # both are integers
        render_mode=env.render_mode,
        messages=env.with_messages,
    )


class RelativeTime(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Converts `frame_times` to shares of the video, in [0, 1]; unused places stay -1.

    Args:
        env: An environment whose observation has `frame_times` in seconds (`default`, `compact`).

    Raises:
        InvalidSetting: If the observation has no such key.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Dict) or "frame_times" not in space.spaces:
            raise InvalidSetting("RelativeTime needs an observation with frame_times: 'default' or 'compact'")
        shape = space["frame_times"].shape
        self.observation_space = Dict({**space.spaces, "frame_times": Box(-1.0, 1.0, shape, np.float64)})

    def observation(self, observation: Any) -> Any:
        """Convert the times."""
        times: NDArray[np.float64] = observation["frame_times"]
        duration = _zoom_env(self).record.task.duration
        return {**observation, "frame_times": np.where(times >= 0, np.clip(times / duration, 0.0, 1.0), -1.0)}


class DropDialogue(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Removes the dialogue from a `Dict` observation, which leaves arrays and numbers.

    Args:
        env: An environment whose observation has `dialogue`.

    Raises:
        InvalidSetting: If the observation has no such key.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Dict) or "dialogue" not in space.spaces:
            raise InvalidSetting("DropDialogue needs an observation with a dialogue, such as 'default' or 'compact'")
        self.observation_space = Dict({key: part for key, part in space.spaces.items() if key != "dialogue"})

    def observation(self, observation: Any) -> Any:
        """Remove the dialogue."""
        return {key: value for key, value in observation.items() if key != "dialogue"}


class RecordEpisodes(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Appends the record of each finished episode to a JSON-lines file, for `vzgym replay` and `vzgym rewards`.

    Args:
        env: A `VideoZoomEnv`, wrapped or not.
        path: The file; its folder is created.
        every: Record every n-th episode, starting with the first.

    Raises:
        InvalidSetting: If `every` is not an integer >= 1.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], path: str | os.PathLike[str], every: int = 1) -> None:
        super().__init__(env)
        need_count("RecordEpisodes", "every", every)
        self.path = Path(path)
        self.every = every
        self._finished = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the wrapped environment, and write the record when the episode ends."""
        came = self.env.step(action)
        if came[2] or came[3]:
            if self._finished % self.every == 0:
                # Environments of a vector, each in its own process, may share the file.
                append_json_line(self.path, _zoom_env(self).record.to_json(), shared=True)
            self._finished += 1
        return came


def _zoom_env(wrapper: gymnasium.Env[Any, Any]) -> VideoZoomEnv:
    env = wrapper.unwrapped
    if not isinstance(env, VideoZoomEnv):
        raise InvalidSetting(f"this wrapper is for VideoZoomEnv, got {type(env).__name__}")
    return env
