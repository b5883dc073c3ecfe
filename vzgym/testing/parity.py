"""Parity of interfaces: the same executed actions give the same clips, codes, rewards and grades through each of them.

An interface is a way to play an `Episode`: gymnasium, Stable-Baselines3, PettingZoo, plain text, TRL's tool loop. To
add one, implement `Interface`: play a script and return the record.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np

from vzgym.agents.data.phrases import compose
from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.base import PROTOCOLS
from vzgym.rewards.making import make_reward
from vzgym.tasks import VideoTask
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, RuleResult

__all__ = ["INTERFACES", "Interface", "Script", "Trace", "check_parity", "scripts"]


@dataclass(frozen=True)
class Script:
    """A fixed sequence of actions on one task, played through every interface.

    Args:
        name: For the report.
        task: The task.
        budget: The episode's budget.
        actions: Zooms into equal parts of the video, and an answer by letter: actions that every interface supports.
        windows: Number of equal parts, the grid of interfaces that have one.
        fps: Frame rate of the zooms.
        reward: The reward.
    """

    name: str
    task: VideoTask
    budget: Budget
    actions: Sequence[Zoom | Answer]
    windows: int
    fps: float
    reward: Mapping[str, float]


@dataclass(frozen=True)
class Trace:
    """The facts of an episode that must be the same through every interface.

    Attributes:
        clips: Times and frame hashes of each clip, the overview first.
        turns: Each turn's outcome and refusal code.
        rewards: Each turn's raw value of each reward term.
        end: How the episode ended, and how it was graded.
    """

    clips: tuple[tuple[tuple[float, ...], tuple[str, ...]], ...]
    turns: tuple[tuple[str, str], ...]
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
            tuple((str(turn.outcome), str(turn.refusal or "")) for turn in record.turns),
            rewards,
            (str(record.end), str(record.grade.status) if record.grade else ""),
        )


class Interface(Protocol):
    """A way to play an episode.

    Attributes:
        name: For the report.
        needs: Packages that it requires.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """See the class."""
        ...

    def play(self, script: Script) -> EpisodeRecord:
        """Play a script to its end and return the record."""
        ...


class EngineInterface:
    """The engine, called directly."""

    name = "engine"
    needs: tuple[str, ...] = ()

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        return scenes.play(script.task, list(script.actions), script.budget).record


class GymnasiumInterface:
    """`VideoZoomEnv` with its default modules, through `gymnasium.make`."""

    name = "gymnasium"
    needs: tuple[str, ...] = ()

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        made = gymnasium.make("VideoZoomTiny-v0", tasks=[script.task], budget=script.budget, reward=dict(script.reward))
        with closing(made) as env:
            env.reset(seed=0)
            for action in script.actions:
                match action:
                    case Zoom(start, end, fps):
                        env.step((0, np.array([start, end, fps])))
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
        )
        with closing(env):
            env.reset(seed=0)
            for action in script.actions:
                env.step(compose(spoken, action, "Look, then say."))
            return env.record


def grid_index(script: Script, action: Zoom | Answer) -> int:
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


def _team_actions(script: Script, action: Zoom | Answer, messages: int) -> dict[str, int]:
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

    def play(self, script: Script) -> EpisodeRecord:
        """See `Interface.play`."""
        from vzgym.agents.training.tool_environment import ToolEnvironment, finish_rollout, opening_row
        from vzgym.tasks import TaskList

        protocol = PROTOCOLS.make("tags")
        tasks = TaskList([script.task], budget=script.budget)
        environment = ToolEnvironment(tasks, script.budget, protocol)
        opening = opening_row(Episode(script.task, script.budget, protocol).messages)
        environment.reset(opening, task=0)
        completion: list[dict[str, Any]] = []
        for action in script.actions:
            said = compose(protocol, action, "Look, then say.")
            completion.append({"role": "assistant", "content": said})
            if isinstance(action, Zoom):
                completion.append({"role": "tool", "content": environment.video_zoom(said)})
        return finish_rollout(environment, completion)


INTERFACES: tuple[Interface, ...] = (
    EngineInterface(),
    GymnasiumInterface(),
    TextInterface("tags"),
    TextInterface("compact_tags"),
    SB3Interface(),
    PettingZooInterface(),
    AECInterface(),
    TRLInterface(),
)
"""Every interface of the package; the others are compared with the first."""


def scripts() -> list[Script]:
    """Scripts on tiny tasks: right and wrong answers, refused zooms, a zoom in the last round."""
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
        plans: dict[str, tuple[float, list[Zoom | Answer]]] = {
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
    return made


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
        faults = [fault for script in chosen if (fault := _compare(interface, script, wanted[script.name]))]
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
