"""Parity of interfaces: the same executed actions give the same clips, codes, rewards and grades through each of them.

An interface is a way to play an `Episode`: gymnasium, Stable-Baselines3, PettingZoo, plain text, TRL's tool loop. To
add one, implement `Interface`: play a script and return the record.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import gymnasium
import numpy as np

from vzgym.agents.data.phrases import compose
from vzgym.core.actions import Answer, Region, ToolCall, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.arguments import arguments_of
from vzgym.protocols.base import PROTOCOLS
from vzgym.protocols.tool_calls import TOOL_NAME, turn_text
from vzgym.rewards.making import make_reward
from vzgym.tasks import Subtitle, VideoTask
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, RuleResult
from vzgym.tools.extras import Extras

__all__ = ["INTERFACES", "Interface", "Script", "Trace", "check_parity", "scripts"]


@dataclass(frozen=True)
class Script:
    """A fixed sequence of actions on one task, played through every interface.

    Args:
        name: For the report.
        task: The task.
        budget: The episode's budget.
        actions: Zooms, tool calls, and an answer by letter.
        windows: Number of equal parts of the video, the grid of interfaces that have one.
        fps: Frame rate of the zooms on the grid.
        reward: The reward.
        on_grid: Whether each action is a single zoom into an equal part of the video, or an answer: actions that every
            interface supports. Interfaces with a grid leave out the others.
        extras: Tools, and subtitles in the dialogue.
    """

    name: str
    task: VideoTask
    budget: Budget
    actions: Sequence[Zoom | Zooms | ToolCall | Answer]
    windows: int
    fps: float
    reward: Mapping[str, float]
    on_grid: bool = True
    extras: Extras = field(default_factory=Extras)


@dataclass(frozen=True)
class Trace:
    """The facts of an episode that must be the same through every interface.

    Attributes:
        clips: Times and frame hashes of each clip, the overview first.
        turns: Each turn's outcome and refusal code, and the text of a tool.
        rewards: Each turn's raw value of each reward term.
        end: How the episode ended, and how it was graded.
    """

    clips: tuple[tuple[tuple[float, ...], tuple[str, ...]], ...]
    turns: tuple[tuple[str, str, str], ...]
    rewards: tuple[tuple[tuple[str, float | None], ...], ...]
    end: tuple[str, str]

    @classmethod
    def of(cls, record: EpisodeRecord, reward: Mapping[str, float]) -> Trace:
        """The trace of a finished record. Without a reward ledger, the record is scored afterwards."""
        ledger = record.rewards or [step.to_json() for step in make_reward(reward).score_all(record)]
        rewards = tuple(
            tuple((name, term["value"]) for name, term in sorted(entry["terms"].items())) for entry in ledger
        )
        return cls(
            tuple((tuple(clip.times.tolist()), clip.hashes) for clip in record.clips),
            tuple((str(turn.outcome), str(turn.refusal or ""), turn.reply) for turn in record.turns),
            rewards,
            (str(record.end), str(record.grade.status) if record.grade else ""),
        )


class Interface(Protocol):
    """A way to play an episode.

    Attributes:
        name: For the report.
        needs: Packages that it requires.
        has_grid: Whether it has single zooms on a grid only.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """See the class."""
        ...

    @property
    def has_grid(self) -> bool:
        """See the class."""
        ...

    def play(self, script: Script) -> EpisodeRecord:
        """Play a script to its end and return the record."""
        ...


class EngineInterface:
    """The engine, called directly."""

    name = "engine"
    needs: tuple[str, ...] = ()
    has_grid = False

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        episode = script.extras.episode(script.task, script.budget)
        for action in script.actions:
            episode.step(action)
        return episode.record


class GymnasiumInterface:
    """`VideoZoomEnv` with its default modules, through `gymnasium.make`."""

    name = "gymnasium"
    needs: tuple[str, ...] = ()
    has_grid = False

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        settings: dict[str, Any] = {"tasks": [script.task], "budget": script.budget, "reward": dict(script.reward)}
        made = gymnasium.make("VideoZoomTiny-v0", **settings, **_extras(script))
        with closing(made) as env:
            env.reset(seed=0)
            for action in script.actions:
                match action:
                    case Zoom(start, end, fps, None, None):
                        env.step((0, np.array([start, end, fps])))
                    case Zoom() | Zooms() | ToolCall():
                        env.step(action)
                    case Answer(text):
                        env.step((1, text))
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

    def __init__(self, protocol: str = "tags") -> None:
        self.protocol = protocol
        self.name = f"text ({protocol})"

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        spoken = PROTOCOLS.make(self.protocol)
        env = VideoZoomEnv(
            [script.task],
            observation="dialogue",
            action={"name": "text", "protocol": self.protocol},
            reward=dict(script.reward),
            budget=script.budget,
            **_extras(script),
        )
        with closing(env):
            env.reset(seed=0)
            for action in script.actions:
                env.step(compose(spoken, action, "Look, then say.", env.episode.rules))
            return env.record


class NativeCallsInterface:
    """`VideoZoomEnv` with the messages of a server that returns native tool calls, parallel ones for several zooms."""

    name = "native tool calls"
    needs: tuple[str, ...] = ()
    has_grid = False

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        env = VideoZoomEnv(
            [script.task],
            observation="dialogue",
            action={"name": "text", "protocol": {"name": "tool_calls", "structured": True}},
            reward=dict(script.reward),
            budget=script.budget,
            **_extras(script),
        )
        with closing(env):
            env.reset(seed=0)
            for action in script.actions:
                env.step(turn_text({"reasoning_content": "Look, then say.", **_message(action)}))
            return env.record


def _extras(script: Script) -> dict[str, Any]:
    """The environment's arguments for the script's tools and subtitles."""
    return {"tools": script.extras.tools, "subtitles": script.extras.subtitles}


def _message(action: Zoom | Zooms | ToolCall | Answer) -> dict[str, Any]:
    """An action as the message of an OpenAI-compatible server."""
    match action:
        case Answer(text):
            return {"content": f"<answer>{text}</answer>"}
        case ToolCall(name, arguments):
            functions = [{"name": name, "arguments": json.dumps(dict(arguments))}]
        case Zoom() | Zooms():
            zooms = action.zooms if isinstance(action, Zooms) else (action,)
            functions = [{"name": TOOL_NAME, "arguments": json.dumps(arguments_of(zoom))} for zoom in zooms]
    return {"content": None, "tool_calls": [{"type": "function", "function": function} for function in functions]}


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

    def play(self, script: Script) -> EpisodeRecord:
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
        vector.reset()
        record = env.record
        for action in script.actions:
            vector.step(np.array([grid_index(script, action)]))
        vector.close()
        return record  # the vector environment has already started the next episode


class PettingZooInterface:
    """The team: the scout makes the zooms, the solver answers."""

    name = "pettingzoo"
    needs = ("pettingzoo",)
    has_grid = True

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.envs.pettingzoo_team import team_parallel_env

        env = team_parallel_env(**_team_settings(script))
        env.reset(seed=0)
        for action in script.actions:
            env.step(_team_actions(script, action, env.messages))
        return env.record


class AECInterface:
    """The team, turn by turn: in each round the scout acts first, then the solver."""

    name = "pettingzoo, turn by turn"
    needs = ("pettingzoo",)
    has_grid = True

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.envs.pettingzoo_team import team_aec_env

        env = team_aec_env(**_team_settings(script))
        env.reset(seed=0)
        team = env.unwrapped
        for action in script.actions:
            values = _team_actions(script, action, team.messages)
            for _ in values:
                env.step(values[env.agent_selection])
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

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.agents.training.tool_environment import ToolEnvironment, finish_rollout, opening_row
        from vzgym.tasks import TaskList

        protocol = PROTOCOLS.make("tags")
        tasks = TaskList([script.task], budget=script.budget)
        environment = ToolEnvironment(tasks, script.budget, protocol, script.extras)
        start = script.extras.episode(script.task, script.budget, protocol)
        rules = start.rules
        environment.reset(opening_row(start.messages), task=0)
        completion: list[dict[str, Any]] = []
        for action in script.actions:
            said = compose(protocol, action, "Look, then say.", rules)
            completion.append({"role": "assistant", "content": said})
            if not isinstance(action, Answer):
                completion.append({"role": "tool", "content": environment.video_zoom(said)})
        return finish_rollout(environment, completion)


INTERFACES: tuple[Interface, ...] = (
    EngineInterface(),
    GymnasiumInterface(),
    TextInterface("tags"),
    TextInterface("compact_tags"),
    TextInterface("tool_calls"),
    NativeCallsInterface(),
    SB3Interface(),
    PettingZooInterface(),
    AECInterface(),
    TRLInterface(),
)
"""Every interface of the package; the others are compared with the first."""


def scripts() -> list[Script]:
    """Scripts on tiny tasks: right and wrong answers, zooms of all kinds, refused ones, one in the last round."""
    budget = scenes.BUDGETS[0]
    reward = {"accuracy": 1.0, "format": 0.1, "conditional_tool": 0.5, "recall": 0.5, "frame_cost": 0.01}
    made = []
    for task in scenes.tasks():
        duration, windows = task.video.duration, 16
        step = duration / windows
        part = [Zoom(place * step, (place + 1) * step, 2.0) for place in range(windows)]
        letter = task.letter or "A"
        wrong = "B" if letter == "A" else "A"
        # 4 s at 4 fps are 16 frames, more than a clip of this budget holds.
        dense = Zoom(3 * step, 4 * step, 4.0)
        plans: dict[str, tuple[float, list[Zoom | Zooms | Answer]]] = {
            "two zooms, right": (2.0, [part[2], part[9], Answer(letter)]),
            "one zoom, wrong": (2.0, [part[15], Answer(wrong)]),
            "no zoom, right": (2.0, [Answer(letter)]),
            "refused, then wrong": (4.0, [dense, dense, Answer(wrong)]),
            "a zoom too many": (2.0, [part[0], part[0], part[1], part[2]]),
        }
        made += [
            Script(f"{task.category}: {name}", task, budget, actions, windows, fps, reward)
            for name, (fps, actions) in plans.items()
        ]
        made += _rich_scripts(task, part, letter, reward)
        made += _tool_scripts(task, part, letter, reward)
    return made


def _tool_scripts(task: VideoTask, part: Sequence[Zoom], letter: str, reward: Mapping[str, float]) -> list[Script]:
    """Scripts with tools, and with subtitles in the dialogue."""
    extras = Extras.make(["frame", {"name": "find_frames", "scorer": "histogram"}], "all")
    lines = tuple(Subtitle(4.0 * place, 4.0 * place + 3.0, f"Line {place}.") for place in range(4))
    told = replace(task, subtitles=lines)
    frame, find = ToolCall("frame", {"time": 5.0}), ToolCall("find_frames", {"text": "a red light", "end": 20.0})
    plans: dict[str, list[Zoom | Zooms | ToolCall | Answer]] = {
        "a search, a frame, right": [find, frame, Answer(letter)],
        "a frame and a zoom": [frame, part[1], Answer(letter)],
        "an unknown tool": [ToolCall("look", {"at": 5}), part[1], Answer(letter)],
        "wrong arguments": [ToolCall("frame", {"when": 5.0}), ToolCall("frame", {"time": -1.0}), Answer(letter)],
        "a call in the last round": [frame, frame, frame, frame],
    }
    return [
        Script(
            f"{task.category}: {name}", told, scenes.BUDGETS[0], actions, len(part), 2.0, reward,
            on_grid=False, extras=extras,
        )
        for name, actions in plans.items()
    ]  # fmt: skip


def _rich_scripts(task: VideoTask, part: Sequence[Zoom], letter: str, reward: Mapping[str, float]) -> list[Script]:
    """Scripts beyond the grid: several zooms in a turn, regions, sizes."""
    budget = replace(scenes.BUDGETS[0], max_pixels=2048, zooms_per_turn=2, zoom_max_pixels=4096, spatial=True)
    short = [replace(zoom, end=zoom.start + 1.5) for zoom in part]
    corner = Region(0.0, 0.0, 0.5, 0.5)
    plans: dict[str, list[Zoom | Zooms | Answer]] = {
        "two zooms in a turn": [Zooms((short[1], short[6])), Answer(letter)],
        "two zooms in a turn, then one": [Zooms((short[6], short[1])), part[6], Answer(letter)],
        "two zooms that are too many frames": [Zooms((part[1], part[6])), Answer(letter)],
        "one of two zooms is reversed": [Zooms((short[1], replace(short[6], end=0.0))), short[1], Answer(letter)],
        "three zooms where two are allowed": [Zooms((short[1], short[6], short[7])), Answer(letter)],
        "a larger picture": [replace(short[3], max_pixels=4096), Answer(letter)],
        "a larger picture of a region": [replace(short[3], max_pixels=4096, region=corner), Answer(letter)],
        "a smaller and a usual picture": [Zooms((replace(short[3], max_pixels=1024), short[4])), Answer(letter)],
        "a picture that is too large": [replace(short[3], max_pixels=4097), Answer(letter)],
        "two zooms in the last round": [short[0], Zooms((short[1], short[2])), short[3], Zooms((short[1], short[2]))],
    }
    return [
        Script(f"{task.category}: {name}", task, budget, actions, len(part), 2.0, reward, on_grid=False)
        for name, actions in plans.items()
    ]


def check_parity(
    interfaces: Sequence[Interface] = INTERFACES, plays: Sequence[Script] | None = None
) -> ConformanceReport:
    """Play every script through every interface, and compare the traces with the engine's.

    Args:
        interfaces: The interfaces; those with missing packages are reported as left out.
        plays: The scripts; `scripts()` if not given.
    """
    chosen = scripts() if plays is None else list(plays)
    wanted = {script.name: Trace.of(EngineInterface().play(script), script.reward) for script in chosen}
    results = []
    for interface in interfaces:
        missing = [package for package in interface.needs if importlib.util.find_spec(package) is None]
        rule = f"{interface.name} plays what the engine plays"
        if missing:
            results.append(RuleResult(rule, "left out", f"{', '.join(missing)} not installed"))
            continue
        plays = [script for script in chosen if script.on_grid or not interface.has_grid]
        faults = [fault for script in plays if (fault := _compare(interface, script, wanted[script.name]))]
        results.append(RuleResult(rule, "broken" if faults else "kept", "; ".join(faults[:3])))
    return ConformanceReport(f"{len(chosen)} scripts", "interfaces", tuple(results))


def _compare(interface: Interface, script: Script, wanted: Trace) -> str | None:
    found = Trace.of(interface.play(script), script.reward)
    for part in ("turns", "clips", "rewards", "end"):
        one, other = getattr(wanted, part), getattr(found, part)
        if one != other:
            place = scenes.differ(one, other, part) or part
            return f"{script.name!r} differs at {place:.200} (the engine's, then {interface.name}'s)"
    return None
