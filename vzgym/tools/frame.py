"""One frame at full size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from vzgym.core.errors import ToolArgumentError
from vzgym.episode.tools import ToolContext, ToolResult
from vzgym.episode.wording import number, seconds
from vzgym.tools.base import Arguments, TypedTool, check_count

__all__ = ["FrameArguments", "ShowFrame"]


class FrameArguments(Arguments):
    """Arguments of `frame`."""

    time: float = Field(ge=0)
    """The time in seconds from the start of the video."""


class ShowFrame(TypedTool[FrameArguments]):
    """Shows one frame at full size, for small text and details.

    The frame costs the visual tokens of its size.

    Args:
        max_pixels: Maximum pixels of the frame; a larger one is downscaled, keeping its aspect ratio. None: the
            video's own size.

    Raises:
        InvalidSetting: If `max_pixels` is not an integer >= 1.
    """

    name = "frame"
    description = "Shows the one frame at a time at full size, for small text and details."
    arguments: ClassVar[type[Arguments]] = FrameArguments

    def __init__(self, max_pixels: int | None = None) -> None:
        if max_pixels is not None:
            check_count(self.name, max_pixels=max_pixels)
        self.max_pixels = max_pixels

    @property
    def options(self) -> Mapping[str, Any]:
        """See `TypedTool.options`."""
        return {} if self.max_pixels is None else {"max_pixels": self.max_pixels}

    def execute(self, arguments: FrameArguments, context: ToolContext) -> ToolResult:
        """See `Tool.run`."""
        if arguments.time > context.duration:
            raise ToolArgumentError(
                f"{number(arguments.time)} s is not inside the video, which lasts from 0 to "
                f"{seconds(context.duration)} s."
            )
        return self._show(arguments.time, context)

    def longest(self, context: ToolContext) -> ToolResult:
        """See `Tool`."""
        return self._show(0.0, context)

    def _show(self, time: float, context: ToolContext) -> ToolResult:
        whole = context.video.height * context.video.width
        most = whole if self.max_pixels is None else min(whole, self.max_pixels)
        clip = context.look([time], max_pixels=max(most, context.budget.min_pixels))
        height, width = clip.size
        return ToolResult(f"The frame at {number(time)} s, {width}x{height} pixels.", clip)
