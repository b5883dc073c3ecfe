"""Scripts: fixed sequences of actions, played through every interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vzgym.core.actions import Answer, Region, ToolCall, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.tasks import Subtitle, VideoTask
from vzgym.testing import scenes
from vzgym.testing.parity.pixels import FPS, code_task
from vzgym.tools.extras import Extras

__all__ = ["Script", "code_scripts", "rollout_settings", "scripts"]


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


def rollout_settings(script: Script) -> dict[str, Any]:
    """The script's reward, budget, tools and subtitles as the settings of a trainer's roll-outs: JSON values."""
    extras = script.extras
    return {
        "reward": dict(script.reward),
        "budget": script.budget.to_dict(),
        **({"tools": extras.specs} if extras.tools else {}),
        **({} if extras.subtitles is None else {"subtitles": extras.subtitles}),
    }


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
        forced = replace(budget, min_zooms=1)
        plans = {
            "an answer before the required zoom, then right": (2.0, [Answer(wrong), part[2], Answer(letter)]),
            "no required zoom, right in the last round": (4.0, [dense, Answer(wrong), dense, Answer(letter)]),
        }
        made += [
            Script(f"{task.category}: {name}", task, forced, actions, windows, fps, reward)
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


def code_scripts() -> list[Script]:
    """Scripts on a video of bar codes, for the rule that the model sees the pixels."""
    task, budget, windows = code_task(), scenes.BUDGETS[0], 16
    step = task.video.duration / windows
    part = [Zoom(place * step, (place + 1) * step, FPS) for place in range(windows)]
    several = replace(budget, zooms_per_turn=2)
    short = [replace(zoom, end=zoom.start + 1.5) for zoom in part]
    reward = {"accuracy": 1.0}
    extras = Extras.make(["frame"])
    frame = ToolCall("frame", {"time": 5.0})
    return [
        Script("bar codes: two zooms", task, budget, [part[2], part[9], Answer("B")], windows, FPS, reward),
        Script("bar codes: no answer", task, budget, [part[15], part[0], part[0], part[1]], windows, FPS, reward),
        Script(
            "bar codes: two zooms in a turn", task, several, [Zooms((short[6], short[1])), Answer("B")], windows, FPS,
            reward, on_grid=False,
        ),
        Script(
            "bar codes: a frame by a tool", task, budget, [frame, part[1], Answer("B")], windows, FPS, reward,
            on_grid=False, extras=extras,
        ),
    ]  # fmt: skip
