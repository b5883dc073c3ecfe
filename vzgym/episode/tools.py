"""The interface between an episode and the tools that its agent may call beside the zoom.

An episode knows tools by this interface only. The registry of tools, and those that come with vzgym, are in
`vzgym.tools`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region, ToolCall
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import MAX_DEPTH, json_fault
from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.episode.reading import read_clip
from vzgym.episode.record import ToolDescription
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.tasks.task import VideoTask
from vzgym.video.base import Video, check_times

__all__ = [
    "RESERVED_NAMES",
    "Tool",
    "ToolContext",
    "ToolResult",
    "checked_result",
    "checked_tools",
    "describe",
]

RESERVED_NAMES = frozenset({"video_zoom", "answer", "think", "tool_call", "tool_response"})
"""Names that a tool cannot have: text protocols use them."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returns.

    Args:
        text: The reply to the agent; "" if the frames are the whole reply.
        clip: Frames with their times, shown after the text, usually from `ToolContext.look`; at most the budget's
            `clip_frames`.
        costs: What the call cost beyond the frames shown, by name, each finite and >= 0: `candidates_decoded` (frames
            decoded for a scorer), `frames_scored`, and other entries of the cost ledger that a scorer has. Further
            names are kept in the record only.
    """

    text: str = ""
    clip: Clip | None = None
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know about the episode: not the right answer, and not the evidence unless it is privileged.

    Attributes:
        video: The video.
        duration: Its length in seconds.
        question: The question.
        options: Its options.
        subtitles: The task's subtitles, in order of time; empty if it has none.
        budget: The episode's limits.
        task_id: Id of the task.
        evidence: The task's evidence, for a privileged tool only; None otherwise, or if it is unknown.
    """

    video: Video
    duration: float
    question: str
    options: tuple[str, ...]
    subtitles: tuple[Subtitle, ...]
    budget: Budget
    task_id: str = ""
    evidence: tuple[Interval, ...] | None = None

    @classmethod
    def of(
        cls, task: VideoTask, duration: float, budget: Budget, evidence: tuple[Interval, ...] | None = None
    ) -> ToolContext:
        """The context of a task's episode."""
        lines = tuple(sorted(task.subtitles, key=lambda line: (line.start, line.end)))
        return cls(task.video, duration, task.question, task.options, lines, budget, task.id, evidence)

    def look(
        self,
        times: Sequence[float] | NDArray[np.float64],
        *,
        region: Region | None = None,
        max_pixels: int | None = None,
    ) -> Clip:
        """Read frames to show to the agent. Their cost is charged by the episode.

        Args:
            times: Seconds, each in `[0, duration]`, 1 to `budget.clip_frames` of them.
            region: Part of the frame; None for the whole frame.
            max_pixels: Maximum pixels of a frame in place of the budget's; `video.height * video.width` shows whole
                frames at full size.

        Raises:
            InvalidSetting: If the number of times, a time or `max_pixels` is out of range: a fault of the tool, which
                checks the agent's arguments first.
            VideoError: If the video cannot be read.
        """
        asked = check_times(np.array(times, dtype=np.float64), self.duration)
        if not 1 <= len(asked) <= self.budget.clip_frames:
            raise InvalidSetting(f"a tool shows 1 to {self.budget.clip_frames} frames (clip_frames), got {len(asked)}")
        if max_pixels is not None and max_pixels < 1:
            raise InvalidSetting(f"max_pixels must be >= 1, got {max_pixels}")
        return read_clip(self.video, asked, self.budget, region=region, max_pixels=max_pixels)


@runtime_checkable
class Tool(Protocol):
    """A function that the agent may call in a turn.

    Attributes:
        name: Its name for the agent: a letter, then letters, digits, `_` or `-`, at most 64 characters; not a name of
            `RESERVED_NAMES`.
        description: What it does, in one or two sentences for the agent.
        parameters: JSON schema of the arguments: an object with named properties.
        spec: `{"name": registered name, **options}`, from which the tool can be rebuilt for a replay. JSON values.

    Optional: `privileged`, True if it needs the evidence (`ToolContext.evidence`); a run with such a tool is reported
    as privileged. `longest(context) -> ToolResult`, a result as long as the tool's results can be, by which GRPO limits
    the tokens of roll-outs. `load()`, which loads what the tool needs, such as weights: called before the first
    episode, perhaps several times, and not where a record is only read.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def description(self) -> str:
        """See the class."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """See the class."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """See the class."""
        ...

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Execute a call. Deterministic: the same call in the same episode yields the same result.

        Args:
            call: The call; its name is the tool's, its arguments are any JSON object.
            context: The episode.

        Raises:
            ToolArgumentError: If the arguments are wrong; its message becomes the reply, and the round is used.
            VideoError: If the video cannot be read; the episode is truncated and unscored.
            VzgymError: If anything else fails (a server, weights); the run stops.
        """
        ...


def describe(tool: Tool) -> ToolDescription:
    """The description of a tool, as records store it."""
    return ToolDescription(tool.name, tool.description, dict(tool.parameters), dict(tool.spec))


def checked_tools(tools: Mapping[str, Tool] | Sequence[Tool]) -> dict[str, Tool]:
    """Validate tools, and return them by name, in their order.

    Args:
        tools: Tools, or tools by name.

    Raises:
        InvalidSetting: If a value is not a tool, or a name is invalid, reserved, given twice or not the tool's own, or
            a description, schema or `spec` is not JSON-serializable.
    """
    pairs = list(tools.items()) if isinstance(tools, Mapping) else [(None, tool) for tool in tools]
    found: dict[str, Tool] = {}
    for key, tool in pairs:
        if not isinstance(tool, Tool) or isinstance(tool, type):
            raise InvalidSetting(f"not a tool: {tool!r}; a tool has name, description, parameters, spec and run()")
        name = tool.name
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidSetting(
                f"a tool's name must be a letter, then letters, digits, '_' or '-', at most 64 in all, got {name!r}"
            )
        if name in RESERVED_NAMES:
            raise InvalidSetting(f"a tool cannot be named {name!r}: text protocols use that name")
        if key is not None and key != name:
            raise InvalidSetting(f"the tool {name!r} is given under the name {key!r}")
        if name in found:
            raise InvalidSetting(f"there are two tools named {name!r}")
        if not isinstance(tool.description, str) or not tool.description:
            raise InvalidSetting(f"the tool {name!r} needs a description for the agent, got {tool.description!r}")
        for part in ("parameters", "spec"):
            value = getattr(tool, part)
            fault = json_fault(value, MAX_DEPTH // 2) if isinstance(value, Mapping) else f"{value!r:.100}"
            if fault is not None:
                raise InvalidSetting(f"{part} of the tool {name!r} must be a mapping of JSON values, found {fault}")
        found[name] = tool
    return found


def checked_result(result: object, name: str, budget: Budget) -> ToolResult:
    """Validate what a tool returned.

    Raises:
        InvalidSetting: If it is not a `ToolResult`, has an invalid part or more frames than the budget allows.
    """
    if not isinstance(result, ToolResult):
        raise InvalidSetting(f"the tool {name!r} must return a ToolResult, got {type(result).__name__}")
    if not isinstance(result.text, str):
        raise InvalidSetting(f"the tool {name!r} must return text, got {result.text!r:.100}")
    if result.clip is not None and not (isinstance(result.clip, Clip) and 1 <= len(result.clip) <= budget.clip_frames):
        shown = f"{len(result.clip)} frames" if isinstance(result.clip, Clip) else f"{result.clip!r:.100}"
        raise InvalidSetting(f"the tool {name!r} must return a Clip of 1 to {budget.clip_frames} frames, got {shown}")
    for key, value in result.costs.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not isinstance(key, str) or not number or not (math.isfinite(value) and value >= 0):
            raise InvalidSetting(f"the tool {name!r} returned the cost {key!r}: {value!r}; costs are finite and >= 0")
    return result
