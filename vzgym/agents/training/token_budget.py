"""The token budget of a training run: how many tokens an episode can take, checked against the limits.

Only the largest tasks are measured, on blank frames with the model's own processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.training.task_checks import blank_copy
from vzgym.agents.vlm.chat import chat_of, encode
from vzgym.agents.vlm.image_checks import frame_tokens
from vzgym.core.actions import Malformed, ToolCall, Zoom, Zooms
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import InvalidSetting
from vzgym.episode.tools import Tool, ToolContext, ToolResult
from vzgym.protocols import TextProtocol, TruncatedText
from vzgym.tasks import VideoTask
from vzgym.tools.extras import Extras

__all__ = ["TokenNeed", "measure_tokens"]

# Replies differ by a few tokens in their numbers: a margin over the measured ones.
_SLACK = 1.1


@dataclass(frozen=True)
class TokenNeed:
    """How many tokens an episode can take, at most.

    Args:
        prompt: Tokens of the longest opening.
        reply: Tokens of the longest reply: a full clip.
        clip: Frames of a full clip.
        zooms: Most zooms.
        turn: Most tokens of one of the model's turns.
        overview: Frames of the longest opening, and visual tokens of each.
        frame: Visual tokens of a frame of the longest reply.
        prompt_task: The id of the task with the longest opening.
        reply_task: The id of the task with the longest reply.
    """

    prompt: int
    reply: int
    clip: int
    zooms: int
    turn: int
    overview: tuple[int, int]
    frame: int
    prompt_task: str
    reply_task: str

    @property
    def completion(self) -> int:
        """Most tokens of all turns and replies together."""
        return (self.zooms + 1) * self.turn + round(self.zooms * self.reply * _SLACK)

    def check(self, settings: GRPOSettings, positions: int) -> int:
        """The limit for the trainer.

        Args:
            settings: May ask for another limit.
            positions: Most tokens that the model can read.

        Raises:
            InvalidSetting: If the settings or the model leave too little; with the numbers and what to change.
        """
        spelled = (
            f"{self.zooms} zooms with replies of {self.reply} tokens ({self.clip} frames each) and "
            f"{self.zooms + 1} turns of {self.turn} tokens need {self.completion} completion tokens"
        )
        limit = settings.completion_tokens or self.completion
        if limit < self.completion:
            raise InvalidSetting(
                f"GRPOSettings.completion_tokens is {limit}, but {spelled}: an over-long reply would be dropped and "
                f"the roll-out end unanswered. Set completion_tokens to 0 or to at least {self.completion}, or lower "
                "turn_tokens, or the budget's clip_frames, max_zooms or max_pixels. The longest replies are those of "
                f"task {self.reply_task!r}"
            )
        if self.prompt + limit > positions:
            raise InvalidSetting(
                f"the model reads at most {positions} tokens, but a prompt has about {self.prompt} and {spelled}: "
                "lower turn_tokens, or the budget's overview_frames, clip_frames, max_zooms or max_pixels. The longest "
                f"prompt is that of task {self.prompt_task!r}, the longest replies are those of {self.reply_task!r}"
            )
        return limit


def measure_tokens(
    processor: Any,
    protocol: TextProtocol,
    tasks: Sequence[VideoTask],
    budget: Budget,
    turn_tokens: int,
    extras: Extras | None = None,
) -> TokenNeed:
    """Measure the tokens of the longest opening and of the longest reply.

    Frame sizes and lengths decide which tasks are candidates; only these are measured, with blank frames.

    Args:
        processor: The model's.
        protocol: The text protocol.
        tasks: At least one task; one for each video length and size is enough (`TaskCheck.representatives`).
        budget: The episode's budget.
        turn_tokens: Most tokens of one of the model's turns.
        extras: Tools, and subtitles in the dialogue.
    """
    extras = extras or Extras()
    by_shape: dict[tuple[int, int], int] = {}

    def visual(task: VideoTask, max_pixels: int | None = None) -> int:
        # By shape, not area: frames of equal area can have different numbers of patches.
        shape = budget.fit(task.video.height, task.video.width, max_pixels)
        if shape not in by_shape:
            by_shape[shape] = frame_tokens(processor, shape)
        return by_shape[shape]

    def overview(task: VideoTask) -> int:
        return len(overview_times(task.video.duration, budget))

    rankings: list[Callable[[VideoTask], float]] = [
        lambda task: (
            visual(task, budget.largest_pixels) * min(budget.clip_frames, task.video.duration * budget.max_fps)
        ),
        lambda task: visual(task) * overview(task),
        # If a frame takes few tokens, the text beside it matters more.
        overview,
        lambda task: len(task.question) + sum(map(len, task.options)),
        lambda task: sum(len(line.text) for line in task.subtitles),
    ]
    largest = {task.id: task for task in (max(tasks, key=ranking) for ranking in rankings)}
    measured = {name: _measure(processor, protocol, blank_copy(task), budget, extras) for name, task in largest.items()}
    first, reply = (max(measured, key=lambda name: measured[name][place]) for place in (0, 1))
    return TokenNeed(
        prompt=measured[first][0],
        reply=measured[reply][1],
        clip=budget.clip_frames,
        zooms=budget.max_zooms,
        turn=turn_tokens,
        overview=(overview(largest[first]), visual(largest[first])),
        frame=visual(largest[reply], budget.largest_pixels),
        prompt_task=first,
        reply_task=reply,
    )


def _measure(
    processor: Any, protocol: TextProtocol, task: VideoTask, budget: Budget, extras: Extras
) -> tuple[int, int]:
    """Tokens of a task's opening, and of its longest reply."""
    episode = extras.episode(task, budget, protocol)
    opening = len(encode(processor, chat_of(episode.messages))["input_ids"])
    duration = episode.record.task.duration
    replies = [0]
    if budget.max_zooms:
        fps = min(budget.max_fps, max(budget.min_fps, budget.clip_frames / duration))
        full = _fullest(duration, fps, budget)
        for action in (full, Malformed("unreadable."), protocol.parse(TruncatedText("x")).action):
            episode = extras.episode(task, budget, protocol)
            episode.step(action, text="x")
            both = len(encode(processor, chat_of(episode.messages))["input_ids"])
            replies.append(both - opening)
        for tool in extras.tools:
            episode = replace(extras, tools=(_LongReply(tool),)).episode(task, budget, protocol)
            before = len(encode(processor, chat_of(episode.messages))["input_ids"])
            episode.step(ToolCall(tool.name, {}), text="x")
            replies.append(len(encode(processor, chat_of(episode.messages))["input_ids"]) - before)
    return opening, max(replies)


class _LongReply:
    """A tool in whose place its longest reply is given.

    Args:
        tool: The tool.

    Raises:
        InvalidSetting: If it does not say how long its replies are.
    """

    def __init__(self, tool: Tool) -> None:
        longest: Callable[[ToolContext], ToolResult] | None = getattr(tool, "longest", None)
        if longest is None:
            raise InvalidSetting(
                f"the tool {tool.name!r} does not say how long its replies can be, which GRPO must know: give it a "
                "method longest(context) that returns a ToolResult as long as the longest"
            )
        self.name, self.description, self.parameters, self.spec = (
            tool.name, tool.description, tool.parameters, tool.spec,
        )  # fmt: skip
        self._longest = longest

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """The longest reply."""
        return self._longest(context)


def _fullest(duration: float, fps: float, budget: Budget) -> Zoom | Zooms:
    """The zooms with the longest reply: a full turn of as many zooms as allowed, at the greatest size."""
    size = budget.zoom_max_pixels if budget.zoom_max_pixels > budget.max_pixels else None
    count = min(budget.zooms_per_turn, budget.clip_frames)
    single = Zoom(0.0, min(duration, 1 / fps), fps, max_pixels=size)
    rest = Zoom(0.0, min(duration, (budget.clip_frames - count + 1) / fps), fps, max_pixels=size)
    return rest if count == 1 else Zooms((*(single for _ in range(count - 1)), rest))
