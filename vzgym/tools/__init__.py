"""Layer 4: tools that an agent may call beside the zoom."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.core.actions import ToolCall
    from vzgym.core.errors import ToolArgumentError
    from vzgym.episode.tools import Tool, ToolContext, ToolResult
    from vzgym.tools.base import TOOLS, Arguments, ToolSpec, TypedTool, make_tools
    from vzgym.tools.find_frames import FindFrames
    from vzgym.tools.frame import ShowFrame
    from vzgym.tools.subtitles import SubtitleSearch
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: TOOLS Arguments Tool ToolArgumentError ToolCall ToolContext ToolResult ToolSpec TypedTool make_tools",
        "find_frames: FindFrames",
        "frame: ShowFrame",
        "subtitles: SubtitleSearch",
    )

__all__ = [
    "TOOLS",
    "Arguments",
    "FindFrames",
    "ShowFrame",
    "SubtitleSearch",
    "Tool",
    "ToolArgumentError",
    "ToolCall",
    "ToolContext",
    "ToolResult",
    "ToolSpec",
    "TypedTool",
    "make_tools",
]
