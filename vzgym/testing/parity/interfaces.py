"""Interfaces in this process: the engine, gymnasium, Stable-Baselines3, PettingZoo, text, TRL's tool loop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import gymnasium
import numpy as np

from vzgym.agents.data.phrases import compose
from vzgym.core.actions import Answer, ToolCall, Zoom, Zooms
from vzgym.core.errors import InvalidSetting
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols import as_chat
from vzgym.protocols.arguments import arguments_of
from vzgym.protocols.base import PROTOCOLS
from vzgym.protocols.tool_calls import TOOL_NAME, turn_text
from vzgym.testing.parity.pixels import Seen
from vzgym.testing.parity.script import Script

__all__ = [
    "AECInterface",
    "EngineInterface",
    "GymnasiumInterface",
    "NativeCallsInterface",
    "PettingZooInterface",
    "SB3Interface",
    "TRLInterface",
    "TextInterface",
    "add_content",
    "add_frames",
    "message_of",
]


def add_content(content: str | Sequence[Mapping[str, Any]], seen: list[Seen] | None) -> None:
    """Add the content of a chat message with `PIL` images, as `as_chat` gives it, to what was seen."""
    if seen is None:
        return
    if isinstance(content, str):
        seen.append(content)
        return
    seen.extend(block["text"] if block["type"] == "text" else block["image"] for block in content)


def add_frames(observation: Mapping[str, Any], seen: list[Seen] | None, *, seconds: float = 1.0) -> None:
    """Add the frames of an observation that were not in the one before, each after its time, to what was seen.

    Args:
        observation: With `frames` and `frame_times`, whose unused places are negative.
        seen: What was seen before.
        seconds: What a time of 1 stands for.
    """
    if seen is None:
        return
    known = sum(not isinstance(item, str) for item in seen)
    times = observation["frame_times"]
    for place in range(known, int(np.sum(times >= 0))):
        seen += [f"{times[place] * seconds:.2f} s", observation["frames"][place]]


class EngineInterface:
    """The engine, called directly."""

    name = "engine"
    needs: tuple[str, ...] = ()
    has_grid = False
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        episode = script.extras.episode(script.task, script.budget)
        for action in script.actions:
            episode.step(action)
        for message in as_chat(episode.messages):
            add_content(message["content"], seen)
        return episode.record


class GymnasiumInterface:
    """`VideoZoomEnv` with its default modules, through `gymnasium.make`."""

    name = "gymnasium"
    needs: tuple[str, ...] = ()
    has_grid = False
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        settings: dict[str, Any] = {"tasks": [script.task], "budget": script.budget, "reward": dict(script.reward)}
        made = gymnasium.make("VideoZoomTiny-v0", **settings, **_extras(script))
        with closing(made) as env:
            observation, _ = env.reset(seed=0)
            add_frames(observation, seen)
            for action in script.actions:
                value: Any = action
                match action:
                    case Zoom(start, end, fps, None, None):
                        value = (0, np.array([start, end, fps]))
                    case Answer(text):
                        value = (1, text)
                observation, *_ = env.step(value)
                add_frames(observation, seen)
            zoom_env = env.unwrapped
            assert isinstance(zoom_env, VideoZoomEnv)
            return zoom_env.record


class TextInterface:
    """`VideoZoomEnv` with text, through a protocol.

    Args:
        protocol: Its name.
    """

    needs: tuple[str, ...] = ()
    has_grid = False
    shows_frames = True

    def __init__(self, protocol: str = "tags") -> None:
        self.protocol = protocol
        self.name = f"text ({protocol})"

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        spoken = PROTOCOLS.make(self.protocol)
        env = VideoZoomEnv(
            [script.task],
            observation="dialogue",
            action={"name": "text", "protocol": self.protocol},
            reward=dict(script.reward),
            budget=script.budget,
            messages=True,
            **_extras(script),
        )
        with closing(env):
            _, info = env.reset(seed=0)
            for action in script.actions:
                *_, info = env.step(compose(spoken, action, "Look, then say.", env.episode.rules))
            for message in info["messages"]:
                add_content(message["content"], seen)
            return env.record


class NativeCallsInterface:
    """`VideoZoomEnv` with the messages of a server that returns native tool calls, parallel ones for several zooms."""

    name = "native tool calls"
    needs: tuple[str, ...] = ()
    has_grid = False
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        env = VideoZoomEnv(
            [script.task],
            observation="dialogue",
            action={"name": "text", "protocol": {"name": "tool_calls", "structured": True}},
            reward=dict(script.reward),
            budget=script.budget,
            messages=True,
            **_extras(script),
        )
        with closing(env):
            _, info = env.reset(seed=0)
            for action in script.actions:
                *_, info = env.step(turn_text({"reasoning_content": "Look, then say.", **message_of(action)}))
            for message in info["messages"]:
                add_content(message["content"], seen)
            return env.record


def _extras(script: Script) -> dict[str, Any]:
    """The environment's arguments for the script's tools and subtitles."""
    return {"tools": script.extras.tools, "subtitles": script.extras.subtitles}


def message_of(action: Zoom | Zooms | ToolCall | Answer) -> dict[str, Any]:
    """An action as the message of an OpenAI-compatible server."""
    match action:
        case Answer(text):
            return {"content": f"<answer>{text}</answer>"}
        case ToolCall(name, arguments):
            functions = [{"name": name, "arguments": json.dumps(dict(arguments))}]
        case Zoom() | Zooms():
            zooms = action.zooms if isinstance(action, Zooms) else (action,)
            functions = [{"name": TOOL_NAME, "arguments": json.dumps(arguments_of(zoom))} for zoom in zooms]
    calls = [{"id": f"call{n}", "type": "function", "function": function} for n, function in enumerate(functions)]
    return {"content": None, "tool_calls": calls}


def grid_index(script: Script, action: Zoom | Zooms | ToolCall | Answer) -> int:
    """The discrete action's value for an action of the script.

    Raises:
        InvalidSetting: If the action is not on the grid.
    """
    duration = script.task.video.duration
    match action:
        case Zoom(start, _, fps) if fps == script.fps:
            window = round(start / duration * script.windows)
            if abs(window * duration / script.windows - start) < 1e-9:
                return window
        case Answer(text) if len(text) == 1:
            return script.windows + ord(text) - ord("A")
    raise InvalidSetting(f"{action} is not on the grid of {script.windows} windows at {script.fps} fps")


class SB3Interface:
    """The flat observation and the discrete action in a vector environment of Stable-Baselines3."""

    name = "stable-baselines3"
    needs = ("stable_baselines3",)
    has_grid = True
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        from stable_baselines3.common.vec_env import DummyVecEnv

        env = VideoZoomEnv(
            [script.task],
            observation="flat",
            action={"name": "discrete", "windows": script.windows, "fps": (script.fps,)},
            reward=dict(script.reward),
            budget=script.budget,
        )
        vector = DummyVecEnv([lambda: env])
        vector.seed(0)
        observations: Any = vector.reset()
        record = env.record
        duration = script.task.video.duration
        add_frames(_first_of(observations), seen, seconds=duration)
        for action in script.actions:
            observations, _, dones, infos = vector.step(np.array([grid_index(script, action)]))
            latest = infos[0]["terminal_observation"] if dones[0] else _first_of(observations)
            add_frames(latest, seen, seconds=duration)
        vector.close()
        return record  # the vector environment has already started the next episode


def _first_of(observations: Mapping[str, Any]) -> dict[str, Any]:
    """The observation of a vector environment's first environment."""
    return {name: value[0] for name, value in observations.items()}


class PettingZooInterface:
    """The team: the scout makes the zooms, the solver answers."""

    name = "pettingzoo"
    needs = ("pettingzoo",)
    has_grid = True
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.envs.pettingzoo_team import SCOUT, team_parallel_env

        env = team_parallel_env(**_team_settings(script))
        observations, _ = env.reset(seed=0)
        duration = script.task.video.duration
        add_frames(observations[SCOUT], seen, seconds=duration)
        for action in script.actions:
            observations, *_ = env.step(_team_actions(script, action, env.messages))
            add_frames(observations[SCOUT], seen, seconds=duration)
        return env.record


class AECInterface:
    """The team, turn by turn: in each round the scout acts first, then the solver."""

    name = "pettingzoo, turn by turn"
    needs = ("pettingzoo",)
    has_grid = True
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.envs.pettingzoo_team import SCOUT, team_aec_env

        env = team_aec_env(**_team_settings(script))
        env.reset(seed=0)
        team = env.unwrapped
        duration = script.task.video.duration
        add_frames(env.observe(SCOUT), seen, seconds=duration)
        for action in script.actions:
            values = _team_actions(script, action, team.messages)
            for _ in values:
                env.step(values[env.agent_selection])
            add_frames(env.observe(SCOUT), seen, seconds=duration)
        record: EpisodeRecord = team.record
        return record


def _team_settings(script: Script) -> dict[str, Any]:
    return {
        "tasks": [script.task],
        "action": {"name": "discrete", "windows": script.windows, "fps": (script.fps,)},
        "reward": dict(script.reward),
        "budget": script.budget,
    }


def _team_actions(script: Script, action: Zoom | Zooms | ToolCall | Answer, messages: int) -> dict[str, int]:
    """Each agent's action in a round: the scout zooms, or the solver answers."""
    from vzgym.envs.pettingzoo_team import SCOUT, SOLVER

    value = grid_index(script, action)
    if isinstance(action, Zoom):
        return {SCOUT: value, SOLVER: 0}
    return {SCOUT: 0, SOLVER: messages + value - script.windows}


class TRLInterface:
    """The tool environment of TRL's loop, called as the loop calls it."""

    name = "trl"
    needs = ("torch", "transformers", "trl")
    has_grid = False
    shows_frames = True
    ends_at_answer = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.agents.training.tool_environment import ToolEnvironment, finish_rollout, opening_row
        from vzgym.tasks import TaskList

        protocol = PROTOCOLS.make("tags")
        tasks = TaskList([script.task], budget=script.budget)
        environment = ToolEnvironment(tasks, script.budget, protocol, script.extras)
        start = script.extras.episode(script.task, script.budget, protocol)
        rules = start.rules
        add_content(environment.reset(opening_row(start.messages), task=0), seen)
        completion: list[dict[str, Any]] = []
        for action in script.actions:
            said = compose(protocol, action, "Look, then say.", rules)
            completion.append({"role": "assistant", "content": said})
            if not isinstance(action, Answer):
                completion.append({"role": "tool", "content": environment.video_zoom(said)})
                add_content(completion[-1]["content"], seen)
        return finish_rollout(environment, completion)
