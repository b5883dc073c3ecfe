"""A tool that an agent may call beside the zoom."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from vzgym.tools import Arguments, ToolArgumentError, ToolContext, ToolResult, TypedTool


class BrightnessArguments(Arguments):
    """Arguments of the tool. The docstring below a field describes it for the agent."""

    time: float = Field(ge=0)
    """The time in seconds from the start of the video."""


class Brightness(TypedTool[BrightnessArguments]):
    """Says how bright the picture is at a time."""

    name = "template_brightness"
    description = "Says how bright the picture is at a time, from 0 (black) to 255 (white)."
    arguments: ClassVar[type[Arguments]] = BrightnessArguments

    def execute(self, arguments: BrightnessArguments, context: ToolContext) -> ToolResult:
        """Read the frame; its cost is stated, since it is not shown."""
        if arguments.time > context.duration:
            raise ToolArgumentError(f"the video ends at {context.duration:.2f} s.")
        clip = context.look([arguments.time])
        assert clip.pixels is not None  # a clip that was just read has its pixels
        return ToolResult(f"{clip.pixels.mean():.1f}", costs={"candidates_decoded": clip.decoded})
